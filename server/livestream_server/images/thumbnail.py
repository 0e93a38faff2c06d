"""Turns the bytes that a stranger sent into a thumbnail, or says why not.

Whatever comes in, what goes out is our own WebP encoding of the pixels: no metadata, no trailing data, no script
survives. The limits are checked before anything is decoded, and on the picture itself: Pillow's own limits are
process-wide, and Python's warning filters are not thread-safe.
"""

import re
import struct
from io import BytesIO

from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError

from livestream_server.errors import Invalid, Violation

SIZE = (1280, 720)
MAX_BYTES = 5 * 1024 * 1024
MAX_PIXELS = 16_000_000
MAX_SCANS = 64
QUALITY = 80

_PNG_END = b"IEND\xaeB`\x82"  # chunk type and its checksum (PNG specification, section 11.2.5)
# Marker, length (6 + 2 n) and number of components n of a scan (ITU-T T.81, B.2.3). libjpeg reads no other scan.
_JPEG_SCAN = re.compile(rb"\xff\xda\x00(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")
_JPEG = {"JPEG", "MPO"}  # MPO: how phones write a JPEG that has another one behind it
_TO_UPRIGHT = {  # EXIF 2.32, tag 0x0112
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = 5  # this and the following orientations swap width and height


def encode_thumbnail(data: bytes) -> bytes:
    """The picture in `data`, upright, in sRGB and shrunk to fit 1280x720 (never enlarged), as WebP without metadata.

    Takes JPEG, PNG and WebP of at most 5 MiB and 16 megapixels with one frame; of a JPEG with further pictures
    behind it, as phones write them, the first one. Costs up to about a second of CPU: not for the event loop.

    Raises Invalid (field `thumbnail`) for everything else, also for a picture that is cut short.
    """
    if len(data) > MAX_BYTES:
        raise _refusal("must be at most 5 MiB")
    try:
        picture = _shrunk(_opened(data))
    except Invalid:
        raise
    except UnidentifiedImageError as error:
        raise _refusal("must be a JPEG, PNG or WebP picture") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _refusal("must have at most 16 megapixels") from error
    except Exception as error:  # parsers of hostile bytes fail in any way, and the bytes are at fault
        raise _refusal("is damaged or incomplete") from error
    return encode_webp(picture)


def encode_webp(picture: Image.Image) -> bytes:
    """The pixels of an RGB or RGBA picture as lossy WebP, and nothing else: Pillow writes no metadata unasked."""
    encoded = BytesIO()
    picture.save(encoded, "WEBP", quality=QUALITY)
    return encoded.getvalue()


def _refusal(description: str) -> Invalid:
    return Invalid(Violation("thumbnail", description))


def _opened(data: bytes) -> Image.Image:
    """The picture, its header read and checked, nothing decoded yet."""
    picture = Image.open(BytesIO(data), formats=("JPEG", "PNG", "WEBP"))
    if picture.width * picture.height > MAX_PIXELS:
        raise _refusal("must have at most 16 megapixels")
    if picture.format in _JPEG:
        # Each scan may be some 30 bytes and costs a pass over all pixels: 5 MiB of them are half an hour of CPU.
        if len(_JPEG_SCAN.findall(data)) > MAX_SCANS:
            raise _refusal(f"must be a JPEG of at most {MAX_SCANS} scans")
    elif getattr(picture, "n_frames", 1) > 1:
        raise _refusal("must not be animated")
    elif picture.format == "PNG" and _PNG_END not in data:  # Pillow does not miss the last 20 bytes
        raise _refusal("is damaged or incomplete")
    return picture


def _shrunk(picture: Image.Image) -> Image.Image:
    """The picture decoded, as RGB or RGBA in sRGB, upright, and no larger than SIZE."""
    if picture.format not in _JPEG:
        picture.load()  # JPEG waits for `thumbnail`: libjpeg decodes straight into a smaller size
    orientation, profile = _orientation(picture), picture.info.get("icc_profile")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
    elif picture.mode == "I;16":
        picture = picture.point(lambda value: value / 256).convert("L")  # `convert` alone would clip at 255
    elif picture.mode not in {"L", "RGB", "CMYK"}:
        picture = picture.convert("RGB")
    picture.thumbnail(SIZE[::-1] if orientation >= _ON_ITS_SIDE else SIZE)
    picture = _in_srgb(picture, profile)
    return picture.transpose(_TO_UPRIGHT[orientation]) if orientation in _TO_UPRIGHT else picture


def _orientation(picture: Image.Image) -> int:
    """EXIF orientation, 1 to 8. Metadata that cannot be read is no reason to refuse a picture: 1."""
    try:
        found = picture.getexif().get(ExifTags.Base.Orientation)
    except (SyntaxError, ValueError, struct.error):
        return 1
    return found if isinstance(found, int) and found in _TO_UPRIGHT else 1


def _in_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """The colours as a screen without colour management shows them right; a profile that does not fit is ignored."""
    mode = "RGBA" if picture.mode == "RGBA" else "RGB"
    if profile:
        try:
            source, srgb = ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(picture, source, srgb, outputMode=mode) or picture
        except (ImageCms.PyCMSError, OSError):
            pass
    return picture.convert(mode)

"""Turns the bytes that a stranger sent into a thumbnail, or says why not.

Whatever comes in, what goes out is our own WebP encoding of the pixels: no metadata, no trailing data, no script
survives. The limits are checked before anything is decoded, and on the image itself: Pillow's own limits are
process-wide, and Python's warning filters are not thread-safe.
"""

import struct
from io import BytesIO

from PIL import AvifImagePlugin, ExifTags, Image, ImageCms

from livestream_server.errors import InvalidArgument
from livestream_server.images.structure import build_refusal, check_structure, find_format, require_pixels
from livestream_server.images.webp import decode_webp

SIZE = (1280, 720)
MAX_BYTES = 5 * 1024 * 1024
QUALITY = 80

_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF")
_GAP = 1.5  # how much larger than the thumbnail an image stays when its pixels are averaged, before the better filter
_STRIP = 64  # rows of the reduced image that are converted at a time
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

AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # Pillow's way to say it: the decoder has one second of CPU, not one per core


def enable_heic() -> None:
    """Have Pillow read HEIC, too. Raises ImportError if the extra `heic` is not installed."""
    import pi_heif  # noqa: PLC0415 - optional

    pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
    pi_heif.options.DECODE_THREADS = 1


def encode_thumbnail(data: bytes, *, heic: bool = False) -> bytes:
    """The image in `data`, upright, in sRGB and shrunk to fit 1280x720 (never enlarged), as WebP without metadata.

    Takes, with one frame and of at most 5 MiB: JPEG up to 50 megapixels, PNG, WebP and AVIF up to 16, and HEIC up to 16
    with `heic`, after `enable_heic`. Of a JPEG with further images behind it, as phones write them, the first one.
    May cost any amount of CPU and memory: run it in a process with limits.

    Raises InvalidArgument (field `thumbnail`) for everything else, also for an image that is cut short.
    """
    if len(data) > MAX_BYTES:
        raise build_refusal("must be at most 5 MiB")
    kind = find_format(data)
    if kind == "HEIF" and not heic:
        raise build_refusal("must be a JPEG, PNG, WebP or AVIF image: convert HEIC before sending")
    if kind is None:
        raise build_refusal("must be a JPEG, PNG, WebP or AVIF image")
    check_structure(kind, data)
    try:
        image = _shrink(_open(data, kind), data)
    except InvalidArgument:
        raise
    except MemoryError as error:
        raise build_refusal("needs too much memory to decode") from error
    except Exception as error:  # parsers of hostile bytes fail in any way, and the bytes are at fault
        raise build_refusal("is damaged or incomplete") from error
    return encode_webp(image)


def encode_webp(image: Image.Image) -> bytes:
    """The pixels of an RGB or RGBA image as lossy WebP, and nothing else: Pillow writes no metadata unasked."""
    encoded = BytesIO()
    image.save(encoded, "WEBP", quality=QUALITY)
    return encoded.getvalue()


def _open(data: bytes, kind: str) -> Image.Image:
    """The image, its header read and checked, nothing decoded yet."""
    image = Image.open(BytesIO(data), formats=(kind,))
    require_pixels(kind, image.width * image.height)
    # MPO is how phones write a JPEG that has another one behind it: the first one is meant.
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise build_refusal("must not be animated")
    return image


def _shrink(image: Image.Image, data: bytes) -> Image.Image:
    """The image in `data` decoded, as RGB or RGBA in sRGB, upright, and no larger than SIZE."""
    orientation = _read_orientation(image)
    size = SIZE[::-1] if orientation >= _ON_ITS_SIDE else SIZE
    fitting = _fit(image.size, size)
    profile = image.info.get("icc_profile")
    if image.format == "WEBP":
        image = decode_webp(data, (min(image.width, 2 * fitting[0]), min(image.height, 2 * fitting[1])))
    else:
        image.draft(None, size)  # JPEG only: libjpeg decodes straight into a half, a quarter or an eighth of the size
        image.load()
    image = _reduce(image, fitting)
    if image.size != fitting:
        image = image.resize(fitting, Image.Resampling.BICUBIC)
    image = _convert_to_srgb(image, profile)
    return image.transpose(_TO_UPRIGHT[orientation]) if orientation in _TO_UPRIGHT else image


def _fit(size: tuple[int, int], within: tuple[int, int]) -> tuple[int, int]:
    """The largest size of that shape that fits, and no larger than it is."""
    scale = min(1.0, within[0] / size[0], within[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _reduce(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The image as RGBA, L, RGB or CMYK, averaged down to less than 3 times `size`.

    Goes strip by strip, because a conversion of the whole image takes its memory a second time.
    """
    factor = max(1, int(min(image.width / size[0], image.height / size[1]) / _GAP))
    transparent = image.has_transparency_data
    reduced: Image.Image | None = None
    for top in range(0, image.height, _STRIP * factor):
        bottom = min(top + _STRIP * factor, image.height)
        strip = _convert(image.crop((0, top, image.width, bottom)), transparent=transparent).reduce(factor)
        reduced = reduced or Image.new(strip.mode, (strip.width, -(-image.height // factor)))
        reduced.paste(strip, (0, top // factor))
    assert reduced  # noqa: S101 - an image has at least one row
    return reduced


def _convert(image: Image.Image, *, transparent: bool) -> Image.Image:
    if transparent:
        return image.convert("RGBA")
    if image.mode == "I;16":
        return image.point(lambda value: value / 256).convert("L")  # `convert` alone would clip at 255
    return image if image.mode in {"L", "RGB", "CMYK"} else image.convert("RGB")


def _read_orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8. Metadata that cannot be read is no reason to refuse an image: 1."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation)
    except (SyntaxError, ValueError, struct.error):
        return 1
    return found if isinstance(found, int) and found in _TO_UPRIGHT else 1


def _convert_to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The colours as a screen without colour management shows them right; a profile that does not fit is ignored."""
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    if profile:
        try:
            source, srgb = ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(image, source, srgb, outputMode=mode) or image
        except (ImageCms.PyCMSError, OSError):
            pass
    return image.convert(mode)

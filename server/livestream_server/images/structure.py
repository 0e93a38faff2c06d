"""Checks the structure of a file before any decoder reads it, in linear time and a bounded number of steps.

Well-formed files can be slow to read out of all proportion: Pillow reads each fill byte of a JPEG and each chunk of a
PNG in Python, and libjpeg goes through all pixels for each scan. What no camera and no program writes is refused here,
cheaply. For whatever this check does not see, the decoder's process has limits of time and memory.
"""

import re
import struct

from livestream_server.errors import InvalidArgument, Violation

MAX_PARTS = 2_000  # segments, chunks or boxes; an AVIF of a phone has some 50, a large PNG in chunks of 8 KiB has 640
MAX_PADDING = 4_096  # bytes between the segments of a JPEG
MAX_SCANS = 64
MAX_COEFFICIENT_BYTES = 160 * 1024 * 1024  # a progressive 4:2:0 JPEG of 50 megapixels needs 143 MiB
PIXELS = {"JPEG": 50_000_000}  # decoded at a fraction of its size
OTHER_PIXELS = 16_000_000

_DAMAGED = "is damaged or incomplete"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis"}
_MAX_BRANDS_BYTES = 256
_BOX_HEADER = 8  # size and type

# ITU-T T.81, table B.1. A byte FF before the marker is a fill byte; FF 00 and FF D0 to D7 belong to the data of a scan.
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA
_FIRST_ARITHMETIC = 0xC9
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}


def build_refusal(description: str) -> InvalidArgument:
    """The error for an image that can never be taken; `description` is what it must be."""
    return InvalidArgument(Violation("thumbnail", description))


def find_format(data: bytes) -> str | None:
    """What the first bytes say: JPEG, PNG, WEBP, AVIF or HEIF (as Pillow names them), or None for anything else."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(_PNG_SIGNATURE):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":  # ISO/IEC 14496-12, section 4.3: size, type, major brand, version, compatible brands
        end = min(int.from_bytes(data[:4]), _MAX_BRANDS_BYTES)
        brands = {data[8:12], *(data[at : at + 4] for at in range(16, end, 4))}
        return "AVIF" if brands & _AVIF_BRANDS else "HEIF" if brands & _HEIC_BRANDS else None
    return None


def require_pixels(kind: str, pixels: int) -> None:
    """Raises InvalidArgument if an image of that format has too many."""
    limit = PIXELS.get(kind, OTHER_PIXELS)
    if pixels > limit:
        raise build_refusal(f"must have at most {limit // 1_000_000} megapixels")


def check_structure(kind: str, data: bytes) -> None:
    """Look through the file, whose format is `kind`.

    Raises InvalidArgument for what is not worth the decoder's time: too many parts, scans, pixels or coefficients, too
    much padding, an end that is missing.
    """
    try:
        match kind:
            case "JPEG":
                _check_jpeg(data)
            case "PNG":
                _check_png(data)
            case "WEBP":
                _check_webp(data)
            case _:
                _check_boxes(data)
    except (IndexError, struct.error) as error:  # a part that is longer than the file
        raise build_refusal(_DAMAGED) from error


def _check_jpeg(data: bytes) -> None:
    at = padding = scans = coded = coefficients = 0
    progressive = arithmetic = False
    for _ in range(MAX_PARTS):
        found = _MARKER.search(data, at)
        if not found:
            return  # cut short: the decoder finds out, with all that is there
        padding += found.start() - at
        if padding > MAX_PADDING:
            raise build_refusal(_DAMAGED)
        marker, at = data[found.end() - 1], found.end()
        if marker == _END_OF_IMAGE:
            _require_coded(8 * coded, blocks=coefficients // 128, arithmetic=arithmetic, progressive=progressive)
            return
        if marker in _WITHOUT_LENGTH:
            continue
        if marker in _START_OF_FRAME:
            progressive, arithmetic = marker in _PROGRESSIVE, marker >= _FIRST_ARITHMETIC
            coefficients = _check_frame(data, at)
        at += int.from_bytes(data[at : at + 2])
        if marker == _START_OF_SCAN:
            scans += 1
            if scans > MAX_SCANS:
                raise build_refusal(f"must be a JPEG of at most {MAX_SCANS} scans")
            if (progressive or scans > 1) and coefficients > MAX_COEFFICIENT_BYTES:
                raise build_refusal("is too large for a progressive JPEG; a baseline JPEG may have that size")
            next_segment = _AFTER_SCAN.search(data, at)
            end = next_segment.start() if next_segment else len(data)
            padding += data.count(b"\xff\xff", at, end)
            coded += end - at
            at = end
    raise build_refusal(_DAMAGED)


def _require_coded(bits: int, *, blocks: int, arithmetic: bool, progressive: bool) -> None:
    """Refuse a JPEG that ends long before its last block: libjpeg would fill up with grey what is missing.

    Without arithmetic coding, each block of 64 coefficients takes a bit for the first of them and, unless other scans
    have the rest, one for their end (T.81, F.1.2).
    """
    if not arithmetic and bits < blocks * (1 if progressive else 2):
        raise build_refusal(_DAMAGED)


def _check_frame(data: bytes, at: int) -> int:
    """Check the size in a frame header (T.81, B.2.2); the bytes of all its coefficients, which several scans need."""
    height: int
    width: int
    height, width, components = struct.unpack_from(">HHB", data, at + 3)
    require_pixels("JPEG", width * height)
    samplings = [data[at + 9 + 3 * each] for each in range(components)]
    across = max((each >> 4 for each in samplings), default=1) or 1
    down = max((each & 15 for each in samplings), default=1) or 1
    samples = sum(width * height * (each >> 4) * (each & 15) // (across * down) for each in samplings)
    return 2 * samples


def _check_png(data: bytes) -> None:
    at = len(_PNG_SIGNATURE)
    for _ in range(MAX_PARTS):  # PNG specification, section 5.3: length, type, content, checksum
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IHDR":
            width, height = struct.unpack_from(">II", data, at + 8)
            require_pixels("PNG", width * height)
        at += 12 + length
        if at > len(data):
            break
        if kind == b"IEND":
            return
    raise build_refusal(_DAMAGED)


def _check_webp(data: bytes) -> None:
    at = 12
    for _ in range(MAX_PARTS):  # RIFF: type, length, content, padded to an even length
        if at + 8 > len(data):
            return
        kind, length = struct.unpack_from("<4sI", data, at)
        content = at + 8
        if kind == b"VP8X":  # the canvas is allocated as soon as the file is opened
            width, height = (int.from_bytes(data[content + each : content + each + 3], "little") + 1 for each in (4, 7))
            require_pixels("WEBP", width * height)
        elif kind == b"VP8 ":  # RFC 6386, section 9.1
            width, height = struct.unpack_from("<HH", data, content + 6)
            require_pixels("WEBP", (width & 0x3FFF) * (height & 0x3FFF))
        elif kind == b"VP8L":
            bits = int.from_bytes(data[content + 1 : content + 5], "little")
            require_pixels("WEBP", ((bits & 0x3FFF) + 1) * ((bits >> 14 & 0x3FFF) + 1))
        at = content + length + length % 2
    raise build_refusal(_DAMAGED)


def _check_boxes(data: bytes) -> None:
    """Count the boxes of a file and, one level down, of its `meta` (ISO/IEC 14496-12, section 4.2)."""
    at = 0
    for _ in range(MAX_PARTS):
        if at + _BOX_HEADER > len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        if size == 1:  # a size of 64 bits follows
            size = struct.unpack_from(">Q", data, at + 8)[0]
        if kind in {b"meta", b"iprp", b"ipco"}:
            at += 12 if kind == b"meta" else 8
        elif size == 0:  # up to the end of the file
            return
        elif size < _BOX_HEADER:
            break
        else:
            if kind == b"ispe":
                width, height = struct.unpack_from(">II", data, at + 12)
                require_pixels("AVIF", width * height)
            at += size
    raise build_refusal(_DAMAGED)

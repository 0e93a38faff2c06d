"""Images for the tests of this folder, honest and hostile, built from scratch."""

import re
import struct
import zlib
from base64 import b64decode
from io import BytesIO

from PIL import Image, ImageCms

RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
# HEVC, 64x48: four squares, red and green above, blue and yellow below.
FOUR_COLOURS_HEIC = b64decode(
    b"AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAX1tZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAACJp"
    b"bG9jAAAAAERAAAEAAQAAAAABoQABAAAAAAAAANQAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAAAAABAABodmMxAAAAAA5waXRtAAAAAAAB"
    b"AAAA/WlwcnAAAADdaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEA"
    b"AQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAA"
    b"FGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAMAAAAAEAAAAAAAAAAv////AAAAACAAAAEHBpeGkAAAAAAwgICAAAABhp"
    b"cG1hAAAAAAAAAAEAAQWBAgMFhAAAANxtZGF0AAAA0CgBrwngIzUt/+7Z//79byHsJ6R07u/Uo/9iY7vgNv/6r219+jvTf/aqO/jib/pm"
    b"CaqBJGp/+3LL6LJFuVC/zQQJsfa9ENiqVVHJ2B9/rn7FB3xOyEwdK1KUnD45aBWGiBkUoKHhAZ/vU1J2sC0OT39TfGs/d99d/2C/DR3t"
    b"BuAGVJdQPjvsUSgbYFYlnh9xB23Mf2i/S/9PFaeRUpMl7Z5qyQI3UhD6Sbp79vUnw9fHdNI9h3OD+Nntx79gLjr+q/1r2pAqSc88YDwY"
    b"QGTpXOg="
)
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def decoded(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data), formats=("WEBP",))
    image.load()
    return image


def plain(kind: str, size: tuple[int, int] = (64, 48), colour: tuple[int, ...] = RED) -> bytes:
    return encoded(Image.new("RGB", size, colour), kind)


def grainy(kind: str, size: tuple[int, int] = (64, 48), **options: object) -> bytes:
    """An image that does not compress to nothing, so that every part of the file matters."""
    return encoded(Image.merge("RGB", [Image.effect_noise(size, 60) for _ in "RGB"]), kind, **options)


def shaded(kind: str, size: tuple[int, int], **options: object) -> bytes:
    """A large image in a small file."""
    return encoded(Image.linear_gradient("L").resize(size).convert("RGB"), kind, **options)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """A PNG of any claims: `rows` are the bytes before compression, `extra` are chunks before the pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return PNG_SIGNATURE + header + b"".join(extra) + pixels + chunk(b"IEND", b"")


def one_bit(width: int, height: int) -> bytes:
    return png(width, height, 1, 0, (b"\0" + b"\xaa" * ((width + 7) // 8)) * height)


def jpeg_claiming(width: int, height: int, **options: object) -> bytes:
    """A small JPEG whose header says that it is `width` by `height`."""
    data = bytearray(encoded(Image.new("RGB", (64, 48), RED), "JPEG", **options))
    frame = data.index(b"\xff\xc2" if options.get("progressive") else b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def webp_claiming(width: int, height: int) -> bytes:
    """A WebP whose extended header says that its canvas is `width` by `height`."""
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + canvas + plain("WEBP")[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg_of_scans(count: int, size: tuple[int, int] = (64, 48)) -> bytes:
    """A progressive JPEG in which the last refining scan is repeated until there are `count`."""
    data = encoded(Image.new("L", size, 128), "JPEG", progressive=True)
    starts = [each.start() for each in re.finditer(rb"\xff\xda", data)]
    return data[:-2] + data[starts[-1] : -2] * (count - len(starts)) + b"\xff\xd9"


def padded_jpeg(part: bytes, count: int, *, before: bytes = b"\xff\xdb") -> bytes:
    """A JPEG with `part` so many times before the first such marker."""
    data = plain("JPEG")
    at = data.index(before)
    return data[:at] + part * count + data[at:]


def deep_boxes(depth: int) -> bytes:
    """An AVIF whose boxes stand in each other."""
    data = b""
    levels = [len(data) + 8 * (each + 1) for each in range(depth)]
    return plain("AVIF")[:32] + b"".join(struct.pack(">I4s", size, b"ipco") for size in reversed(levels))


def slow_jpeg() -> bytes:
    """A small file that looks like an ordinary image and takes a decoder several seconds of CPU."""
    return jpeg_of_scans(64, (7_000, 7_000))


def animated(kind: str) -> bytes:
    frames = [Image.new("RGB", (32, 32), colour) for colour in (RED, GREEN, BLUE)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)


def animation_of_one_frame(size: tuple[int, int] = (64, 48)) -> bytes:
    """A WebP that says to be animated, and has a single frame."""
    width, height = ((each - 1).to_bytes(3, "little") for each in size)
    pixels = shaded("WEBP", size)[12:]
    parts = (
        (b"VP8X", b"\x02\0\0\0" + width + height),
        (b"ANIM", bytes(6)),
        (b"ANMF", bytes(6) + width + height + bytes(4) + pixels),
    )
    body = b"WEBP" + b"".join(kind + struct.pack("<I", len(content)) + content for kind, content in parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def exif(**tags: object) -> Image.Exif:
    """EXIF with an orientation, a GPS position and a script in the description."""
    found = Image.Exif()
    found[0x0112] = tags.get("orientation", 1)
    found[0x010E] = "<script>alert('description')</script>"
    found.get_ifd(0x8825).update({1: "N", 2: (41.0, 0.0, 49.0), 3: "E", 4: (28.0, 58.0, 30.0)})
    return found


def swapped_profile() -> bytes:
    """An sRGB profile in which red and blue have changed places: red pixels are to be shown as blue."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")


def chunks_of(webp: bytes) -> set[bytes]:
    """The kinds of chunk in a WebP file (RIFF: four letters, little-endian length, padded to even)."""
    kinds, at = set(), 12
    while at < len(webp):
        kinds.add(webp[at : at + 4])
        length = int.from_bytes(webp[at + 4 : at + 8], "little")
        at += 8 + length + length % 2
    return kinds

"""What a stranger's bytes become: our own WebP, or a refusal in fixed words."""

import struct
import time
import warnings
import zipfile
import zlib
from io import BytesIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageCms, ImageStat

from livestream_server.errors import InvalidArgument
from livestream_server.images.structure import MAX_SCANS, check_structure
from livestream_server.images.thumbnail import MAX_BYTES, encode_thumbnail
from livestream_server.images.webp import decode_webp
from tests.images.sample_images import (
    BLUE,
    FOUR_COLOURS_HEIC,
    GREEN,
    PNG_SIGNATURE,
    RED,
    YELLOW,
    animated,
    animation_of_one_frame,
    chunk,
    chunks_of,
    decoded,
    deep_boxes,
    encoded,
    exif,
    grainy,
    jpeg_claiming,
    jpeg_of_scans,
    one_bit,
    padded_jpeg,
    plain,
    png,
    swapped_profile,
    webp_claiming,
)

TYPE = "must be a JPEG, PNG, WebP or AVIF image"
HEIC = "must be a JPEG, PNG, WebP or AVIF image: convert HEIC before sending"
BYTES = "must be at most 5 MiB"
PIXELS = "must have at most 16 megapixels"
JPEG_PIXELS = "must have at most 50 megapixels"
PROGRESSIVE = "is too large for a progressive JPEG; a baseline JPEG may have that size"
MEMORY = "needs too much memory to decode"
ANIMATED = "must not be animated"
SCANS = "must be a JPEG of at most 64 scans"
DAMAGED = "is damaged or incomplete"
WORDS = {TYPE, HEIC, BYTES, PIXELS, JPEG_PIXELS, PROGRESSIVE, MEMORY, ANIMATED, SCANS, DAMAGED}

HTML = b"<!doctype html><script>alert(1)</script>"
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'


def refusal(data: bytes) -> str:
    with pytest.raises(InvalidArgument) as caught:
        encode_thumbnail(data)
    (violation,) = caught.value.violations
    assert violation.field == "thumbnail"
    return violation.description


def close(found: tuple[int, ...], wanted: tuple[int, ...], tolerance: int = 12) -> bool:
    return len(found) == len(wanted) and all(abs(a - b) <= tolerance for a, b in zip(found, wanted, strict=True))


def archive() -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as target:
        target.writestr("payload.js", "alert('from the archive')")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", TYPE, id="empty"),
        pytest.param(b"\xff", TYPE, id="one byte"),
        pytest.param(bytes(range(256)) * 40, TYPE, id="noise"),
        pytest.param(SVG, TYPE, id="SVG"),
        pytest.param(HTML, TYPE, id="HTML"),
        pytest.param(archive(), TYPE, id="ZIP"),
        pytest.param(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj<</Type/Catalog>>endobj\n%%EOF", TYPE, id="PDF"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", TYPE, id="EPS header"),
        pytest.param(plain("EPS"), TYPE, id="EPS"),
        pytest.param(b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 9, 9, 8, 3), TYPE, id="PSD"),
        pytest.param(plain("GIF"), TYPE, id="GIF"),
        pytest.param(animated("GIF"), TYPE, id="animated GIF"),
        pytest.param(b"GIF89a/*" + bytes(20) + b"*/=1;alert(1)//", TYPE, id="GIF and script"),
        pytest.param(plain("BMP"), TYPE, id="BMP"),
        pytest.param(plain("TIFF"), TYPE, id="TIFF"),
        pytest.param(plain("ICO"), TYPE, id="ICO"),
        pytest.param(PNG_SIGNATURE + HTML, DAMAGED, id="PNG signature, HTML behind it"),
        pytest.param(png(0, 0, 8, 2, b""), DAMAGED, id="0 x 0"),
        pytest.param(one_bit(20_000, 20_000)[:65], PIXELS, id="bomb: 1 bit, 20,000 x 20,000 in 65 bytes"),
        pytest.param(one_bit(20_000, 20_000), PIXELS, id="bomb: 1 bit, 20,000 x 20,000, whole"),
        pytest.param(jpeg_claiming(65_500, 65_500), JPEG_PIXELS, id="bomb: 65,500 x 65,500"),
        pytest.param(jpeg_claiming(65_500, 1_500), JPEG_PIXELS, id="bomb: where Pillow only warns"),
        pytest.param(png(8_000, 8_000, 8, 2, b""), PIXELS, id="bomb: 64 megapixels, PNG"),
        pytest.param(jpeg_claiming(8_000, 8_000), JPEG_PIXELS, id="bomb: 64 megapixels, JPEG"),
        pytest.param(webp_claiming(16_383, 16_383), PIXELS, id="bomb: 268 megapixels, WebP"),
        pytest.param(
            png(8, 8, 8, 0, bytes(72), chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(64 * 2**20)))),
            DAMAGED,
            id="bomb: 64 MB of text",
        ),
        pytest.param(jpeg_of_scans(MAX_SCANS + 1), SCANS, id="bomb: scans"),
        pytest.param(animated("PNG"), ANIMATED, id="animated PNG"),
        pytest.param(animated("WEBP"), ANIMATED, id="animated WebP"),
        pytest.param(animation_of_one_frame(), ANIMATED, id="animated WebP of one frame"),
        pytest.param(png(8, 8, 8, 2, bytes(30)), DAMAGED, id="PNG with too few rows"),
        pytest.param(jpeg_claiming(640, 480), DAMAGED, id="JPEG that ends too early"),
        pytest.param(jpeg_claiming(640, 480, progressive=True), DAMAGED, id="progressive JPEG that ends too early"),
    ],
)
def test_what_is_not_a_small_still_image_is_refused(data: bytes, words: str) -> None:
    """A bomb takes the memory of every other call; anything but an image could be served to a viewer's browser."""
    assert refusal(data) == words


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(padded_jpeg(b"\xff", 5_000_000), DAMAGED, id="JPEG: fill bytes before a segment"),
        pytest.param(padded_jpeg(b"\x00", 5_000_000), DAMAGED, id="JPEG: junk between segments"),
        pytest.param(padded_jpeg(b"\xff\xfe\0\x02", 1_200_000), DAMAGED, id="JPEG: empty comments"),
        pytest.param(padded_jpeg(b"\xff\xe1\0\x08Exif\0\0", 500_000), DAMAGED, id="JPEG: empty EXIF"),
        pytest.param(padded_jpeg(b"\xff\xe2\0\x08MPF\0ab", 500_000), DAMAGED, id="JPEG: tables of further images"),
        pytest.param(padded_jpeg(b"\xff\xd0", 2_500_000), DAMAGED, id="JPEG: restart markers between segments"),
        pytest.param(padded_jpeg(b"\xff", 5_000_000, before=b"\xff\xd9"), DAMAGED, id="JPEG: fill bytes in the scan"),
        pytest.param(png(8, 8, 8, 0, bytes(72), chunk(b"tEXt", b"") * 400_000), DAMAGED, id="PNG: empty texts"),
        pytest.param(png(8, 8, 8, 0, bytes(72), chunk(b"IDAT", b"") * 400_000), DAMAGED, id="PNG: empty pixel data"),
        pytest.param(png(8, 8, 8, 0, bytes(72), chunk(b"prVt", b"") * 400_000), DAMAGED, id="PNG: unknown chunks"),
        pytest.param(plain("WEBP") + (b"ABCD" + bytes(4)) * 600_000, DAMAGED, id="WebP: unknown chunks"),
        pytest.param(plain("AVIF") + b"\0\0\0\x08free" * 600_000, DAMAGED, id="AVIF: empty boxes"),
        pytest.param(deep_boxes(100_000), DAMAGED, id="AVIF: boxes in boxes"),
        pytest.param(FOUR_COLOURS_HEIC, HEIC, id="HEIC, which is off"),
    ],
)
def test_a_file_of_too_many_parts_is_refused_before_it_is_decoded(
    data: bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow reads each part in Python: nine such files of 5 MB kept everybody waiting for 21 seconds."""
    assert len(data) <= MAX_BYTES
    monkeypatch.setattr(Image, "open", lambda *_args, **_options: pytest.fail("decoded"))
    used = time.process_time()
    assert refusal(data) == words
    print(f"{len(data):,} bytes: {time.process_time() - used:.3f} s of CPU")


def test_the_parts_of_real_images_are_few_enough() -> None:
    """A camera pads some segments, and a large PNG has hundreds of chunks: neither is an attack."""
    assert encode_thumbnail(padded_jpeg(b"\xff", 2_000))
    assert encode_thumbnail(png(8, 8, 8, 0, bytes(72), chunk(b"tEXt", b"Comment\0words") * 1_500))


def test_a_baseline_jpeg_of_fifty_megapixels_is_taken_and_not_one_more() -> None:
    """Phones make them by default; what decodes at a fraction of its size needs no more memory than others."""
    photo = encoded(Image.new("RGB", (8_000, 6_250), RED), "JPEG", quality=30)
    assert decoded(encode_thumbnail(photo)).size == (922, 720)
    assert refusal(jpeg_claiming(8_000, 6_251)) == JPEG_PIXELS


@pytest.mark.parametrize(("subsampling", "taken"), [("4:2:0", True), ("4:4:4", False)])
def test_a_progressive_jpeg_is_taken_up_to_the_memory_of_its_coefficients(subsampling: str, taken: bool) -> None:
    """All coefficients of all pixels are kept until the last scan, whatever the size that is asked for."""
    photo = encoded(
        Image.new("RGB", (8_000, 6_250), RED), "JPEG", quality=30, progressive=True, subsampling=subsampling
    )
    if taken:
        assert decoded(encode_thumbnail(photo)).size == (922, 720)
    else:
        assert refusal(photo) == PROGRESSIVE


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 4_001), (4_001, 1), (401, 399), (4_000, 4_000)])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_an_even_jpeg_of_the_fewest_bits_is_taken(mode: str, size: tuple[int, int], progressive: bool) -> None:
    """What tells an image that ends too early must not meet the smallest whole ones."""
    for subsampling in ("4:4:4", "4:2:0"):
        data = encoded(
            Image.new(mode, size), "JPEG", progressive=progressive, optimize=True, quality=1, subsampling=subsampling
        )
        check_structure("JPEG", data)


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (63, 47), (3, 2_000), (640, 480), (2_600, 1_464)])
def test_a_webp_has_the_pixels_that_pillow_finds(size: tuple[int, int], mode: str, lossless: bool) -> None:
    """It is decoded by our own call of libwebp, scaled: a structure that is a byte off would show here."""
    ramp = Image.linear_gradient("L").resize(size).point(lambda value: 128 + value // 2)
    data = encoded(
        Image.merge(mode, [*[ramp] * (len(mode) - 1), ramp.transpose(Image.Transpose.ROTATE_180)]),
        "WEBP",
        lossless=lossless,
    )
    assert decode_webp(data, size).tobytes() == decoded(data).tobytes()
    half = (max(1, size[0] // 2), max(1, size[1] // 2))
    found, expected = decode_webp(data, half), decoded(data).resize(half, Image.Resampling.BOX)
    assert (found.mode, found.size) == (mode, half)
    assert max(ImageStat.Stat(ImageChops.difference(found, expected)).mean) < 4


def test_a_webp_that_is_cut_short_anywhere_is_refused() -> None:
    """Decoders fill up what is missing, if they are let to."""
    for options in ({}, {"lossless": True}):
        data = grainy("WEBP", **options)
        for end in range(0, len(data) - 1, len(data) // 40):
            with pytest.raises(InvalidArgument):
                decode_webp(data[:end], (64, 48))


def test_a_bomb_is_refused_where_warnings_are_ignored() -> None:
    """Between 89 and 178 megapixels Pillow only warns, and production shows no warnings: our own check must hold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert refusal(one_bit(12_000, 10_000)) == PIXELS


def test_sixteen_megapixels_are_the_limit() -> None:
    """An off-by-one here refuses images that the documentation allows."""
    assert decoded(encode_thumbnail(one_bit(4_000, 4_000))).size == (720, 720)
    assert refusal(one_bit(4_000, 4_001)) == PIXELS


def test_five_mebibytes_are_the_limit() -> None:
    """The limit is on the bytes sent, whatever they contain."""
    data = plain("JPEG")
    assert encode_thumbnail(data + bytes(MAX_BYTES - len(data)))
    assert refusal(data + bytes(MAX_BYTES - len(data) + 1)) == BYTES


def test_a_jpeg_of_as_many_scans_as_allowed_is_accepted() -> None:
    """Progressive JPEGs are ordinary images; only absurd numbers of scans are attacks."""
    assert decoded(encode_thumbnail(jpeg_of_scans(MAX_SCANS))).size == (64, 48)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(grainy("JPEG"), id="JPEG"),
        pytest.param(grainy("JPEG", progressive=True), id="progressive JPEG"),
        pytest.param(grainy("PNG"), id="PNG"),
        pytest.param(grainy("WEBP"), id="WebP"),
        pytest.param(grainy("AVIF"), id="AVIF"),
        pytest.param(grainy("WEBP", lossless=True), id="lossless WebP"),
    ],
)
def test_a_image_that_is_cut_short_is_refused_wherever_the_cut_is(data: bytes) -> None:
    """An upload that broke off would become a half grey thumbnail for good, with a success for an answer."""
    assert encode_thumbnail(data)
    cuts = [*range(1, 60), *range(60, len(data), 97)]
    assert {refusal(data[:-cut]) for cut in cuts} <= {DAMAGED, TYPE}
    assert refusal(data[:-1]) == DAMAGED


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((1280, 720), (1280, 720)),
        ((64, 48), (64, 48)),
        ((2560, 1440), (1280, 720)),
        ((4000, 3000), (960, 720)),
        ((3000, 4000), (540, 720)),
        ((10_000, 1), (1280, 1)),
        ((1, 10_000), (1, 720)),
        ((1, 1), (1, 1)),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_a_image_is_shrunk_to_fit_and_never_enlarged(kind: str, size: tuple[int, int], wanted: tuple[int, int]) -> None:
    """The applications lay out 16:9 summaries; an image must keep its shape inside them."""
    assert decoded(encode_thumbnail(plain(kind, size))).size == wanted


# EXIF 2.32, tag 0x0112: where the stored row 0 and the stored column 0 are in the upright image.
SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}
OPPOSITE = {"top": "bottom", "bottom": "top", "left": "right", "right": "left"}
CORNERS = {
    frozenset({"top", "left"}): RED,
    frozenset({"top", "right"}): GREEN,
    frozenset({"bottom", "left"}): BLUE,
    frozenset({"bottom", "right"}): YELLOW,
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", SIDES)
def test_a_image_stands_upright_whatever_way_the_camera_was_held(kind: str, orientation: int) -> None:
    """Phones store the sensor's rows and note the rotation: ignoring it shows users lying on their side."""
    row, column = SIDES[orientation]
    lies = row in {"left", "right"}
    width, height = (1600, 2400) if lies else (2400, 1600)
    stored = Image.new("RGB", (width, height))
    for x, side in ((0, column), (width // 2, OPPOSITE[column])):
        for y, end in ((0, row), (height // 2, OPPOSITE[row])):
            stored.paste(CORNERS[frozenset({side, end})], (x, y, x + width // 2, y + height // 2))

    shown = decoded(encode_thumbnail(encoded(stored, kind, exif=exif(orientation=orientation))))

    assert shown.size == (1080, 720)
    for (x, y), corner in {
        (20, 20): {"top", "left"},
        (1060, 20): {"top", "right"},
        (20, 700): {"bottom", "left"},
        (1060, 700): {"bottom", "right"},
    }.items():
        assert close(shown.getpixel((x, y)), CORNERS[frozenset(corner)])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "broken",
    [
        b"Exif\0\0<script>alert(1)</script>",
        b"Exif\0\0II*\0",
        b"Exif\0\0",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x04ABCD\0\0\0\0",
    ],
)
def test_unreadable_exif_is_no_reason_to_refuse_a_image(kind: str, broken: bytes) -> None:
    """Editing programs write bad metadata into good images; it is thrown away anyway."""
    shown = encode_thumbnail(encoded(Image.new("RGB", (64, 48), RED), kind, exif=broken))
    assert close(decoded(shown).getpixel((5, 5)), RED)
    assert chunks_of(shown) == {b"VP8 "}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_nothing_but_pixels_survives(kind: str) -> None:
    """A photo's EXIF says where its owner lives; a script in it may run in some viewer."""
    secret = b"<script>alert('xmp')</script>"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(Image.new("RGB", (64, 48), RED), kind, exif=exif(), xmp=secret, icc_profile=profile)
    data += b"alert('tail')"
    assert b"<script>alert('description')" in data
    assert Image.open(BytesIO(data)).getexif().get_ifd(0x8825)

    shown = encode_thumbnail(data)

    assert chunks_of(shown) == {b"VP8 "}
    assert b"alert" not in shown
    assert not decoded(shown).getexif()
    assert "icc_profile" not in decoded(shown).info


def test_comments_of_a_png_and_a_jpeg_do_not_survive() -> None:
    """Free text is where payloads hide."""
    note = b"alert('comment')"
    commented = [
        png(
            8,
            8,
            8,
            0,
            bytes(72),
            chunk(b"tEXt", b"Comment\0" + note),
            chunk(b"zTXt", b"More\0\0" + zlib.compress(note)),
        ),
        encoded(Image.new("RGB", (8, 8)), "JPEG", comment=note),
    ]
    for data in commented:
        assert note in data
        assert chunks_of(encode_thumbnail(data)) == {b"VP8 "}


def test_a_jpeg_that_is_also_an_archive_loses_the_archive() -> None:
    """A file that is two things at once is an image to us and a program to someone else."""
    polyglot = plain("JPEG") + archive()
    assert zipfile.is_zipfile(BytesIO(polyglot))

    shown = encode_thumbnail(polyglot)

    assert not zipfile.is_zipfile(BytesIO(shown))
    assert b"payload.js" not in shown
    assert close(decoded(shown).getpixel((5, 5)), RED)


def test_the_first_image_of_a_phones_double_jpeg_counts() -> None:
    """Phones put a preview or a depth map behind the photo; the photo is what its owner sees."""
    photo, other = Image.new("RGB", (64, 48), BLUE), Image.new("RGB", (32, 24), RED)
    double = encoded(photo, "MPO", save_all=True, append_images=[other])
    assert Image.open(BytesIO(double)).n_frames == 2
    shown = decoded(encode_thumbnail(double))
    assert (shown.size, close(shown.getpixel((30, 20)), BLUE)) == ((64, 48), True)


@pytest.mark.parametrize(
    ("inks", "wanted"),
    [((0, 255, 255, 0), RED), ((255, 255, 0, 0), BLUE), ((0, 0, 0, 0), (255, 255, 255)), ((0, 0, 0, 255), (0, 0, 0))],
)
def test_a_cmyk_jpeg_keeps_its_colours(inks: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    """Images from print arrive in inks; taken as light they turn into their negative."""
    data = encoded(Image.new("CMYK", (64, 48), inks), "JPEG")
    assert close(decoded(encode_thumbnail(data)).getpixel((30, 20)), wanted)


def test_sixteen_bits_per_channel_keep_their_brightness() -> None:
    """Cutting 16 bits to 8 at the wrong end turns greys into white."""
    levels = (0x0000, 0x4000, 0x8000, 0xFFFF)
    grey = b"".join(b"\0" + b"".join(struct.pack(">H", level) * 16 for level in levels) for _ in range(16))
    colour = b"".join(b"\0" + b"".join(struct.pack(">HHH", level, 0, 0) * 16 for level in levels) for _ in range(16))
    shown_grey = decoded(encode_thumbnail(png(64, 16, 16, 0, grey)))
    shown_colour = decoded(encode_thumbnail(png(64, 16, 16, 2, colour)))
    for index, level in enumerate(levels):
        assert close(shown_grey.getpixel((index * 16 + 8, 8)), (level >> 8,) * 3)
        assert abs(shown_colour.getpixel((index * 16 + 8, 8))[0] - (level >> 8)) < 24


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "RGB", "L"])
def test_transparency_survives(mode: str) -> None:
    """A logo on nothing must not get a black box around it."""
    image, options = Image.new("RGBA", (64, 48), (255, 255, 255, 255)), {}
    image.paste((0, 0, 0, 0), (0, 0, 32, 48))
    if mode == "P":
        image = image.quantize(4)
    elif mode == "LA":
        image = image.convert("LA")
    elif mode in {"RGB", "L"}:
        image, options = image.convert(mode), {"transparency": (0, 0, 0) if mode == "RGB" else 0}
    shown = decoded(encode_thumbnail(encoded(image, "PNG", **options)))
    assert shown.mode == "RGBA"
    assert shown.getpixel((8, 24))[3] == 0
    assert close(shown.getpixel((56, 24)), (255, 255, 255, 255))


@pytest.mark.parametrize("mode", ["1", "L", "P"])
def test_opaque_images_of_few_colours_become_ordinary_ones(mode: str) -> None:
    """Scans and drawings are images too."""
    image = Image.new("RGB", (64, 48), (255, 255, 255))
    image.paste((0, 0, 0), (0, 0, 32, 48))
    shown = decoded(encode_thumbnail(encoded(image.convert(mode), "PNG")))
    assert shown.mode == "RGB"
    assert close(shown.getpixel((8, 24)), (0, 0, 0))
    assert close(shown.getpixel((56, 24)), (255, 255, 255))


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_colours_are_those_that_the_embedded_profile_means(kind: str, mode: str) -> None:
    """The profile is thrown away, so what it says must be in the pixels: else wide-gamut photos look faded."""
    image = Image.new(mode, (64, 48), RED if mode == "RGB" else (*RED, 128))
    shown = decoded(encode_thumbnail(encoded(image, kind, icc_profile=swapped_profile()))).getpixel((30, 20))
    assert close(shown, BLUE if mode == "RGB" else (*BLUE, 128), tolerance=20)


@pytest.mark.parametrize(
    "profile", [b"nonsense", ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()], ids=["broken", "unfit"]
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_profile_that_does_not_fit_is_ignored(mode: str, profile: bytes) -> None:
    """As with EXIF: bad metadata does not make a bad image."""
    white = {"RGB": (255, 255, 255), "L": 255, "CMYK": (0, 0, 0, 0)}[mode]
    data = encoded(Image.new(mode, (64, 48), white), "JPEG", icc_profile=profile)
    assert close(decoded(encode_thumbnail(data)).getpixel((30, 20)), (255, 255, 255))


SEEDS = [
    grainy("JPEG", (40, 30), exif=exif(orientation=6)),
    grainy("JPEG", (40, 30), progressive=True, icc_profile=swapped_profile()),
    encoded(Image.effect_noise((40, 30), 60).convert("CMYK"), "JPEG"),
    grainy("PNG", (40, 30), exif=exif(orientation=5)),
    encoded(Image.effect_noise((40, 30), 60).convert("P"), "PNG", transparency=0),
    one_bit(1400, 8),
    png(8, 8, 16, 0, bytes(17 * 8), chunk(b"tEXt", b"Comment\0words")),
    animated("PNG"),
    grainy("WEBP", (40, 30), exif=exif(orientation=8)),
    grainy("AVIF", (40, 30), exif=exif(orientation=8)),
    grainy("WEBP", (40, 30), lossless=True, icc_profile=swapped_profile()),
    animated("WEBP"),
    encoded(Image.new("RGB", (32, 24)), "MPO", save_all=True, append_images=[Image.new("RGB", (16, 8))]),
]


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A real image after some damage: bytes overwritten, cut out, put in, or taken from another image."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from([0, 1, 2, 4, 16, 200]))
        data[at : at + length] = draw(
            st.one_of(
                st.binary(max_size=8),
                st.sampled_from([b"\xff\xda", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", *SEEDS]),
            )
        )
    return bytes(data)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow tells of damage; here as in production it is no error
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(mutations(), st.binary(max_size=64)))
def test_whatever_the_bytes_they_become_a_thumbnail_or_a_refusal(data: bytes) -> None:
    """Any other exception is a 500 that a stranger can cause at will; any other output is the stranger's own file."""
    try:
        shown = encode_thumbnail(data)
    except InvalidArgument as refused:
        (violation,) = refused.violations
        assert violation.field == "thumbnail"
        assert violation.description in WORDS
    else:
        image = decoded(shown)
        assert image.width <= 1280
        assert image.height <= 720
        assert chunks_of(shown) in ({b"VP8 "}, {b"VP8X", b"ALPH", b"VP8 "})

"""The image of streams without one."""

from livestream_server.images.default import draw_default_thumbnail
from tests.images.sample_images import chunks_of, decoded


def test_the_default_thumbnail_is_a_bright_sign_on_a_dark_ground() -> None:
    """It stands on every summary whose creator sent no image: an empty or black one looks like a fault."""
    data = draw_default_thumbnail()
    image = decoded(data)
    assert (image.size, image.mode) == ((1280, 720), "RGB")
    assert min(image.getpixel((640, 360))) > 200, "the play sign"
    assert all(max(image.getpixel(corner)) < 110 for corner in ((0, 0), (1279, 0), (0, 719), (1279, 719)))
    assert chunks_of(data) == {b"VP8 "}
    assert len(data) < 30_000


def test_the_default_thumbnail_is_the_same_in_every_process() -> None:
    """Its key is its hash: were it drawn differently each time, every start would leave one more object behind."""
    first = draw_default_thumbnail()
    draw_default_thumbnail.cache_clear()
    assert draw_default_thumbnail() == first

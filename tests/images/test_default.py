"""The picture of streams without one."""

from livestream_server.images.default import default_thumbnail
from tests.images.pictures import chunks_of, decoded


def test_the_default_thumbnail_is_a_bright_sign_on_a_dark_ground() -> None:
    """It stands on every card whose creator sent no picture: an empty or black one looks like a fault."""
    data = default_thumbnail()
    picture = decoded(data)
    assert (picture.size, picture.mode) == ((1280, 720), "RGB")
    assert min(picture.getpixel((640, 360))) > 200, "the play sign"
    assert all(max(picture.getpixel(corner)) < 110 for corner in ((0, 0), (1279, 0), (0, 719), (1279, 719)))
    assert chunks_of(data) == {b"VP8 "}
    assert len(data) < 30_000


def test_the_default_thumbnail_is_the_same_in_every_process() -> None:
    """Its key is its hash: were it drawn differently each time, every start would leave one more object behind."""
    first = default_thumbnail()
    default_thumbnail.cache_clear()
    assert default_thumbnail() == first

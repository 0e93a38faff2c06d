"""The demo users and the images of the set-up."""

from pathlib import Path

from PIL import Image

from livestream_run.dev.banner import write_sample_image
from livestream_run.dev.directory import DevDirectory
from livestream_run.dev.users import USERS, demo_users

BASE = "http://127.0.0.1:8080/media"


def test_five_users_with_full_profiles_and_lasting_ids(tmp_path: Path) -> None:
    """Lines pasted yesterday name these users, and a reader of the answers should see every field filled."""
    demo = demo_users(tmp_path, BASE)
    users = [each.user for each in demo]
    assert all(each.profile.expertise and each.profile.interests for each in demo)
    assert [each.username for each in users] == ["ayse", "mehmet", "john", "jane", "zeynep"]
    assert [each.id for each in users] == [f"6774fe2091c3a5d27b40e10{number}" for number in range(1, 6)]
    ids = [each.id for each in users] + [each.profile_photo.id for each in users]
    assert len(set(ids)) == 10
    for user in users:
        assert user.name
        assert user.surname
        assert user.availability_status == "available"
        photo = user.profile_photo
        assert bytes.fromhex(photo.id)
        assert photo.type == "image"
        assert set(photo.variants) == {"40", "76"}
        assert photo.created_at.seconds
        assert photo.updated_at.seconds


def test_every_portrait_is_a_image_of_its_size(tmp_path: Path) -> None:
    """An address in an answer that leads nowhere looks like a broken service."""
    for each in demo_users(tmp_path, BASE):
        photo = each.user.profile_photo
        for edge, url in {"400": photo.url, **photo.variants}.items():
            with Image.open(tmp_path / url.removeprefix(BASE + "/")) as image:
                image.load()
                assert (image.format, image.size) == ("WEBP", (int(edge), int(edge)))
    assert len(list((tmp_path / "portraits").iterdir())) == 15


def test_portraits_are_written_once_and_their_addresses_follow_the_gateway(tmp_path: Path) -> None:
    """After a start on another port the photos must still be reachable: same files, newer records."""
    first = demo_users(tmp_path, BASE)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "portraits").iterdir()}
    second = demo_users(tmp_path, "http://127.0.0.1:9090/media")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "portraits").iterdir()} == kept
    for old, new in zip(first, second, strict=True):
        assert new.updated_at.ToNanoseconds() >= old.updated_at.ToNanoseconds()
        assert new.updated_at.nanos % 1_000_000 == 0
        assert new.user.profile_photo.url == old.user.profile_photo.url.replace("8080", "9090")


def test_initials_can_be_drawn() -> None:
    """The bundled font shows an empty box for any other letter."""
    for user in USERS:
        assert (user.name[0] + user.surname[0]).isascii()


def test_the_sample_image_is_a_thumbnail_the_service_takes(tmp_path: Path) -> None:
    """The create line uploads it."""
    directory = DevDirectory(tmp_path)
    write_sample_image(directory)
    with Image.open(directory.sample_image) as image:
        image.load()
        assert (image.format, image.size) == ("JPEG", (1280, 720))

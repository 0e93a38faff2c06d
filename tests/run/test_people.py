"""The demo people and the pictures of the set-up."""

from pathlib import Path

from PIL import Image

from livestream_run.dev.banner import write_sample_picture
from livestream_run.dev.directory import DevDirectory
from livestream_run.dev.people import PEOPLE, demo_people

BASE = "http://127.0.0.1:8080/media"


def test_five_people_with_full_profiles_and_lasting_ids(tmp_path: Path) -> None:
    """Lines pasted yesterday name these people, and a reader of the answers should see every field filled."""
    demo = demo_people(tmp_path, BASE)
    people = [each.person for each in demo]
    assert all(each.profile.expertise and each.profile.interests for each in demo)
    assert [each.username for each in people] == ["ayse", "mehmet", "john", "jane", "zeynep"]
    assert [each.id for each in people] == [f"6774fe2091c3a5d27b40e10{number}" for number in range(1, 6)]
    ids = [each.id for each in people] + [each.profile_photo.id for each in people]
    assert len(set(ids)) == 10
    for person in people:
        assert person.name
        assert person.surname
        assert person.availability_status == "available"
        photo = person.profile_photo
        assert bytes.fromhex(photo.id)
        assert photo.type == "image"
        assert set(photo.variants) == {"40", "76"}
        assert photo.created_at.seconds
        assert photo.updated_at.seconds


def test_every_portrait_is_a_picture_of_its_size(tmp_path: Path) -> None:
    """An address in an answer that leads nowhere looks like a broken service."""
    for each in demo_people(tmp_path, BASE):
        photo = each.person.profile_photo
        for edge, url in {"400": photo.url, **photo.variants}.items():
            with Image.open(tmp_path / url.removeprefix(BASE + "/")) as picture:
                picture.load()
                assert (picture.format, picture.size) == ("WEBP", (int(edge), int(edge)))
    assert len(list((tmp_path / "portraits").iterdir())) == 15


def test_portraits_are_written_once_and_their_addresses_follow_the_gateway(tmp_path: Path) -> None:
    """After a start on another port the photos must still be reachable: same files, newer records."""
    first = demo_people(tmp_path, BASE)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "portraits").iterdir()}
    second = demo_people(tmp_path, "http://127.0.0.1:9090/media")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "portraits").iterdir()} == kept
    for old, new in zip(first, second, strict=True):
        assert new.updated_at.ToNanoseconds() >= old.updated_at.ToNanoseconds()
        assert new.updated_at.nanos % 1_000_000 == 0
        assert new.person.profile_photo.url == old.person.profile_photo.url.replace("8080", "9090")


def test_initials_can_be_drawn() -> None:
    """The bundled font shows an empty box for any other letter."""
    for person in PEOPLE:
        assert (person.name[0] + person.surname[0]).isascii()


def test_the_sample_picture_is_a_thumbnail_the_service_takes(tmp_path: Path) -> None:
    """The create line uploads it."""
    directory = DevDirectory(tmp_path)
    write_sample_picture(directory)
    with Image.open(directory.sample_picture) as picture:
        picture.load()
        assert (picture.format, picture.size) == ("JPEG", (1280, 720))

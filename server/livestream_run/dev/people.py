"""The demo people: invented, with fixed ids, full profiles and portraits."""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp

from livestream.v1.people_service_pb2 import PersonProfile, PutPersonRequest
from livestream.v1.user_pb2 import Media, UserSummary
from livestream_run.dev.pictures import PORTRAIT_EDGE, Colours, encoded, portrait

REGISTERED = Timestamp(seconds=1_735_725_600)  # 2025-01-01T10:00:00Z
VARIANTS = (76, 40)  # pixels


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """Someone to try the service as."""

    id: str
    username: str
    name: str
    surname: str
    photo_id: str
    colours: Colours
    expertise: str
    interests: tuple[str, ...]


# Initials stay within ASCII: the font that Pillow brings has no other letters.
PEOPLE = (
    DemoPerson(
        "6774fe2091c3a5d27b40e101",
        "ayse",
        "Ayşe",
        "Demir",
        "6774fe2091c3a5d27b40f101",
        Colours("#7f5af0", "#e45c9c"),
        "musician",
        ("music", "cooking"),
    ),
    DemoPerson(
        "6774fe2091c3a5d27b40e102",
        "mehmet",
        "Mehmet",
        "Güneş",
        "6774fe2091c3a5d27b40f102",
        Colours("#0f8b8d", "#1b4965"),
        "chef",
        ("cooking", "music"),
    ),
    DemoPerson(
        "6774fe2091c3a5d27b40e103",
        "john",
        "John",
        "Miller",
        "6774fe2091c3a5d27b40f103",
        Colours("#f28f3b", "#c8553d"),
        "trainer",
        ("sports", "music"),
    ),
    DemoPerson(
        "6774fe2091c3a5d27b40e104",
        "jane",
        "Jane",
        "Cooper",
        "6774fe2091c3a5d27b40f104",
        Colours("#3a86ff", "#3d348b"),
        "photographer",
        ("photography", "travel"),
    ),
    DemoPerson(
        "6774fe2091c3a5d27b40e105",
        "zeynep",
        "Zeynep",
        "Akgün",
        "6774fe2091c3a5d27b40f105",
        Colours("#57a773", "#1f6f54"),
        "gamer",
        ("games", "music", "sports"),
    ),
)


def demo_people(media_directory: Path, media_base_url: str) -> list[PutPersonRequest]:
    """The people as `PeopleService.PutPerson` takes them; writes their portraits where absent.

    Each call makes newer records, because the pictures' addresses follow the gateway's port.
    """
    updated_at = Timestamp()
    updated_at.FromMilliseconds(time.time_ns() // 1_000_000)
    return [
        PutPersonRequest(
            person=UserSummary(
                id=person.id,
                username=person.username,
                name=person.name,
                surname=person.surname,
                profile_photo=_photo(person, media_directory, media_base_url),
                availability_status="available",
            ),
            profile=PersonProfile(expertise=person.expertise, interests=person.interests),
            updated_at=updated_at,
        )
        for person in PEOPLE
    ]


def _photo(person: DemoPerson, media_directory: Path, media_base_url: str) -> Media:
    picture = portrait(person.name[0] + person.surname[0], person.colours)
    original, *variants = (
        f"{media_base_url}/{_stored(encoded(picture, 'WEBP', edge), media_directory)}"
        for edge in (PORTRAIT_EDGE, *VARIANTS)
    )
    return Media(
        id=person.photo_id,
        url=original,
        type="image",
        variants={str(edge): url for edge, url in zip(VARIANTS, variants, strict=True)},
        created_at=REGISTERED,
        updated_at=REGISTERED,
    )


def _stored(content: bytes, media_directory: Path) -> str:
    name = f"portraits/{hashlib.sha256(content).hexdigest()[:32]}.webp"
    path = media_directory / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".new")
        unfinished.write_bytes(content)
        unfinished.replace(path)
    return name

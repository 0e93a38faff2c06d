"""The demo users: invented, with fixed ids, full profiles, portraits and tokens."""

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp

from livestream.v1.user_pb2 import Media, UserSummary
from livestream.v1.user_service_pb2 import PutUserRequest, UserProfile
from livestream_run.dev.directory import AUDIENCE, ISSUER, DevDirectory, DevError
from livestream_run.dev.images import PORTRAIT_EDGE, Colours, draw_portrait, encode_image
from livestream_server.auth.minting import mint

REGISTERED = Timestamp(seconds=1_735_725_600)  # 2025-01-01T10:00:00Z
VARIANTS = (76, 40)  # pixels


@dataclass(frozen=True, slots=True)
class DemoUser:
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
USERS = (
    DemoUser(
        "6774fe2091c3a5d27b40e101",
        "ayse",
        "Ayşe",
        "Demir",
        "6774fe2091c3a5d27b40f101",
        Colours("#7f5af0", "#e45c9c"),
        "musician",
        ("music", "cooking"),
    ),
    DemoUser(
        "6774fe2091c3a5d27b40e102",
        "mehmet",
        "Mehmet",
        "Güneş",
        "6774fe2091c3a5d27b40f102",
        Colours("#0f8b8d", "#1b4965"),
        "chef",
        ("cooking", "music"),
    ),
    DemoUser(
        "6774fe2091c3a5d27b40e103",
        "john",
        "John",
        "Miller",
        "6774fe2091c3a5d27b40f103",
        Colours("#f28f3b", "#c8553d"),
        "trainer",
        ("sports", "music"),
    ),
    DemoUser(
        "6774fe2091c3a5d27b40e104",
        "jane",
        "Jane",
        "Cooper",
        "6774fe2091c3a5d27b40f104",
        Colours("#3a86ff", "#3d348b"),
        "photographer",
        ("photography", "travel"),
    ),
    DemoUser(
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


def demo_users(media_directory: Path, media_base_url: str) -> list[PutUserRequest]:
    """The users as `UserService.PutUser` takes them; writes their portraits where absent.

    Each call makes newer records, because the images' addresses follow the gateway's port.
    """
    updated_at = Timestamp()
    updated_at.FromMilliseconds(time.time_ns() // 1_000_000)
    return [
        PutUserRequest(
            user=UserSummary(
                id=user.id,
                username=user.username,
                name=user.name,
                surname=user.surname,
                profile_photo=_make_photo(user, media_directory, media_base_url),
                availability_status="available",
            ),
            profile=UserProfile(expertise=user.expertise, interests=user.interests),
            updated_at=updated_at,
        )
        for user in USERS
    ]


def _make_photo(user: DemoUser, media_directory: Path, media_base_url: str) -> Media:
    image = draw_portrait(user.name[0] + user.surname[0], user.colours)
    original, *variants = (
        f"{media_base_url}/{_store(encode_image(image, 'WEBP', edge), media_directory)}"
        for edge in (PORTRAIT_EDGE, *VARIANTS)
    )
    return Media(
        id=user.photo_id,
        url=original,
        type="image",
        variants={str(edge): url for edge, url in zip(VARIANTS, variants, strict=True)},
        created_at=REGISTERED,
        updated_at=REGISTERED,
    )


def _store(content: bytes, media_directory: Path) -> str:
    name = f"portraits/{hashlib.sha256(content).hexdigest()[:32]}.webp"
    path = media_directory / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".new")
        unfinished.write_bytes(content)
        unfinished.replace(path)
    return name


def dev_token(directory: DevDirectory, name: str, scope: str = "") -> str:
    """A token that the service of `make run` accepts.

    Args:
        directory: The directory of the running set-up.
        name: Username of a demo user.
        scope: Space-separated scopes, for example `users:write access:write`, to call as an internal service.

    Raises:
        DevError: Nobody has that name, or there is no set-up yet.
    """
    user = next((each for each in USERS if each.username == name), None)
    if user is None:
        names = ", ".join(each.username for each in USERS)
        raise DevError(f"There is no demo user of that name. Names: {names}.")
    return mint(
        os.environ.get("JWT_SECRET") or directory.secrets().jwt_secret,
        user.id,
        issuer=os.environ.get("JWT_ISSUER") or ISSUER,
        audience=os.environ.get("JWT_AUDIENCE") or AUDIENCE,
        scope=scope,
    )

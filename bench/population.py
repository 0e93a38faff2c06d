"""Who and what exists during a run: users, their tokens, and streams, each computed from its number.

The database stub and the load know the same population without talking to each other. Streams 0 to STREAMS - 1 are
live, free and solo; number `n` belongs to user `n`. The next VIEWERS users watch again and again, so that the
service knows their tokens and participants; the NEWCOMERS after them are each seen for the first time.
"""

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from bson import ObjectId

from livestream_server.auth.minting import mint
from livestream_server.mongo.client import Document
from livestream_server.streams.model import Broadcaster, Stream
from livestream_server.streams.store import to_document
from livestream_server.users.model import Photo, Profile, User
from livestream_server.users.store import to_document as encode_user
from livestream_server.vocabulary import Role, Status, StreamType

STREAMS = 1_000
VIEWERS = 1_000
NEWCOMERS = 20_000
USERS = STREAMS + VIEWERS + NEWCOMERS

DATABASE = "bench"
JWT_SECRET = "a-secret-of-the-benchmark-which-is-long-enough"
ISSUER, AUDIENCE = "livestream-bench", "livestream"
APP_ID = "970ca35de60c44645bbae8a215061b33"
CERTIFICATE = "5cfd2fd1755d40ecb72977518be15d3b"

_LONG_AGO = datetime(2025, 1, 1, 10, tzinfo=UTC)
NOW = datetime.now(UTC)


def environment(mongo_uri: str, media: Path) -> dict[str, str]:
    """What `livestream-server serve` reads; everything else stays as a user gets it."""
    return {
        "MONGODB_URI": mongo_uri,
        "MONGODB_DATABASE": DATABASE,
        "AGORA_APP_ID": APP_ID,
        "AGORA_APP_CERTIFICATE": CERTIFICATE,
        "JWT_SECRET": JWT_SECRET,
        "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": AUDIENCE,
        "MEDIA_DIRECTORY": str(media),
        "LIVESTREAM_DRAIN_SECONDS": "0",
        "LIVESTREAM_LOG_FORMAT": "json",
        # One viewer stands for many; the limits are kept, and cost what they cost, but are never met.
        "LIVESTREAM_READ_RATE": "1000000/second",
        "LIVESTREAM_WRITE_RATE": "1000000/second",
        "LIVESTREAM_CREATE_RATE": "1000000/second",
        "LIVESTREAM_JOIN_RATE": "1000000/second",
        "LIVESTREAM_INTERNAL_RATE": "1000000/second",
        "LIVESTREAM_CALLER_SHARE": "1",
        "LIVESTREAM_WATCHERS_PER_USER": "100000",
        "LIVESTREAM_WATCHERS_PER_USER_AND_STREAM": "100000",
    }


def user_id(number: int) -> str:
    return f"6774fe20{number:016x}"


def stream_id(number: int) -> str:
    return f"6774fe21{number:016x}"


@cache
def token(user: int) -> str:
    """One JWT per user, as long as a real one: the service sees it again when the user comes back."""
    return mint(JWT_SECRET, user_id(user), issuer=ISSUER, audience=AUDIENCE)


def stream_document(number: int) -> Document:
    """A live stream as the package `streams` stores it, its host inside."""
    stream = Stream(
        id=stream_id(number),
        title=f"Evening guitar {number}",
        type=StreamType.SOLO,
        channel_name=channel(number),
        rtm_channel=f"{number:048x}",
        creator=user_id(number),
        broadcasters=(Broadcaster(user_id(number), Role.HOST, 1_000_000 + number, NOW),),
        thumbnail=None,
        status=Status.ACTIVE,
        price=None,
        interest="music",
        duration_goal=60,
        motivation="New songs, and some that you know.",
        planned_start=None,
        planned_end=None,
        started_at=NOW,
        ended_at=None,
        created_at=NOW,
        updated_at=NOW,
        host_seen_at=NOW,
    )
    return {**to_document(stream), "due_at": NOW + timedelta(hours=1)}


def channel(number: int) -> str:
    return f"evening-guitar-{number}-{stream_id(number)}"


def user_document(number: int) -> Document:
    """A user as the package `users` stores them."""
    return {"_id": ObjectId(user_id(number)), **encode_user(user(number))}


def user(number: int) -> User:
    """A user with a portrait in two sizes."""
    image = f"https://media.example.com/portraits/{number:032x}"
    return User(
        id=user_id(number),
        username=f"user{number}",
        name="Ayşe",
        surname="Demir",
        availability_status="available",
        photo=Photo(
            id=f"6774fe22{number:016x}",
            url=f"{image}.webp",
            type="image",
            variants=(("40", f"{image}-40.webp"), ("76", f"{image}-76.webp")),
            created_at=_LONG_AGO,
            updated_at=_LONG_AGO,
        ),
        profile=Profile(followers_count=None, following_count=None, expertise=None, interests=()),
        updated_at=_LONG_AGO,
    )

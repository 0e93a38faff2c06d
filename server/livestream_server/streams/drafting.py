"""What a new stream must look like, and how its channels are named."""

import re
import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from livestream_server.errors import InvalidArgument, Violation
from livestream_server.streams.model import Broadcaster, Stream
from livestream_server.vocabulary import ID, Role, Status, StreamType

TITLE_LENGTH = 120
MOTIVATION_LENGTH = 1_000
MAX_MINUTES = 24 * 60
MAX_PRICE = Decimal(1_000_000)
MAX_AHEAD = timedelta(days=365)
SLUG_LENGTH = 38  # with a hyphen and an id, 63 bytes: as many as Agora takes

_PRICE = re.compile(r"[0-9]{1,7}(\.[0-9]{1,2})?")
_INTEREST = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_DOTLESS = str.maketrans("ıø", "io")  # letters that no decomposition turns into ASCII


@dataclass(frozen=True, slots=True)
class StreamDraft:
    """What a creator asks for, unchecked."""

    title: str
    guests: Sequence[str]
    type: StreamType | None
    """None if the caller named a type that does not exist."""
    price: str | None
    interest: str | None
    duration_goal: int | None
    motivation: str | None
    planned_start: datetime | None
    thumbnail: bytes = field(default=b"", repr=False)
    """The image as it was sent; empty if there is none."""


def new_stream(stream_id: str, draft: StreamDraft, creator: str, thumbnail: str | None, now: datetime) -> Stream:
    """The stream that a checked draft becomes: preparing, or scheduled if it has a planned start."""
    start = draft.planned_start
    minutes = draft.duration_goal
    return Stream(
        id=stream_id,
        title=_tidy(draft.title),
        type=draft.type or StreamType.SOLO,
        channel_name=channel_name(draft.title, stream_id),
        rtm_channel=draw_rtm_channel(),
        creator=creator,
        broadcasters=(Broadcaster(creator, Role.HOST), *(Broadcaster(each, Role.GUEST) for each in draft.guests)),
        thumbnail=thumbnail,
        status=Status.SCHEDULED if start else Status.PREPARING,
        price=Decimal(draft.price) if draft.price is not None else None,
        interest=draft.interest,
        duration_goal=minutes,
        motivation=_tidy(draft.motivation) if draft.motivation is not None else None,
        planned_start=start,
        planned_end=start + timedelta(minutes=minutes) if start and minutes else None,
        started_at=None,
        ended_at=None,
        created_at=now,
        updated_at=now,
    )


def check_draft(draft: StreamDraft, creator: str, now: datetime) -> None:
    """Raise InvalidArgument with everything that is wrong with `draft`."""
    violations = [
        *_text("title", draft.title, 1, TITLE_LENGTH),
        *_guests(draft, creator),
        *(_text("motivation", draft.motivation, 0, MOTIVATION_LENGTH) if draft.motivation is not None else ()),
    ]
    if draft.type is None:
        violations.append(Violation("live_stream_type", "must be solo, duocrowd or duoself"))
    if draft.price is not None and not (
        _PRICE.fullmatch(draft.price) and Decimal("0.01") <= Decimal(draft.price) <= MAX_PRICE
    ):
        violations.append(Violation("price", "must be 0.01 to 1000000 with at most two decimals"))
    if draft.interest is not None and not _INTEREST.fullmatch(draft.interest):
        violations.append(Violation("interest", "must be 1 to 40 of a-z, 0-9, _ and -, the first a letter or digit"))
    if draft.duration_goal is not None and not 1 <= draft.duration_goal <= MAX_MINUTES:
        violations.append(Violation("duration_goal", f"must be 1 to {MAX_MINUTES} minutes"))
    if draft.planned_start is not None and not now < draft.planned_start <= now + MAX_AHEAD:
        violations.append(Violation("planned_start_date", "must be in the future, at most 365 days ahead"))
    if violations:
        raise InvalidArgument(*violations)


def _text(name: str, value: str, shortest: int, longest: int) -> list[Violation]:
    text = _tidy(value)
    if shortest <= len(text) <= longest and not any(unicodedata.category(each) == "Cc" for each in text):
        return []
    return [Violation(name, f"must be {shortest} to {longest} characters, no control characters")]


def _guests(draft: StreamDraft, creator: str) -> list[Violation]:
    wanted = 0 if draft.type in (None, StreamType.SOLO) else 1
    if draft.type is not None and len(draft.guests) != wanted:
        return [Violation("guests", f"{draft.type} has {'no guests' if wanted == 0 else 'exactly one guest'}")]
    if creator in draft.guests:
        return [Violation("guests", "must not name the creator")]
    return [
        Violation(f"guests[{i}]", "must be 24 hexadecimal digits in lower case")
        for i, each in enumerate(draft.guests)
        if not ID.fullmatch(each)
    ]


def _tidy(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()


def channel_name(title: str, stream_id: str) -> str:
    """`slug-of-the-title-` and the stream's id, at most 63 bytes, which is Agora's limit: public, and unique."""
    plain = unicodedata.normalize("NFKD", title.casefold().translate(_DOTLESS)).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:SLUG_LENGTH].rstrip("-") or "stream"
    return f"{slug}-{stream_id}"


def draw_rtm_channel() -> str:
    """192 random bits as hexadecimal digits, of at most 64 bytes.

    Agora asks for no token of a message channel, so its name must be a secret of those who were let in.
    (AgoraIO/Docs, shared/signaling/authentication-workflow)
    """
    return secrets.token_hex(24)

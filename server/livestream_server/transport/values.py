"""Values of the wire as values of the language, and back; each room's service uses them."""

import re
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from livestream_server.errors import Invalid, Violation

_ID = re.compile(r"[0-9a-f]{24}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def object_id(field: str, value: str) -> str:
    """`value`, if it is 24 hexadecimal digits in lower case; raises Invalid otherwise."""
    if not _ID.fullmatch(value):
        raise Invalid(Violation(field, "must be 24 hexadecimal digits in lower case"))
    return value


def moment(field: str, value: Timestamp) -> datetime:
    """The instant in UTC, cut to the millisecond that the database keeps; raises Invalid if there is no such date."""
    try:
        at = value.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Invalid(Violation(field, "must be a date of the years 1 to 9999")) from None
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def timestamp(at: datetime | None) -> Timestamp | None:
    """`at` for a message; None leaves the field unset."""
    if at is None:
        return None
    since = at - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)


def utc_now() -> datetime:
    """The service's clock: UTC, cut to the millisecond."""
    now = datetime.now(UTC)
    return now - timedelta(microseconds=now.microsecond % 1000)

"""Parse the values that many requests carry: ids, instants, idempotency keys. Every servicer uses these functions."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from livestream_server.errors import InvalidArgument, Violation
from livestream_server.transport.call import is_request_id
from livestream_server.vocabulary import ID


def parse_object_id(field: str, value: str) -> str:
    """`value`, if it is 24 hexadecimal digits in lower case; raises InvalidArgument otherwise."""
    if not ID.fullmatch(value):
        raise InvalidArgument(Violation(field, "must be 24 hexadecimal digits in lower case"))
    return value


def parse_instant(field: str, value: Timestamp) -> datetime:
    """The instant in UTC, cut to the millisecond; raises InvalidArgument if there is no such date."""
    try:
        at = value.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidArgument(Violation(field, "must be a date of the years 1 to 9999")) from None
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def parse_idempotency_key(request_id: str) -> str | None:
    """The idempotency key, or None if the caller gave none; raises InvalidArgument if it can be none."""
    if request_id and not is_request_id(request_id):
        raise InvalidArgument(Violation("request_id", "must be 1 to 64 visible ASCII characters"))
    return request_id or None

"""Parse the values that many requests carry: ids, instants, idempotency keys. Every servicer uses these functions."""

import hashlib
from datetime import UTC, datetime

from google.protobuf.message import Message
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


def parse_idempotency(request: Message) -> tuple[str, bytes] | tuple[None, None]:
    """The idempotency key in `request_id` and the fingerprint of the content that it stands for; nothing without a key.

    Raises InvalidArgument if the key is not 1 to 64 visible ASCII characters.
    """
    key = parse_idempotency_key(getattr(request, "request_id"))  # noqa: B009 - a field that only some messages have
    if key is None:
        return None, None
    content = type(request)()
    content.CopyFrom(request)
    content.ClearField("request_id")
    return key, hashlib.sha256(content.SerializeToString(deterministic=True)).digest()

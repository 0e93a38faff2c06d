"""The old place of `parsing`, `presenting` and `clock`, until the packages import from there."""

from livestream_server.clock import utc_now
from livestream_server.transport.parsing import (
    parse_idempotency,
    parse_idempotency_key,
    parse_instant,
    parse_object_id,
)
from livestream_server.transport.presenting import to_timestamp

__all__ = [
    "parse_idempotency",
    "parse_idempotency_key",
    "parse_instant",
    "parse_object_id",
    "to_timestamp",
    "utc_now",
]

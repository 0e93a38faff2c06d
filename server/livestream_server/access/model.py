"""Who paid for which stream."""

from dataclasses import dataclass
from datetime import datetime

from livestream_server.errors import PermissionDenied


class PaymentRequired(PermissionDenied):
    """The stream is paid, and the caller has no grant for it."""

    reason = "PAYMENT_REQUIRED"

    def __init__(self, stream_id: str) -> None:
        super().__init__("this stream is paid; get access to it first", live_stream_id=stream_id)


@dataclass(frozen=True, slots=True)
class Grant:
    """A user may enter a paid stream."""

    stream_id: str
    user: str
    granted_at: datetime
    """When access was first granted."""

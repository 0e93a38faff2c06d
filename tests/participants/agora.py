"""Notifications as Agora would send them."""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.support.environment import NOTIFICATION_SECRET as SECRET

JOINED, LEFT = {"host": 103, "audience": 105}, {"host": 104, "audience": 106}


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    """The headers that Agora sends with `body`."""
    return {
        "Agora-Signature-V2": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
        "Agora-Signature": hmac.new(secret.encode(), body, hashlib.sha1).hexdigest(),
    }


def body_of(event_type: int, payload: dict[str, Any], **changes: Any) -> bytes:
    """The body of an RTC notification that is sent now."""
    now = int(time.time() * 1000)
    notice = {
        "noticeId": secrets.token_hex(16),
        "productId": 1,
        "eventType": event_type,
        "notifyMs": now,
        "eventMs": now,
        "sid": secrets.token_hex(8),
        "payload": payload,
    }
    return json.dumps(notice | changes).encode()


@dataclass
class Channel:
    """Tells what happens in one channel; each user's events are numbered in their order."""

    name: str
    sequences: dict[int, int] = field(default_factory=dict)

    def joined(self, uid: int, at: datetime, role: str = "audience") -> bytes:
        return self._body(JOINED[role], uid, at)

    def left(self, uid: int, at: datetime, role: str = "audience", duration: int = 0) -> bytes:
        return self._body(LEFT[role], uid, at, duration=duration, reason=1)

    def _body(self, event_type: int, uid: int, at: datetime, **more: Any) -> bytes:
        self.sequences[uid] = self.sequences.get(uid, 1600) + 3  # it rises, and not by one
        payload = {
            "channelName": self.name,
            "uid": uid,
            "clientSeq": self.sequences[uid],
            "platform": 7,
            "ts": int(at.timestamp()),
            **more,
        }
        return body_of(event_type, payload, eventMs=round(at.timestamp() * 1000))


def resent(bodies: Sequence[bytes]) -> list[bytes]:
    """The same notifications once more, as Agora sends them: with another `notifyMs`."""
    return [json.dumps(json.loads(each) | {"notifyMs": int(time.time() * 1000) + 1}).encode() for each in bodies]

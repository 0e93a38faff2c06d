"""Ids from idempotency keys, and fingerprints of what they stand for."""

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from livestream_server.mongo.idempotency import derive_id, fingerprint
from livestream_server.vocabulary import BanAction

CREATOR, OTHER = "a" * 24, "b" * 24


@dataclass(frozen=True)
class Draft:
    title: str | None = "t"
    action: BanAction | None = BanAction.BLOCK
    guests: tuple[str, ...] = ("g", "h")
    price: Decimal | None = Decimal("5.0")
    at: datetime | None = datetime(2026, 1, 1, tzinfo=UTC)
    image: bytes | None = b"\x00\xff"


def test_an_id_is_the_hash_of_purpose_creator_and_key() -> None:
    """Another release, or another language, must find what a key made; without any secret to lose."""
    expected = hashlib.sha256(b"livestream.ban.v1" + bytes.fromhex(CREATOR) + "k\u00fc".encode()).digest()[:12]
    assert derive_id("livestream.ban.v1", CREATOR, "kü").binary == expected


def test_ids_of_other_keys_creators_and_purposes_differ() -> None:
    """A key is its creator's own, and makes one thing of each kind."""
    ids = {
        derive_id(*each) for each in (("p", CREATOR, "k"), ("p", CREATOR, "l"), ("p", OTHER, "k"), ("q", OTHER, "k"))
    }
    assert len(ids) == 4


@pytest.mark.parametrize(
    "change",
    [
        {"title": None},
        {"title": "u"},
        {"action": BanAction.CHAT_ONLY},
        {"action": None},
        {"guests": ("h", "g")},
        {"price": Decimal("5.1")},
        {"at": datetime(2026, 1, 2, tzinfo=UTC)},
        {"image": b"\x00\xfe"},
        {"image": None},
    ],
    ids=str,
)
def test_a_fingerprint_changes_with_every_field(change: dict[str, object]) -> None:
    """A field that it does not see would let a key stand for two things."""
    assert fingerprint(Draft()) == fingerprint(Draft())
    assert fingerprint(replace(Draft(), **change)) != fingerprint(Draft())  # type: ignore[arg-type]

"""Idempotency keys: the key names the document that it makes, and the document knows what it was made of."""

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING

from bson import ObjectId

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def derive_id(purpose: str, creator: str, key: str) -> ObjectId:
    """The `_id` of what `creator` makes with this key: the first 12 bytes of a SHA-256 without any secret.

    A secret would make a retry after its rotation a second document. `purpose` sets collections apart.
    """
    digest = hashlib.sha256(purpose.encode() + ObjectId(creator).binary + key.encode()).digest()
    return ObjectId(digest[:12])


def fingerprint(draft: "DataclassInstance") -> bytes:
    """SHA-256 of the draft's fields as JSON with sorted names; bytes stand in it by their own hash."""
    content = json.dumps(dataclasses.asdict(draft), sort_keys=True, default=_to_json)
    return hashlib.sha256(content.encode()).digest()


def _to_json(value: object) -> str:
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else str(value)

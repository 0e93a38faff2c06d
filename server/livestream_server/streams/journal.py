"""What has happened to a stream, kept in its own document, so that a change and its record are one write.

`revision` counts the changes, and `changes` holds the last KEPT of them, the newest at the end: the last one has the
revision of the document, the one before it has one less, so none needs a number of its own. Both grow in the very
update that makes the change. Whoever reads the document at some revision has every change up to it; no crash, race or
restart can part a change from its record.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from bson import ObjectId

from livestream_server.mongo.client import Document
from livestream_server.vocabulary import Role

KEPT = 256
"""Changes per stream. A stream has some dozens in its life, of about 60 bytes."""

HIDDEN: Mapping[str, int] = {"changes": 0}
"""The projection of reads that do not need them."""

_STATE = ("status", "end_reason")


class JoinedBroadcaster(NamedTuple):
    """A host or guest who has entered the channel."""

    user: str
    role: Role
    uid: int


def build_update(values: Document, now: datetime, joined: JoinedBroadcaster | None = None) -> Document:
    """The update that sets `values` (fields of a stream's document) and records what a watcher can see of it.

    `joined` is the broadcaster whose fields are among the values.
    """
    changes = _build_records(values, now, joined)
    update: Document = {"$set": values}
    if changes:
        update["$inc"] = {"revision": len(changes)}
        update["$push"] = {"changes": {"$each": changes, "$slice": -KEPT}}
    return update


def _build_records(values: Document, now: datetime, joined: JoinedBroadcaster | None) -> list[Document]:
    records: list[Document] = []
    if "status" in values:
        records.append({"at": now, **{name: values[name] for name in _STATE if name in values}})
    if joined:
        user = {"user": ObjectId(joined.user), "role": joined.role.value, "uid": joined.uid}
        records.append({"at": now, **user, "joined": True})
    if values.get("deleted_at"):
        records.append({"at": now, "deleted": True})
    return records


def number_changes(document: Mapping[str, Any]) -> tuple[int, list[tuple[int, Document]]]:
    """The revision of a stored stream, and the changes that it holds, each with its own."""
    revision: int = document.get("revision", 0)
    changes = document.get("changes", [])
    return revision, list(enumerate(changes, revision - len(changes) + 1))

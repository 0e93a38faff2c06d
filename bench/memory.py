"""Collections in memory, and the answers of a MongoDB to the commands that the service sends to it.

Documents are found by `_id`; a filter without one finds nothing, which is the truth about this population: no stream in
it is due to end, none has reminders, and no idempotency key was used. Whatever else is asked is answered with an error,
so that no figure rests on a wrong answer; the service's counting of rankings, which no call waits for, is such a case.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import bson
from bench import population
from bson.raw_bson import RawBSONDocument

Document = dict[str, Any]

COUNTS = "benchCounts"
"""A command of our own: how many commands of each name and collection were answered, as `{"find streams": 12}`."""

_TESTS: Mapping[str, Callable[[Any, Any], bool]] = {
    "$in": lambda value, wanted: value in wanted,
    "$lt": lambda value, limit: value is not None and value < limit,
    "$lte": lambda value, limit: value is not None and value <= limit,
    "$gt": lambda value, limit: value is not None and value > limit,
    "$gte": lambda value, limit: value is not None and value >= limit,
}
Changes = dict[str, Callable[[Any, Any], Any]]
"""The new value of a field by the operator of an update, from the old value and the operand."""
_CHANGES: Changes = {
    "$set": lambda _, new: new,
    "$inc": lambda old, by: (old or 0) + by,
    "$min": lambda old, new: new if old is None else min(old, new),
    "$max": lambda old, new: new if old is None else max(old, new),
    "$push": lambda old, push: _pushed(old or [], **{name.removeprefix("$"): value for name, value in push.items()}),
}
_ON_INSERT: Changes = {"$setOnInsert": _CHANGES["$set"]}
_WITHOUT_ID = {frozenset({"due_at"}), frozenset({"status", "reminders"})}
"""Fields of the filters that may come without `_id`."""


class Unknown(Exception):
    """Something was asked that this database does not know."""


class Duplicate(Exception):
    """A document has an `_id` that another one has."""

    def __init__(self, key: Any) -> None:
        self.error = {
            "code": 11000,
            "errmsg": f"E11000 duplicate key error index: _id_ dup key: {{ _id: {key} }}",
            "keyPattern": {"_id": 1},
            "keyValue": {"_id": key},
        }


class Memory:
    """The collections, and the answer to each command on them."""

    def __init__(self, hello: Document) -> None:
        self._hello = hello
        self._counts: Counter[str] = Counter()
        self._collections: dict[str, dict[Any, RawBSONDocument]] = {
            "streams": _stored(population.stream_document, population.STREAMS),
            "users": _stored(population.user_document, population.USERS),
        }
        self._commands: Mapping[str, Callable[[Document], Document]] = {
            **dict.fromkeys(("hello", "ismaster"), lambda _: self._hello),
            **dict.fromkeys(("ping", "endSessions", "create", "createIndexes"), lambda _: {}),
            "find": self._find,
            "insert": self._insert,
            "update": self._update,
            "findAndModify": self._find_and_modify,
            "delete": self._delete,
            COUNTS: lambda _: {"counts": dict(self._counts)},
        }

    def answer(self, command: Document) -> Document:
        """The reply to `command`, whose first key is its name, as in MongoDB."""
        name = next(iter(command))
        if isinstance(command[name], str):
            self._counts[f"{name} {command[name]}"] += 1
        try:
            return {**self._commands.get(name, _unknown)(command), "ok": 1.0}
        except Unknown as error:
            return {"ok": 0.0, "code": 59, "codeName": "CommandNotFound", "errmsg": f"not known here: {error}"}

    def _collection(self, command: Document) -> dict[Any, RawBSONDocument]:
        return self._collections.setdefault(next(iter(command.values())), {})

    def _find(self, command: Document) -> Document:
        documents = self._found(self._collection(command), command["filter"])
        found = [_shown(each, command.get("projection")) for each in documents]
        return {"cursor": {"firstBatch": found, "id": bson.Int64(0), "ns": f"bench.{command['find']}"}}

    def _found(self, collection: dict[Any, RawBSONDocument], filter_: Document) -> list[RawBSONDocument]:
        if "_id" not in filter_:
            if frozenset(filter_) not in _WITHOUT_ID:
                raise Unknown(f"a filter by {', '.join(filter_)}")
            return []
        wanted, others = filter_["_id"], {key: value for key, value in filter_.items() if key != "_id"}
        ids = wanted["$in"] if isinstance(wanted, dict) and wanted.keys() == {"$in"} else [wanted]
        keys = dict.fromkeys(map(_key, ids))
        return [collection[each] for each in keys if each in collection and _matches(collection[each], others)]

    def _insert(self, command: Document) -> Document:
        collection = self._collection(command)
        return _each(command, command["documents"], lambda document: _inserted(collection, document))

    def _update(self, command: Document) -> Document:
        collection = self._collection(command)
        return _each(command, command["updates"], lambda update: self._updated(collection, update))

    def _updated(self, collection: dict[Any, RawBSONDocument], update: Document) -> Document:
        if update.get("multi") or not isinstance(update["u"], dict):
            raise Unknown("an update of many documents, or by a pipeline")
        if self._changed(collection, update["q"], update["u"]):
            return {"n": 1, "nModified": 1}
        if not update.get("upsert"):
            return {"n": 0, "nModified": 0}
        _inserted(collection, _applied({"_id": update["q"]["_id"]}, update["u"], _CHANGES | _ON_INSERT))
        return {"n": 1, "nModified": 0, "upserted": [update["q"]["_id"]]}

    def _find_and_modify(self, command: Document) -> Document:
        if not command.get("new") or command.get("upsert"):
            raise Unknown("findAndModify that answers with the old document, or inserts")
        changed = self._changed(self._collection(command), command["query"], command["update"])
        return {"value": _shown(changed, command.get("fields"))}

    def _changed(
        self, collection: dict[Any, RawBSONDocument], filter_: Document, update: Document
    ) -> RawBSONDocument | None:
        """The document after the update; None if the filter finds none."""
        known = {name: values for name, values in update.items() if name not in _ON_INSERT}
        for found in self._found(collection, filter_):
            changed = _raw(_applied(bson.decode(found.raw), known, _CHANGES))
            collection[_key(changed["_id"])] = changed
            return changed
        return None

    def _delete(self, command: Document) -> Document:
        (delete,) = command["deletes"]
        collection = self._collection(command)
        found = self._found(collection, delete["q"])
        for each in found:
            del collection[_key(each["_id"])]
        return {"n": len(found)}


def _each(command: Document, statements: Sequence[Document], run: Callable[[Document], Document]) -> Document:
    """Run the statements of a command, as MongoDB does: an ordered one ends with the first that fails."""
    reply: Document = {"n": 0}
    for index, statement in enumerate(statements):
        try:
            outcome = run(statement)
        except Duplicate as duplicate:
            reply.setdefault("writeErrors", []).append({"index": index, **duplicate.error})
            if command.get("ordered", True):
                break
            continue
        for key in outcome.pop("upserted", []):
            reply.setdefault("upserted", []).append({"index": index, "_id": key})
        for name, number in outcome.items():
            reply[name] = reply.get(name, 0) + number
    return reply


def _applied(document: Document, update: Document, changes: Changes) -> Document:
    """The document after the operators of an update."""
    if unknown := update.keys() - changes.keys():
        raise Unknown(f"an update by {', '.join(unknown)}")
    for name, values in update.items():
        for path, value in values.items():
            holder, last = _holder(document, path)
            old = holder[last] if isinstance(holder, list) else holder.get(last)
            holder[last] = changes[name](old, value)
    return document


def _inserted(collection: dict[Any, RawBSONDocument], document: Document) -> Document:
    """Raises Duplicate. A unique index but that of `_id` never refuses: nobody here draws what is taken."""
    key = _key(document["_id"])
    if key in collection:
        raise Duplicate(document["_id"])
    collection[key] = _raw(document)
    return {"n": 1}


def _unknown(command: Document) -> Document:
    raise Unknown(next(iter(command)))


def _stored(document: Callable[[int], Document], number: int) -> dict[Any, RawBSONDocument]:
    documents = [document(n) for n in range(number)]
    return {each["_id"]: _raw(each) for each in documents}


def _raw(document: Document) -> RawBSONDocument:
    return RawBSONDocument(bson.encode(document))


def _key(value: Any) -> Any:
    """An `_id` as a dictionary's key."""
    return tuple(value.items()) if isinstance(value, Mapping) else value


def _matches(stored: RawBSONDocument, conditions: Document) -> bool:
    document = bson.decode(stored.raw) if conditions else {}
    return all(_holds(_value(document, field), condition) for field, condition in conditions.items())


def _holds(value: Any, condition: Any) -> bool:
    if not isinstance(condition, dict):
        return bool(value == condition)
    if unknown := condition.keys() - _TESTS.keys():
        raise Unknown(f"the operator {', '.join(unknown)}")
    return all(_TESTS[name](value, operand) for name, operand in condition.items())


def _holder(document: Any, path: str) -> tuple[Any, Any]:
    """What holds the field of a path like `broadcasters.0.joined_at`, and the field's name or index in it."""
    *parts, last = path.split(".")
    for part in parts:
        document = document[int(part) if isinstance(document, list) else part]
    return document, int(last) if isinstance(document, list) else last


def _value(document: Document, path: str) -> Any:
    """What a path leads to; None if it leads nowhere."""
    try:
        holder, last = _holder(document, path)
        return holder[last]
    except (KeyError, IndexError, TypeError):
        return None


def _pushed(old: list[Any], each: list[Any], position: int | None = None, slice: int | None = None) -> list[Any]:  # noqa: A002 - MongoDB's name
    at = len(old) if position is None else position
    new = [*old[:at], *each, *old[at:]]
    if slice is None:
        return new
    return new[:slice] if slice >= 0 else new[slice:]


def _shown(document: RawBSONDocument | None, projection: Document | None) -> RawBSONDocument | None:
    """The document with the fields that the projection names, or without those that it leaves out."""
    if not document or not projection:
        return document
    named = {name for name, shown in projection.items() if shown}
    hidden = projection.keys() - named
    if (named and hidden - {"_id"}) or any("." in name or not isinstance(projection[name], int) for name in projection):
        raise Unknown("a projection of more than whole fields")
    if not named and hidden.isdisjoint(document):
        return document
    kept = (named | {"_id"} if named else set(document)) - hidden
    return _raw({name: value for name, value in bson.decode(document.raw).items() if name in kept})

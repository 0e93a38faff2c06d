"""The benchmark's database with as many streams, and as many viewers in some of them, as it is told to have.

Each document is computed from its number when it is asked for, so a million of them takes no memory, and an answer
takes as long among a million as among a thousand: what grows is then the service's own. Lists are answered as from an
index: one page, whatever there is. `python -m bench.growth.stub --streams N --participants M` prints its port.
"""

import argparse
import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from typing import Any

import bson
import uvloop
from bench import population, stub
from bench.memory import Document, Memory, Unknown
from bson import ObjectId
from bson.raw_bson import RawBSONDocument

from livestream_server.streams.journal import JoinedBroadcaster, build_update
from livestream_server.vocabulary import Role

CHANGE = "benchChange"
"""A command of our own: the host of a stream comes in once more, which is a change that watchers are told."""
VIEWERS_FROM = 2_000_000
"""The number of the first user in the audience of a crowded stream."""
CROWDED = 4
"""How many streams have the viewers: the first ones."""
BATCH = 500
AWAIT_SECONDS = 1.0
NAME_WITHIN = 40
"""The name of a command is within the first bytes of its message."""
_NOW = datetime.now(UTC)
_SOMEONE, _SOMETHING = ObjectId(b"nobody here!"), b"########"
_STAY = timedelta(hours=2)


class Computed(dict[Any, RawBSONDocument]):
    """A collection whose documents are made when somebody asks; what was changed is kept."""

    def __init__(self, document: Callable[[Any], Document | RawBSONDocument | None]) -> None:
        super().__init__()
        self._document = document

    def __missing__(self, key: Any) -> RawBSONDocument:
        if (document := self._document(key)) is None:
            raise KeyError(key)
        return document if isinstance(document, RawBSONDocument) else RawBSONDocument(bson.encode(document))

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or self._document(key) is not None


class Crowd(Memory):
    """That population."""

    def __init__(self, hello: Document, streams: int, participants: int) -> None:
        super().__init__(hello)
        self._streams = streams
        self._participants = participants
        self._bans: dict[tuple[Any, Any], Document] = {}
        self._cursors: dict[int, range] = {}
        self._cursor_ids = count(1000)
        self.change_streams: dict[int, ChangeStream] = {}
        self._collections["streams"] = Computed(self._stream)
        self._collections["users"] = Computed(lambda key: population.user_document(number_of(key)))
        self._collections["participants"] = Computed(self._participant)
        self._commands = {
            **self._commands,
            "aggregate": self._aggregate,
            "getMore": self._get_more,
            CHANGE: self._change,
        }

    def answer(self, command: Document) -> Document:
        name = next(iter(command))
        if name in ("ping", "getMore"):
            self.note(name)
        return super().answer(command)

    def note(self, command: str) -> None:
        """Count a command that names no collection, or that is answered elsewhere."""
        self._counts[command] += 1

    def _stream(self, key: Any) -> Document | None:
        number = number_of(key)
        known = number < self._streams and str(key) == population.stream_id(number)
        return population.stream_document(number) if known else None

    def _participant(self, key: Any) -> RawBSONDocument | None:
        (_, stream), (_, user) = key
        number, place = number_of(stream), number_of(user) - VIEWERS_FROM
        return participant_document(number, place) if number < CROWDED and 0 <= place < self._participants else None

    def _find(self, command: Document) -> Document:
        match command["find"], frozenset(command["filter"]):
            case "participants", names if names == {"stream", "role"}:
                crowded = number_of(command["filter"]["stream"]) < CROWDED
                return self._batch(next(self._cursor_ids), range(self._participants if crowded else 0), first=True)
            case "streams", names if names in ({"deleted_at"}, {"status", "deleted_at"}):
                newest = range(self._streams - 1, max(-1, self._streams - 1 - command["limit"]), -1)
                return _cursor([population.stream_document(number) for number in newest], 0, "streams")
            case "participants", names if {"stream", "until"} <= names:
                return _cursor(self._page(command), 0, "participants")
            case "bans", names if names == {"stream", "user", "active"}:
                found = self._bans.get((command["filter"]["stream"], command["filter"]["user"]))
                return _cursor([found] if found else [], 0, "bans")
            case "bans", names if names == {"stream", "active"}:
                return _cursor([], 0, "bans")
        return super()._find(command)

    def _insert(self, command: Document) -> Document:
        if command["insert"] == "bans":
            self._bans |= {(each["stream"], each["user"]): each for each in command["documents"]}
        return super()._insert(command)

    def _get_more(self, command: Document) -> Document:
        return self._batch(int(command["getMore"]), self._cursors.pop(int(command["getMore"])))

    def _batch(self, cursor: int, left: range, *, first: bool = False) -> Document:
        now, later = left[:BATCH], left[BATCH:]
        if later:
            self._cursors[cursor] = later
        return _cursor(
            [participant_document(0, place) for place in now], cursor if later else 0, "participants", first=first
        )

    def _aggregate(self, command: Document) -> Document:
        stages = command["pipeline"]
        if "$changeStream" in stages[0]:
            opened = ChangeStream(next(self._cursor_ids))
            self.change_streams[opened.cursor] = opened
            return opened.opened()
        collection, wanted = command["aggregate"], frozenset(stages[0]["$match"])
        if collection == "streams" and wanted in ({"deleted_at"}, {"status", "deleted_at"}):
            return _cursor([{"n": self._streams}], 0, collection)
        if collection == "participants" and wanted >= {"stream", "until"}:
            return _cursor(self._count_present(stages[0]["$match"]), 0, collection)
        if collection == "participants" and wanted in ({"until"}, {"role", "joined_at"}):
            return _cursor([], 0, collection)  # the rankings, which no call waits for
        raise Unknown(f"an aggregation by {', '.join(wanted)}")

    def _matching(self, wanted: Document) -> int:
        return self._participants // 100 if "search" in wanted else self._participants

    def _count_present(self, wanted: Document) -> list[Document]:
        streams = wanted["stream"]["$in"] if isinstance(wanted["stream"], Mapping) else [wanted["stream"]]
        return [{"_id": each, "n": self._matching(wanted)} for each in streams if number_of(each) < CROWDED]

    def _page(self, command: Document) -> list[Document]:
        stream, shown = command["filter"]["stream"], min(command["limit"], self._matching(command["filter"]))
        page = (participant_document(number_of(stream), place) for place in range(shown))
        return [{name: each[name] for name in ("_id", "joined_at", "uid")} for each in page]

    def _change(self, command: Document) -> Document:
        now = datetime.now(UTC)
        host = JoinedBroadcaster(population.user_id(number_of(command["stream"])), Role.HOST, 7)
        update = build_update({"broadcasters.0.joined_at": now}, now, host)
        self._changed(self._collections["streams"], {"_id": command["stream"]}, update)
        for each in self.change_streams.values():
            each.happened(command["stream"])
        return {}


def number_of(key: Any) -> int:
    """The number of a stream or a user, from the end of the id; -1 if it has none."""
    return int(str(key)[8:], 16) if isinstance(key, ObjectId) else -1


def participant_document(stream: int, place: int) -> RawBSONDocument:
    """A viewer who has been there for half an hour."""
    user = VIEWERS_FROM + place
    participant = _participant_like(stream).replace(_SOMEONE.binary, ObjectId(population.user_id(user)).binary)
    return RawBSONDocument(participant.replace(_SOMETHING, f"{1 + user:08d}".encode()))


@cache
def _participant_like(stream: int) -> bytes:
    """A participant of nobody in particular: a hundred thousand would take seconds to encode one by one."""
    of, joined = ObjectId(population.stream_id(stream)), _NOW - timedelta(minutes=30)
    return bson.encode(
        {
            "_id": {"stream": of, "user": _SOMEONE},
            "stream": of,
            "schema": 2,
            "user": _SOMEONE,
            "creator": ObjectId(population.user_id(stream)),
            "role": "audience",
            "uid": 7,
            "watch_uid": None,
            "uids": [7],
            "joined_at": joined,
            "last_seen": joined,
            "left_at": None,
            "until": _NOW + _STAY,
            "visits": [{"since": joined, "until": _NOW + _STAY}],
            "events": [],
            "revision": 0,
            "search": f"ayse demir\nperson{_SOMETHING.decode()}",
        }
    )


def _cursor(documents: list[Any], cursor: int, collection: str, *, first: bool = True) -> Document:
    batch = "firstBatch" if first else "nextBatch"
    return {"cursor": {batch: documents, "id": bson.Int64(cursor), "ns": f"{population.DATABASE}.{collection}"}}


class ChangeStream:
    """A cursor on what changes. The driver may ask for more on any of its connections."""

    def __init__(self, cursor: int) -> None:
        self.cursor = bson.Int64(cursor)
        self._events: list[Document] = []
        self._answer: Callable[[Document], None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def opened(self) -> Document:
        """The reply to the question that opens it."""
        return self._reply("firstBatch")

    def happened(self, stream: ObjectId) -> None:
        ns = {"db": population.DATABASE, "coll": "streams"}
        self._events.append({"_id": {"_data": "00"}, "ns": ns, "documentKey": {"_id": stream}})
        self._tell()

    def more(self, answer: Callable[[Document], None]) -> None:
        """Give the next events to `answer`, or none after a while, as MongoDB does."""
        self._answer = answer
        if self._events:
            self._tell()
        else:
            self._timer = asyncio.get_running_loop().call_later(AWAIT_SECONDS, self._tell)

    def _tell(self) -> None:
        if self._timer:
            self._timer.cancel()
        if self._answer:
            answer, self._answer = self._answer, None
            answer(self._reply("nextBatch"))

    def _reply(self, batch: str) -> Document:
        events, self._events = self._events, []
        where = {"id": self.cursor, "ns": f"{population.DATABASE}.$cmd.aggregate"}
        return {"cursor": {batch: events, "postBatchResumeToken": {"_data": "00"}, **where}, "ok": 1.0}


class Connection(stub.Connection):
    """A connection on which more of a change stream can be waited for."""

    def __init__(self, memory: Crowd) -> None:
        super().__init__(memory)
        self._crowd = memory

    def _message(self, message: bytes) -> None:
        _, request_id, _, operation = stub.HEADER.unpack_from(message)
        if operation == stub.OP_MSG and b"getMore" in message[:NAME_WITHIN]:
            cursor = stub.parse_sections(message[stub.HEADER.size + 4 :])["getMore"]
            if change_stream := self._crowd.change_streams.get(cursor):
                self._crowd.note("getMore")
                change_stream.more(lambda reply: self._reply(request_id, reply))
                return
        super()._message(message)

    def _reply(self, request_id: int, reply: Document) -> None:
        if not self._transport.is_closing():
            self._send(request_id, stub.OP_MSG, b"\0\0\0\0\0" + bson.encode(reply))


async def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--streams", type=int, default=population.STREAMS)
    parser.add_argument("--participants", type=int, default=0)
    options = parser.parse_args()
    server, port = await stub.start(
        lambda hello: Crowd(hello, options.streams, options.participants), connection=Connection
    )
    print(port, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_main())

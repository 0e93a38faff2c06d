"""The same reads on a database that is one: how long they take, and what it says that it looks at."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import uvloop
from bench import population
from bench.growth import asking
from bench.growth.place import Place
from bench.growth.sizes import GRPC, Figure
from bench.growth.stub import VIEWERS_FROM
from bench.processes import pinned
from bench.rounds import Beside, Row, measure
from bson import ObjectId
from pymongo import MongoClient

from livestream_run.dev.database import EmbeddedDatabase
from livestream_server.mongo.client import Document

SIZES = (1_000, 10_000, 100_000)
BATCH = 10_000


@dataclass(frozen=True, slots=True)
class Examined:
    """What the database says that it looks at for one question, by the number of streams."""

    question: str
    plans: Mapping[int, str]


def on_embedded(
    place: Place, told: Callable[[str], None], sizes: Sequence[int] = SIZES
) -> tuple[list[Figure], list[Examined]]:
    """Figures of calls that read, and what is examined for the queries behind them and behind the lists."""
    with ExitStack() as stack:
        with pinned(place.load_core):
            database = stack.enter_context(EmbeddedDatabase(place.directory / "embedded"))
        services = {}
        for size in sizes:
            told(f"storing {size:,} streams")
            services[size] = place.service(stack, database.uri, MONGODB_DATABASE=_name(size))
            _fill(database.uri, size)
        rows = {
            size: Row("GetStream", f"{size:,}", each.programs, GRPC, each.grpc_port, asking.get_some(size))
            for size, each in services.items()
        }
        every = list(rows.values())
        uvloop.run(measure(every, rounds=place.rounds, seconds=place.seconds, beside=Beside(), told=told))
        return [Figure.of(row, size) for size, row in rows.items()], _examined(database.uri, sizes)


def _name(size: int) -> str:
    return f"growth{size}"


def _fill(mongo_uri: str, size: int) -> None:
    with MongoClient[Document](mongo_uri) as client:
        database = client[_name(size)]
        for first in range(0, size, BATCH):
            numbers = range(first, min(first + BATCH, size))
            database["streams"].insert_many([population.stream_document(each) for each in numbers], ordered=False)
        hosts = [asking.spread(n, size) for n in range(asking.VIEWERS)]
        viewers = range(VIEWERS_FROM, VIEWERS_FROM + asking.VIEWERS)
        users = {*hosts, *viewers, *range(size - 30, size)}
        database["users"].insert_many([population.user_document(each) for each in sorted(users)])


def _examined(mongo_uri: str, sizes: Sequence[int]) -> list[Examined]:
    stream = population.stream_document(7)
    questions: dict[str, Document] = {
        "the stream of an id": {"filter": {"_id": stream["_id"]}},
        "the stream of a channel": {"filter": {"channel_name": stream["channel_name"]}},
        "the active stream of a creator": {"filter": {"creator": ObjectId(population.user_id(7)), "status": "active"}},
        "streams that are due": {"filter": {"due_at": {"$lte": population.stream_document(0)["created_at"]}}},
        "the streams of a broadcaster": {"filter": {"broadcasters.user": stream["creator"], "deleted_at": None}},
        "the newest 20": {
            "filter": {"deleted_at": None},
            "sort": {"created_at": -1, "_id": -1},
            "limit": 20,
        },
    }
    found = []
    with MongoClient[Document](mongo_uri) as client:
        for name, question in questions.items():
            plans = {}
            for size in sizes:
                asked = {"find": "streams", **question}
                told = client[_name(size)].command({"explain": asked, "verbosity": "executionStats"})
                stats = told["executionStats"]
                plans[size] = f"{stats['totalKeysExamined']:,} + {stats['totalDocsExamined']:,}"
            found.append(Examined(name, plans))
    return found

"""What the service asks its database, each question once, and the index that answers it."""

import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.growth import every_call
from bench.growth.planner import NONE, Cost, Index, Plan, Query, plan
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from livestream_run.dev.database import EmbeddedDatabase

DATABASE = "questions"

GROWS: Mapping[tuple[str, str, int], str] = {
    ("participants", "present_in_stream", 1): "everyone who was in the stream: its statistics",
    ("participants", "present_in_stream", 2): "the viewers of the stream: their number, a search",
    ("participants", "present_until", 1): "all viewers of all streams, for at most a hundredth of the time: a ranking",
    ("participants", "joined_lately", 1): "all joins of 30 days, for at most a hundredth of the time: a ranking",
    ("streams", "of_broadcaster", 2): "the streams of one user",
    ("streams", "of_broadcaster", 3): "the streams of one user, in some states",
    ("streams", "live", 2): "the active streams: their number, for pages by number",
    ("streams", "live_of_interest", 3): "the streams of some interests: their number, for pages by number",
    (
        "bans",
        "one_standing_ban_per_user_and_stream",
        1,
    ): "the standing bans of the watched streams, after one changed; or of the stream whose viewers are asked for",
    ("bans", "newest_first", 1): "the standing bans that one user made: their number",
    ("bans", "newest_first", 2): "the standing bans that one user made since then: their number",
    ("users", "username", 1): "the users of one username, who are one",
}
"""What a query looks at that is not bounded by the length of its answer: by collection, index, and bounded fields."""


class Recorder(CommandListener):
    """Keeps every question, once."""

    def __init__(self) -> None:
        self._found: dict[tuple[Any, ...], Query] = {}
        self.change_streams = 0

    @property
    def queries(self) -> list[Query]:
        return [self._found[each] for each in sorted(self._found)]

    def started(self, event: CommandStartedEvent) -> None:
        for query in queries_of(event.command_name, event.command):
            key = query.collection, query.verb, shape(query), str(query.sort), query.limit
            self._found.setdefault(key, query)
        if event.command_name == "aggregate" and "$changeStream" in str(event.command.get("pipeline")):
            self.change_streams += 1

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


def queries_of(name: str, command: Mapping[str, Any]) -> list[Query]:
    """What a command of this name asks, once for each of its filters."""
    collection = command.get(name)
    if not isinstance(collection, str):
        return []
    filters = [each["q"] for each in (*command.get("updates", ()), *command.get("deletes", ()))]
    if name == "aggregate":
        return [_aggregated(collection, command["pipeline"])]
    if name == "find":
        sort = list(command.get("sort", {}).items())
        return [Query(collection, name, command["filter"], sort, limit="limit" in command)]
    if name == "findAndModify":
        name, filters = "update", [command["query"]]
    return [Query(collection, name, each) for each in filters]


def _aggregated(collection: str, pipeline: Sequence[Mapping[str, Any]]) -> Query:
    """The question of the stages before anything is put together: MongoDB makes one filter of them."""
    filter_: dict[str, Any] = {}
    sort: list[tuple[str, int]] = []
    verb, limit = "find", False
    for stage in pipeline:
        match stage:
            case {"$match": condition} if not sort:
                filter_ |= {**condition, **{name: filter_[name] for name in condition if name in filter_}}
            case {"$sort": order}:
                sort = list(order.items())
            case {"$limit": _}:
                limit = True
            case {"$count": _} | {"$group": _}:
                verb = "count"
                break
            case {"$lookup": _}:
                break
    return Query(collection, verb, filter_, sort, limit=limit)


def shape(query: Query) -> str:
    """The filter without its values."""
    return ", ".join(f"{name} {_operators(condition)}" for name, condition in query.filter.items())


def _operators(condition: Any) -> str:
    if isinstance(condition, Mapping) and any(str(each).startswith("$") for each in condition):
        return " ".join(each.removeprefix("$") for each in sorted(condition))
    if isinstance(condition, list):
        return ""
    return "= null" if condition is None else "= true" if condition is True else "="


@dataclass(frozen=True, slots=True)
class Answered:
    """A question and its plan."""

    query: Query
    plan: Plan


@dataclass(frozen=True, slots=True)
class Survey:
    """All questions, and all indexes."""

    answered: Sequence[Answered]
    indexes: Mapping[str, Sequence[Index]]
    called: set[str]
    change_streams: int

    def unused(self) -> list[str]:
        """Indexes that no question is answered from, that keep nothing apart, and by which nothing is cleaned up."""
        used = {(each.query.collection, each.plan.index) for each in self.answered}
        return [
            f"{collection}.{each.name}"
            for collection, indexes in self.indexes.items()
            for each in indexes
            if each.name != "_id_" and not each.unique and not each.cleans_up and (collection, each.name) not in used
        ]


async def survey(mongo_uri: str, media: Path, database: str = DATABASE) -> Survey:
    """Live a small life on an empty database, and see what is asked."""
    recorder = Recorder()
    async with every_call.living(mongo_uri, database, media, [recorder]) as life:
        await every_call.live(life)
        called = life.called
    indexes: dict[str, list[Index]] = defaultdict(list)
    async with AsyncMongoClient[dict[str, Any]](mongo_uri) as client:
        for collection in await client[database].list_collection_names():
            async for each in await client[database][collection].list_indexes():
                indexes[collection].append(Index.listed(each))
    answered = [Answered(each, plan(each, indexes.get(each.collection, ()))) for each in recorder.queries]
    return Survey(answered, indexes, called, recorder.change_streams)


def surveyed() -> Survey:
    """The same on an embedded database that is thrown away."""
    with (
        tempfile.TemporaryDirectory(prefix="livestream-growth-") as place,
        EmbeddedDatabase(Path(place) / "database") as database,
    ):
        return asyncio.run(survey(database.uri, Path(place) / "media"))


def table(answered: Iterable[Answered]) -> str:
    """In Markdown; what differs only in further conditions or in the order of a sort is one line."""
    rows: dict[tuple[str, str, str, str], tuple[dict[str, None], dict[str, None]]] = {}
    for each in answered:
        beside, orders = rows.setdefault((each.query.collection, each.query.verb, _by(each), looks_at(each)), ({}, {}))
        beside |= dict.fromkeys(f"`{name}`" for name in each.query.filter if name not in each.plan.bounds)
        orders |= dict.fromkeys([_order(each.query)] if each.query.sort else [])
    lines = [
        f"| {collection} | {verb} | {by} | {', '.join(beside)} | {', '.join(orders)} | {looked_at} |"
        for (collection, verb, by, looked_at), (beside, orders) in rows.items()
    ]
    heading = "| collection | | index and what bounds it | filtered besides by | sorted by | looks at |"
    return "\n".join([heading, "| --- | --- | --- | --- | --- | --- |", *lines])


def _order(query: Query) -> str:
    """The first field is what a reader wants to know: an id that breaks ties stands behind it."""
    name, direction = query.sort[0]
    return f"`{name}`{' desc' if direction < 0 else ''}"


def _by(each: Answered) -> str:
    if each.plan is NONE:
        return "none"
    sorts = ", then a sort" if each.query.sort and not each.plan.ordered and each.plan.cost is not Cost.ONE else ""
    return f"`{each.plan.index}`: {', '.join(each.plan.bounds) or 'in its order'}{sorts}"


def looks_at(each: Answered) -> str:
    if each.plan.cost is Cost.MATCHES:
        return GROWS[each.query.collection, each.plan.index, len(each.plan.bounds)]
    return each.plan.cost.value

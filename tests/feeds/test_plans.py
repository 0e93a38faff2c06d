"""Every list is read from an index, and a long one with as many commands as a short one."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bench.growth.planner import NONE, Cost, Index, Query, plan
from bench.growth.queries import queries_of
from google.protobuf.message import Message
from pydantic import SecretStr
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from livestream.v1 import feed_service_pb2 as rpc
from livestream_server.feeds import listings
from livestream_server.feeds.model import Selection
from livestream_server.mongo import client as mongo
from livestream_server.settings import MongoSettings
from livestream_server.streams.store import LIST_INDEXES
from livestream_server.vocabulary import Status, StreamType
from tests.feeds.conftest import NOW, Stage
from tests.support.environment import IDS, ServiceEnvironment, metadata, open_environment, settings_for
from tests.support.rankings import rankings_of

AYSE = IDS["ayse"]
REQUESTS: list[Message] = [
    rpc.ListStreamsRequest(),
    rpc.ListFeaturedStreamsRequest(),
    rpc.ListCatchStreamersRequest(limit=100),
    rpc.ListStreamsLiveNowRequest(limit=100),
    rpc.ListStreamsForYouRequest(selection=rpc.SELECTION_LIVE, limit=100),
    rpc.ListStreamsForYouRequest(selection=rpc.SELECTION_SCHEDULED, limit=100),
    rpc.ListStreamsForYouRequest(selection=rpc.SELECTION_CROWDFUNDING, limit=100),
    rpc.ListGuestStreamsRequest(limit=100),
    rpc.ListGuestStreamsRequest(limit=100, status="LIVE_STREAM_STATUS_ENDED", sort_by="GUEST_STREAM_SORT_FUNDING_GOAL"),
    rpc.ListUpcomingStreamsRequest(user_id=AYSE, limit=100),
    rpc.ListUpcomingStreamsRequest(limit=100),
    rpc.GetActiveStreamRequest(user_id=AYSE),
    rpc.GetActiveStreamRequest(),
    rpc.ListPastStreamsRequest(user_id=AYSE, limit=100),
    rpc.ListPastStreamsRequest(limit=100),
    rpc.ListMyBroadcastedStreamsRequest(limit=100),
    rpc.ListMyWatchedStreamsRequest(limit=100),
    rpc.ListMostWatchedCreatorsRequest(),
]


class Recording(CommandListener):
    """Keeps the commands that read."""

    def __init__(self) -> None:
        self.commands: list[Mapping[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in ("find", "aggregate", "count", "distinct"):
            self.commands.append(dict(event.command))

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...

    def taken(self) -> list[Mapping[str, Any]]:
        taken, self.commands = self.commands, []
        return taken


@pytest.fixture(scope="module")
def recording() -> Recording:
    return Recording()


@pytest.fixture(scope="module")
async def env(
    mongo_uri: str, database_name: str, media: Path, recording: Recording
) -> AsyncIterator[ServiceEnvironment]:
    # The background tasks have their turn at the start, and then no more.
    settings = settings_for(mongo_uri, database_name, media, sweep_seconds=3600.0)
    async with open_environment(settings, [recording]) as opened:
        opened.clock.now = NOW
        yield opened


async def fill(stage: Stage, rounds: int) -> None:
    """Of everything that any list shows to ayse, `rounds` more; she hosts one active stream."""
    for index, who in enumerate(await stage.users(rounds)):
        at = NOW + timedelta(minutes=index)
        await stage.stream(who, Status.ACTIVE, interest="music", started_at=at)
        await stage.stream(who, Status.SCHEDULED, guest="ayse", interest="music", type=StreamType.DUOCROWD)
        for host, guest in (("ayse", who), (who, "ayse")):
            await stage.stream(host, Status.ENDED, guest=guest, ended_at=at)
        seen = await stage.stream(who, Status.ENDED)
        await stage.participant(seen, "ayse", at)
    await stage.rank()


async def called(feeds: Any, request: Message) -> Message:
    method = getattr(feeds, request.DESCRIPTOR.name.removesuffix("Request"))
    answer: Message = await method(request, metadata=metadata("ayse"), timeout=10)
    return answer


def length(answer: Message) -> int:
    """How many items the only list of the answer has."""
    page = getattr(answer, "page", answer)
    lists = [value for field, value in page.ListFields() if field.is_repeated]
    return len(lists[0]) if lists else 0


def test_every_list_is_looked_at() -> None:
    """A list that is missing above would be free to scan."""
    service = rpc.DESCRIPTOR.services_by_name["FeedService"]
    assert {each.DESCRIPTOR.name for each in REQUESTS} == {each.input_type.name for each in service.methods}


async def test_a_long_list_takes_as_many_commands_as_a_short_one(
    stage: Stage, env: ServiceEnvironment, feeds: Any, recording: Recording
) -> None:
    """A read per item is the usual way in which lists become slow."""
    await stage.likes("ayse", "music")
    await stage.stream("ayse", Status.ACTIVE, started_at=NOW - timedelta(hours=1))
    counts: dict[int, list[dict[str, int]]] = {}
    lengths: dict[int, list[int]] = {}
    for rounds in (1, 49):
        await fill(stage, rounds)
        counts[rounds], lengths[rounds] = [], []
        recording.taken()
        for request in REQUESTS:
            lengths[rounds].append(length(await called(feeds, request)))
            commands = recording.taken()
            counts[rounds].append(dict(Counter(f"{next(iter(each))} {next(iter(each.values()))}" for each in commands)))
    assert counts[1] == counts[49]
    for request, few, many in zip(REQUESTS, lengths[1], lengths[49], strict=True):
        if request.DESCRIPTOR.name.startswith("List"):
            assert (few <= 6, many >= 10) == (True, True), request.DESCRIPTOR.name
            assert few
    # One read of the list, one of users; and a count where there are pages, interests, reminders or a ranking. What
    # somebody watched is read in three steps: their joins, which of these streams have ended, and those of the page.
    for request, counted in zip(REQUESTS, counts[49], strict=True):
        assert counted.get("find users", 0) <= (2 if isinstance(request, rpc.ListStreamsForYouRequest) else 1)
        assert counted.get("find streams", 0) + counted.get("aggregate streams", 0) <= 2
        assert sum(counted.values()) <= 4


async def test_every_list_has_an_index(stage: Stage, env: ServiceEnvironment, feeds: Any, recording: Recording) -> None:
    """A scan works in every test and stops the service in the year after. The rules are MongoDB's."""
    await fill(stage, 20)
    for command in await commands_of_every_list(feeds, recording):
        question = read_query(command)
        found = plan(question, await indexes_of(stage.database, question.collection))
        assert found is not NONE, command
        if found.cost is Cost.MATCHES and question.limit:
            assert found.index == "of_broadcaster", command  # the streams of one user, of which a page is sorted


@pytest.mark.embedded_gap("an index serves only a filter without anything beside it")
async def test_the_database_reads_every_list_from_an_index(
    stage: Stage, env: ServiceEnvironment, feeds: Any, recording: Recording
) -> None:
    """What the planner of the tests says is what the database does."""
    await fill(stage, 20)
    for command in await commands_of_every_list(feeds, recording):
        kept = ("find", "filter", "sort", "limit", "aggregate", "pipeline", "cursor")
        asked = {key: value for key, value in command.items() if key in kept}
        told = await stage.database.command({"explain": asked, "verbosity": "queryPlanner"})
        assert "COLLSCAN" not in str(told), asked


async def test_counting_is_read_from_indexes(stage: Stage, mongo_uri: str, recording: Recording) -> None:
    """The rankings look at very many participants, and at no others."""
    settings = MongoSettings(uri=SecretStr(mongo_uri), database=stage.database.name)
    async with mongo.connect(settings, listeners=[recording]) as client:
        database = mongo.database(client, settings)
        await database["rankings"].delete_many({})
        recording.taken()
        await rankings_of(database, NOW).refresh()
    used = set()
    for command in recording.taken():
        question = read_query(command)
        used.add(plan(question, await indexes_of(stage.database, question.collection)).index)
    assert used == {"present_until", "joined_lately", "live", "_id_"}


def test_every_index_is_what_a_list_asks_for() -> None:
    """An index without a list slows each write for nothing; one in another order makes the database sort."""
    lists = [
        listings.newest(),
        listings.live(),
        *(listings.for_you(each, {"music"}) for each in Selection),
        listings.broadcasted(AYSE),
    ]
    asked = [[*dict.fromkeys(each.filter, 1).items(), *each.sort.items()] for each in lists]
    for index in LIST_INDEXES:
        assert list(index.document["key"].items()) in asked, index.document["name"]


async def commands_of_every_list(feeds: Any, recording: Recording) -> list[Mapping[str, Any]]:
    """What all lists ask the database, each from its beginning and from where it goes on."""
    recording.taken()
    for request in REQUESTS:
        answer: Any = await called(feeds, request)
        if getattr(answer, "next_page_token", ""):
            again: Any = type(request)()
            again.CopyFrom(request)
            again.page_token = answer.next_page_token
            await called(feeds, again)
    # How reminders are found is their package's matter: by `_id`, which the embedded database scans where it is a
    # document.
    return [each for each in recording.taken() if each.get("find") != "reminders"]


async def indexes_of(database: mongo.Database, collection: str) -> list[Index]:
    return [Index.listed(each) async for each in await database[collection].list_indexes()]


def read_query(command: Mapping[str, Any]) -> Query:
    """The question of a command that reads."""
    (question,) = queries_of(next(iter(command)), command)
    return question

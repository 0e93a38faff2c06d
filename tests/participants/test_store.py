"""Participants in the database: one for each user of a stream, whose uids nobody else has."""

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Awaitable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bench.growth.planner import NONE, Cost, Index, plan
from bench.growth.queries import Recorder
from bson import ObjectId
from pydantic import SecretStr

from livestream_server.mongo import client as mongo
from livestream_server.participants import store
from livestream_server.participants.store import INDEXES, Participants, PresentPage
from livestream_server.protocols import Viewer
from livestream_server.settings import MongoSettings
from livestream_server.transport.paging import Page, PageRequest, Position
from livestream_server.vocabulary import Event, Role

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
STAY = timedelta(hours=1)
CREATOR, GUEST, ADA = (secrets.token_hex(12) for _ in range(3))
PAGE = PageRequest(Page(1, 100), None)


@pytest.fixture(scope="module")
async def database(mongo_uri: str, database_name: str) -> AsyncIterator[mongo.Database]:
    settings = MongoSettings(uri=SecretStr(mongo_uri), database=database_name)
    async with mongo.connect(settings) as client:
        database = mongo.database(client, settings)
        await Participants(database, STAY).prepare()
        yield database


@pytest.fixture
def participants(database: mongo.Database) -> Participants:
    return Participants(database, STAY)


@pytest.fixture
def stream_id() -> str:
    return secrets.token_hex(12)


def viewer(user: str, role: Role = Role.AUDIENCE) -> Viewer:
    return Viewer(user, "Ada Demir", f"u{user}", role)


async def stored(database: mongo.Database, stream_id: str) -> dict[str, dict[str, Any]]:
    """All participants of the stream, by their users."""
    found = database["participants"].find({"stream": ObjectId(stream_id)})
    return {str(each["user"]): each async for each in found}


async def test_a_document_has_the_shape_that_operators_read(database: mongo.Database, stream_id: str) -> None:
    """The index of uids, the shard key and the counts rest on these fields."""
    participants = Participants(database, STAY)
    await participants.admit_broadcaster(stream_id, CREATOR, CREATOR, Role.HOST, NOW)
    await participants.admit(stream_id, CREATOR, viewer(ADA), None, NOW)
    documents = await stored(database, stream_id)
    for user, role, until in ((CREATOR, "host", None), (ADA, "audience", NOW + STAY)):
        document = documents[user]
        assert document["_id"] == {"stream": ObjectId(stream_id), "user": ObjectId(user)}
        assert (document["stream"], document["creator"]) == (ObjectId(stream_id), ObjectId(CREATOR))
        assert (document["schema"], document["role"], document["until"]) == (2, role, until)
        assert (document["uids"], document["watch_uid"]) == ([document["uid"]], None)
        assert document["joined_at"] == NOW


async def test_a_uid_stays_through_every_join_and_role(participants: Participants, stream_id: str) -> None:
    """Another uid shows one user twice, and ends what was going on with the first."""
    first = await participants.admit(stream_id, CREATOR, viewer(ADA), None, NOW)
    later = NOW + timedelta(minutes=5)
    again = await participants.admit(stream_id, CREATOR, viewer(ADA), None, later)
    assert again == first
    promoted = await participants.admit_broadcaster(stream_id, CREATOR, ADA, Role.GUEST, later)
    assert promoted == (ADA, Role.GUEST, first.uid, later)
    assert await participants.admit_broadcaster(stream_id, CREATOR, ADA, Role.GUEST, later + STAY) == promoted
    assert await participants.renew(stream_id, ADA, Role.GUEST, None, later, invited=Role.GUEST) == promoted
    assert await participants.renew(stream_id, ADA, Role.AUDIENCE, None, later, invited=Role.GUEST) is None
    assert await participants.find_uids(stream_id, ADA) == [first.uid]
    assert await participants.count_present([stream_id], {}, later) == {}


async def test_a_promotion_by_another_process_is_seen(
    database: mongo.Database, participants: Participants, stream_id: str
) -> None:
    """The uid that is on the air would be given out for watching, and throw its user off the air."""
    another = Participants(database, STAY)
    first = await another.admit(stream_id, CREATOR, viewer(ADA), None, NOW)
    await participants.admit_broadcaster(stream_id, CREATOR, ADA, Role.GUEST, NOW)
    assert await another.renew(stream_id, ADA, Role.AUDIENCE, None, NOW, invited=Role.GUEST) is None
    watching = await participants.admit(stream_id, CREATOR, viewer(ADA, Role.GUEST), None, NOW)
    assert watching.uid != first.uid
    assert await another.renew(stream_id, ADA, Role.AUDIENCE, None, NOW, invited=Role.GUEST) == watching


@pytest.mark.parametrize(("user", "role"), [(CREATOR, Role.HOST), (GUEST, Role.GUEST)])
async def test_a_broadcaster_watches_with_a_second_uid(
    database: mongo.Database, participants: Participants, stream_id: str, user: str, role: Role
) -> None:
    """One uid on two devices throws the first one off the air."""
    own = await participants.admit_broadcaster(stream_id, CREATOR, user, role, NOW)
    assert await participants.renew(stream_id, user, Role.AUDIENCE, None, NOW, invited=role) is None
    watching = await participants.admit(stream_id, CREATOR, viewer(user, role), None, NOW)
    assert watching.role is Role.AUDIENCE
    assert watching.uid != own.uid
    for another in (participants, Participants(database, STAY)):
        assert await another.admit(stream_id, CREATOR, viewer(user, role), None, NOW) == watching
        assert await another.renew(stream_id, user, Role.AUDIENCE, None, NOW, invited=role) == watching
        assert await another.admit_broadcaster(stream_id, CREATOR, user, role, NOW) == own
        assert await another.renew(stream_id, user, role, None, NOW, invited=role) == own
    assert await participants.find_uids(stream_id, user) == [own.uid, watching.uid]
    assert await participants.find_by_uid(stream_id, own.uid) == own
    assert await participants.find_by_uid(stream_id, watching.uid) is None


async def test_a_guest_who_watches_first_has_not_joined_as_a_guest(participants: Participants, stream_id: str) -> None:
    """Whoever only watches must not be shown on stage, nor counted among the audience."""
    watching = await participants.admit(stream_id, CREATOR, viewer(GUEST, Role.GUEST), None, NOW)
    assert await participants.renew(stream_id, GUEST, Role.GUEST, None, NOW, invited=Role.GUEST) is None
    assert await participants.renew(stream_id, GUEST, Role.AUDIENCE, None, NOW, invited=Role.GUEST) == watching
    later = NOW + timedelta(minutes=1)
    joined = await participants.admit_broadcaster(stream_id, CREATOR, GUEST, Role.GUEST, later)
    assert (joined.role, joined.joined_at) == (Role.GUEST, later)
    assert await participants.find_uids(stream_id, GUEST) == [joined.uid, watching.uid]


async def test_broadcasters_are_never_audience(participants: Participants, stream_id: str) -> None:
    """A creator who looks at the own stream must not make it look watched: in no count, list or statistic."""
    await participants.admit_broadcaster(stream_id, CREATOR, CREATOR, Role.HOST, NOW)
    await participants.admit(stream_id, CREATOR, viewer(CREATOR, Role.HOST), None, NOW)
    await participants.admit(stream_id, CREATOR, viewer(GUEST, Role.GUEST), None, NOW)
    await participants.record_leave(stream_id, CREATOR, NOW)
    for user in (CREATOR, GUEST):
        assert stream_id not in [each for each, _ in await participants.list_watched(user, 100)]
    assert await participants.count_present([stream_id], {}, NOW) == {}
    assert await participants.list_present(stream_id, [], PAGE, "", NOW) == PresentPage([], None, 0, 0)
    assert stream_id not in await participants.count_present_by_stream(NOW, 1000)
    assert (await participants.compute_tally(stream_id, {}, NOW, NOW + STAY)).viewers == 0
    before = (await participants.count_viewers_by_creator(NOW, 1000)).get(CREATOR, 0)
    await participants.admit(stream_id, CREATOR, viewer(secrets.token_hex(12)), None, NOW)
    assert (await participants.count_viewers_by_creator(NOW, 1000))[CREATOR] == before + 1
    assert await participants.count_present([stream_id], {}, NOW) == {stream_id: 1}


async def test_racing_joins_never_share_a_uid(
    database: mongo.Database, stream_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of 64 users joins four times at once, through two processes, where uids are so few that most are taken."""
    monkeypatch.setattr(store, "draw_uid", lambda: secrets.randbelow(100) + 1)
    processes = [Participants(database, STAY) for _ in range(2)]
    users = [secrets.token_hex(12) for _ in range(64)]
    joins: list[Awaitable[Any]] = []
    for process, (number, user) in itertools.product(processes, enumerate(users)):
        role = Role.AUDIENCE if number % 4 else Role.GUEST
        joins.append(process.admit(stream_id, CREATOR, viewer(user, role), None, NOW))
        if role is Role.GUEST:
            joins.append(process.admit_broadcaster(stream_id, CREATOR, user, role, NOW))
        else:
            joins.append(process.admit(stream_id, CREATOR, viewer(user), None, NOW))
    given: dict[tuple[str, Role], set[int]] = {}
    for each in await asyncio.gather(*joins):
        given.setdefault((each.user, each.role), set()).add(each.uid)
    assert {len(each) for each in given.values()} == {1}
    assert len(given) == 64 + 16
    assert len(set.union(*given.values())) == 64 + 16
    documents = await stored(database, stream_id)
    assert sorted(uid for each in documents.values() for uid in each["uids"]) == sorted(set.union(*given.values()))


async def test_an_event_of_agora_meets_a_promotion(participants: Participants, stream_id: str) -> None:
    """Whatever comes first, nobody on stage is counted as present in the audience."""
    await participants.admit(stream_id, CREATOR, viewer(ADA), None, NOW)
    told = [Event(each, NOW + timedelta(seconds=each), here=bool(each % 2)) for each in range(1, 10)]
    await asyncio.gather(
        *(participants.record_events(stream_id, ADA, [each]) for each in told),
        participants.admit_broadcaster(stream_id, CREATOR, ADA, Role.GUEST, NOW),
    )
    assert await participants.record_events(stream_id, ADA, told[:1]) == told
    assert await participants.count_present([stream_id], {}, NOW) == {}


async def test_every_question_has_its_index_and_every_index_its_question(
    mongo_uri: str, database: mongo.Database, stream_id: str
) -> None:
    """By MongoDB's rules: a scan of all participants for one stream stops the service on a busy day."""
    recorder = Recorder()
    settings = MongoSettings(uri=SecretStr(mongo_uri), database=database.name)
    async with mongo.connect(settings, listeners=[recorder]) as client:
        participants = Participants(mongo.database(client, settings), STAY)
        joined = await participants.admit(stream_id, CREATOR, viewer(ADA), None, NOW)
        await participants.admit(stream_id, CREATOR, viewer(ADA), None, NOW + timedelta(minutes=5))
        await participants.admit_broadcaster(stream_id, CREATOR, CREATOR, Role.HOST, NOW)
        await participants.admit(stream_id, CREATOR, viewer(CREATOR, Role.HOST), None, NOW)
        await participants.find_by_uid(stream_id, joined.uid)
        await participants.find_uids(stream_id, ADA)
        await participants.record_events(stream_id, ADA, [Event(1, NOW, here=True)])
        await participants.list_present(stream_id, [CREATOR], PAGE, "ada", NOW)
        rest = PageRequest(PAGE.page, Position((NOW, joined.uid), ADA))
        await participants.list_present(stream_id, [CREATOR], rest, "ada", NOW)
        await participants.count_present([stream_id], {stream_id: [CREATOR]}, NOW)
        await participants.compute_tally(stream_id, {}, NOW, NOW + STAY)
        await participants.list_watched(ADA, 10, after=(NOW + STAY, stream_id))
        await participants.count_present_by_stream(NOW, 10)
        await participants.count_viewers_by_creator(NOW, 10)
        await participants.record_leave(stream_id, ADA, NOW + STAY)
    listed = [Index.listed(each) async for each in await database["participants"].list_indexes()]
    plans = [(each, plan(each, listed)) for each in recorder.queries if each.collection == "participants"]
    assert [each for each, found in plans if found is NONE] == []
    writes = [each for each, _ in plans if each.verb == "update"]
    assert writes
    assert all({"_id", "stream"} <= each.filter.keys() for each in writes)
    assert {found.cost for each, found in plans if each.verb == "update"} == {Cost.ONE}
    assert {found.index for _, found in plans} == {"_id_", *(each.document["name"] for each in INDEXES)}
    for index in INDEXES:  # as far as the embedded database agrees: it takes an index for its first field alone
        question = {"find": "participants", "filter": {next(iter(index.document["key"])): ObjectId(stream_id)}}
        told = await database.command({"explain": question, "verbosity": "queryPlanner"})
        assert "COLLSCAN" not in str(told["queryPlanner"]["winningPlan"]), index.document["name"]

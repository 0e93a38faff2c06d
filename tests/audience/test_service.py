"""Leaving, the list of viewers, and the statistics, through a real channel."""

import secrets
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from bson import ObjectId
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from livestream.v1.live_stream_pb2 import ROLE_AUDIENCE, ROLE_GUEST, ROLE_HOST
from livestream.v1.live_stream_service_pb2 import EndStreamRequest, RenewTokensRequest
from livestream.v1.moderation_service_pb2 import BAN_ACTION_TYPE_CHAT_ONLY
from tests.audience.conftest import STAY, Backstage
from tests.audience.stage import (
    announced,
    ban,
    join,
    leave,
    lift,
    live,
    now,
    present,
    somebody,
    statistics,
    viewers,
)
from tests.support.failures import failure
from tests.support.world import World, metadata, open_world, settings_for

COLLECTIONS = ("streams", "seats", "users")


@pytest.fixture(autouse=True)
async def real_time(world: World) -> AsyncIterator[None]:
    """Each test begins with the real clock."""
    yield
    world.clock.now = None


async def test_a_viewer_is_present_from_joining_to_leaving(world: World) -> None:
    """A list of viewers that lags behind is a list of strangers."""
    _, stream = await live(world)
    assert await present(world, stream.id) == []
    await join(world, "jane", stream.id)
    ada = await somebody(world)
    await join(world, ada, stream.id)
    assert len(await present(world, stream.id)) == 2
    answer = await leave(world, "jane", stream.id)
    assert (answer.live_stream_id, answer.role) == (stream.id, ROLE_AUDIENCE)
    assert await present(world, stream.id) == [ada]
    assert await leave(world, "jane", stream.id) == answer
    assert await present(world, stream.id) == [ada]


async def test_whoever_comes_back_at_once_is_present(
    world: World, mongo_uri: str, database_name: str, media: Any, engine: str
) -> None:
    """A process remembers chairs; another one may have seen their people leave in between."""
    _, stream = await live(world)
    async with open_world(settings_for(mongo_uri, database_name, media, engine=engine)) as other:
        for here, there in ((world, world), (world, other), (other, world)):
            await join(here, "jane", stream.id)
            await leave(there, "jane", stream.id)
            assert await present(here, stream.id) == []
            await join(here, "jane", stream.id)
            assert len(await present(there, stream.id)) == 1
    assert (await statistics(world, stream.id)).total_viewers == 1


async def test_without_a_sign_of_life_presence_ends_with_the_tokens(world: World) -> None:
    """An app that was killed says no goodbye; a renewal is as good as a join."""
    _, stream = await live(world)
    begun = now()
    for who in ("john", "jane"):
        await join(world, who, stream.id)
    world.clock.now = begun + timedelta(minutes=50)
    await world.streams.RenewTokens(RenewTokensRequest(live_stream_id=stream.id), metadata=metadata("jane"))
    world.clock.now = begun + STAY - timedelta(seconds=1)
    assert len(await present(world, stream.id)) == 2
    world.clock.now = begun + STAY + timedelta(seconds=60)
    assert len(await present(world, stream.id)) == 1
    world.clock.now = begun + STAY + timedelta(minutes=51)
    assert await present(world, stream.id) == []


async def test_the_banned_are_no_viewers_from_the_ban_on(world: World) -> None:
    """Whoever was thrown out must not be seen in the room: not in its list, nor in its numbers; until the ban is lifted."""
    creator, stream = await live(world)
    people = [await somebody(world, name) for name in ("Ada", "Bea", "Cem")]
    for each in people:
        await join(world, each, stream.id)
    at = now()
    made = await ban(world, creator, stream.id, people[1])
    await ban(world, creator, stream.id, people[2], action_type=BAN_ACTION_TYPE_CHAT_ONLY)
    for fields in ({}, {"search": "demir"}, {"limit": 1}):
        listed = await viewers(world, stream.id, **fields)
        assert (listed.participant_audience_total, listed.pagination.total_items) == (2, 2)
        assert [each.id for each in listed.list] == [people[0], people[2]][: fields.get("limit", 20)]
    assert (await viewers(world, stream.id, search="bea")).list == []
    await lift(world, creator, made.id)
    assert await present(world, stream.id) == people

    world.clock.now = at + timedelta(minutes=10)
    await ban(world, creator, stream.id, people[1])
    world.clock.now = at + timedelta(minutes=30)
    told = await statistics(world, stream.id)
    assert (told.total_viewers, told.peak_concurrent_viewers) == (3, 3)
    assert told.total_watch_time_minutes == pytest.approx(30 + 10 + 30, abs=0.5)


async def test_one_may_leave_what_one_is_not_in(world: World) -> None:
    """An app that leaves on its way out must not fail because it was never in, or the stream is over."""
    creator, stream = await announced(world)
    assert (await leave(world, "john", stream.id)).role == ROLE_AUDIENCE
    assert (await leave(world, creator, stream.id)).role == ROLE_HOST
    assert (await leave(world, "mehmet", stream.id)).role == ROLE_GUEST
    await join(world, creator, stream.id, ROLE_HOST)
    assert (await leave(world, "john", stream.id)).role == ROLE_AUDIENCE
    await world.streams.EndStream(EndStreamRequest(live_stream_id=stream.id), metadata=metadata(creator))
    assert (await leave(world, creator, stream.id)).role == ROLE_HOST


@pytest.mark.parametrize(
    ("who", "role", "reason"),
    [
        ("john", ROLE_HOST, "NOT_THE_CREATOR"),
        ("mehmet", ROLE_HOST, "NOT_THE_CREATOR"),
        ("john", ROLE_GUEST, "NOT_A_GUEST"),
        ("john", 99, "INVALID_REQUEST"),
        ("f" * 24, None, "REGISTRATION_INCOMPLETE"),
    ],
)
async def test_nobody_leaves_for_another(world: World, backstage: Backstage, who: str, role: Any, reason: str) -> None:
    """Whoever could send the host away would end the stream."""
    _, stream = await live(world)
    assert (await failure(leave(world, who, stream.id, role))).reason == reason
    assert (await backstage.streams.get(stream.id)).host_gone_since is None


async def test_a_stream_that_is_not_there_cannot_be_left(world: World) -> None:
    """A typing error is told apart from having left."""
    assert (await failure(leave(world, "john", secrets.token_hex(12)))).reason == "STREAM_NOT_FOUND"


async def test_the_hosts_leave_starts_the_grace_once_and_a_join_ends_it(world: World, backstage: Backstage) -> None:
    """A nervous thumb on the button must not stretch the grace; a host who is back keeps the stream."""
    creator, stream = await live(world)
    begun = now()
    world.clock.now = begun + timedelta(seconds=10)
    await leave(world, creator, stream.id)
    world.clock.now = begun + timedelta(seconds=60)
    await leave(world, creator, stream.id)
    gone = await backstage.streams.get(stream.id)
    assert gone.host_gone_since == begun + timedelta(seconds=10)
    assert [each.id for each in await backstage.streams.due(begun + timedelta(seconds=131), 100)] == [stream.id]
    await join(world, creator, stream.id, ROLE_HOST)
    back = await backstage.streams.get(stream.id)
    assert (back.host_gone_since, back.host_seen_at) == (None, begun + timedelta(seconds=60))


async def test_a_broadcaster_who_also_watches_leaves_the_chair_that_they_name(
    world: World, backstage: Backstage
) -> None:
    """The creator may watch on a second device; to close that one is not to end the show."""
    creator, stream = await live(world)
    await join(world, creator, stream.id)
    await leave(world, creator, stream.id, ROLE_AUDIENCE)
    assert await present(world, stream.id) == []
    assert (await backstage.streams.get(stream.id)).host_gone_since is None


async def test_viewers_are_listed_in_pages(world: World) -> None:
    """Every viewer is on exactly one page, the first to come first."""
    _, stream = await live(world)
    crowd = [await somebody(world) for _ in range(5)]
    for each in crowd:
        await join(world, each, stream.id)
    pages = [await viewers(world, stream.id, page=number, limit=2) for number in (1, 2, 3, 4)]
    assert [each.id for page in pages for each in page.list] == crowd
    first, _, last, behind = (each.pagination for each in pages)
    assert (first.total_pages, first.total_items, first.has_next_page, first.has_prev_page) == (3, 5, True, False)
    assert (last.current_page, last.items_per_page, last.has_next_page, last.has_prev_page) == (3, 2, False, True)
    assert (behind.total_items, behind.has_next_page) == (5, False)
    usual = await viewers(world, stream.id)
    assert (usual.pagination.items_per_page, usual.participant_audience_total) == (20, 5)


@pytest.mark.parametrize(
    ("fields", "violated"),
    [
        ({"page": 0}, ["page"]),
        ({"limit": 0, "page": -1}, ["page", "limit"]),
        ({"limit": 101}, ["limit"]),
        ({"search": "x" * 101}, ["search"]),
        ({"search": "a\x00"}, ["search"]),
        ({"search": "a\n"}, ["search"]),
    ],
)
async def test_a_page_that_cannot_be_is_refused(world: World, fields: dict[str, Any], violated: list[str]) -> None:
    """Out of range is said, not guessed at."""
    refused = await failure(viewers(world, "a" * 24, **fields))
    assert refused.code == grpc.StatusCode.INVALID_ARGUMENT
    assert [each.field for each in refused.violations] == violated


async def test_viewers_are_found_by_a_piece_of_their_names(world: World) -> None:
    """Whatever the keyboard: Turkish letters, capitals, missing accents."""
    _, stream = await live(world)
    people = {
        "isik": await somebody(world, "Işık", "ÇELİK"),
        "ilayda": await somebody(world, "İlayda", "Güneş"),
        "sule": await somebody(world, "ŞULE", "Iğdır"),
        "plus": await somebody(world, "A+", "(B"),
    }
    for each in people.values():
        await join(world, each, stream.id)
    names = {user: name for name, user in people.items()}

    async def found(text: str) -> set[str]:
        answer = await viewers(world, stream.id, search=text)
        assert answer.participant_audience_total == len(people)
        assert answer.pagination.total_items == len(answer.list)
        return {names[each.id] for each in answer.list}

    for text in ("ışık", "isik", "IŞIK", "Işık çelik", "isik  CELIK", "çelik", "celik"):
        assert await found(text) == {"isik"}, text
    for text in ("ilayda", "İLAYDA", "ILAYDA", "gunes", "GÜNEŞ"):
        assert await found(text) == {"ilayda"}, text
    for text in ("şule", "Sule", "ığdır", "IGDIR"):
        assert await found(text) == {"sule"}, text
    assert await found("i") == {"isik", "ilayda", "sule"}
    assert await found(f"U{people['plus'][:12]}") == {"plus"}
    assert await found("a+ (b") == {"plus"}
    for text in (".*", "^", "$", "[a-z]", "(", "\\", f"Demir u{people['isik'][:4]}"):
        assert await found(text) == ({"plus"} if text == "(" else set()), text
    assert await found("  ") == set(people)


async def test_a_viewer_is_shown_with_what_the_user_service_told(world: World) -> None:
    """Numbers that are not known are absent, not zero."""
    _, stream = await live(world)
    plain = await somebody(world, "Plain")
    known = await somebody(world, "Known", followers_count=1200, following_count=0, expertise="musician")
    for each in (plain, known):
        await join(world, each, stream.id)
    first, second = (await viewers(world, stream.id)).list
    assert (first.name, first.surname, first.username) == ("Plain", "Demir", f"u{plain}")
    assert not any(first.HasField(each) for each in ("followers_count", "following_count", "expertise", "is_following"))
    assert (second.followers_count, second.expertise) == (1200, "musician")
    assert second.HasField("following_count")
    assert first.joined_at.ToMilliseconds() <= second.joined_at.ToMilliseconds() <= now().timestamp() * 1000


async def test_only_an_active_stream_has_viewers(world: World) -> None:
    """The refusal names the state, and the one that allows it."""
    creator, stream = await announced(world)
    before = await failure(viewers(world, stream.id))
    assert (before.code, before.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STREAM_NOT_ON_AIR")
    assert (before.metadata["status"], before.metadata["allowed"]) == ("preparing", "active")
    await join(world, creator, stream.id, ROLE_HOST)
    await world.streams.EndStream(EndStreamRequest(live_stream_id=stream.id), metadata=metadata(creator))
    assert (await failure(viewers(world, stream.id))).metadata["status"] == "ended"


async def test_whoever_is_not_registered_sees_no_viewers_and_no_statistics(world: World) -> None:
    """Both are for members."""
    _, stream = await live(world)
    for call in (viewers, statistics):
        assert (await failure(call(world, stream.id, "f" * 24))).reason == "REGISTRATION_INCOMPLETE"
        assert (await failure(call(world, secrets.token_hex(12)))).reason == "STREAM_NOT_FOUND"


async def test_statistics_rest_on_what_happened(world: World) -> None:
    """While the stream runs, and after its end, when they stay as they are."""
    creator, stream = await live(world)
    begun = now()

    def after(minutes: float) -> None:
        world.clock.now = begun + timedelta(minutes=minutes)

    crowd = [await somebody(world) for _ in range(3)]
    for each in crowd:
        after(1)
        await join(world, each, stream.id)
    after(3)
    await leave(world, crowd[0], stream.id)
    after(4)
    await leave(world, crowd[1], stream.id)
    after(5)
    await join(world, crowd[0], stream.id)
    running = await statistics(world, stream.id)
    assert running.stream_id == stream.id
    assert (running.total_viewers, running.peak_concurrent_viewers) == (3, 3)
    assert running.total_watch_time_minutes == pytest.approx(2 + 3 + 4, abs=0.02)
    after(7)
    await world.streams.EndStream(EndStreamRequest(live_stream_id=stream.id), metadata=metadata(creator))
    ended = await statistics(world, stream.id)
    assert ended.total_watch_time_minutes == pytest.approx(4 + 3 + 6, abs=0.02)
    assert ended.average_watch_time_minutes == pytest.approx(13 / 3, abs=0.02)
    after(500)
    assert await statistics(world, stream.id) == ended


async def test_a_stream_that_never_started_has_empty_statistics(world: World) -> None:
    """Zeros, and no division by them."""
    _, stream = await announced(world)
    answer = await statistics(world, stream.id)
    assert (answer.total_viewers, answer.average_watch_time_minutes, answer.peak_concurrent_viewers) == (0, 0, 0)


async def test_every_query_is_served_by_an_index(world: World, backstage: Backstage) -> None:
    """A scan of all seats for one stream's viewers is the end of a busy evening."""
    _, stream = await live(world)
    await join(world, "john", stream.id)
    document = await backstage.database["seats"].find_one({"uid": {"$exists": True}})
    assert document
    queries: dict[str, list[dict[str, Any]]] = {
        "seats": [
            {"stream": document["stream"], "until": {"$gt": now()}},
            {"stream": document["stream"]},
            {"stream": document["stream"], "uid": document["uid"]},
        ],
        "agora_notices": [{"pending": {"$gt": ObjectId("0" * 24)}}],
        "streams": [{"channel_name": "c"}],
    }
    for collection, filters in queries.items():
        for condition in filters:
            explained = await backstage.database.command(
                {"explain": {"find": collection, "filter": condition}, "verbosity": "queryPlanner"}
            )
            assert "IXSCAN" in str(explained["queryPlanner"]["winningPlan"]), condition


class Counting(CommandListener):
    """Counts commands by name and collection."""

    def __init__(self) -> None:
        self.commands: Counter[str] = Counter()

    def started(self, event: CommandStartedEvent) -> None:
        self.commands[f"{event.command_name} {event.command.get(event.command_name)}"] += 1

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


async def test_a_page_costs_the_same_for_any_number_of_viewers(
    world: World, mongo_uri: str, database_name: str, media: Any, engine: str
) -> None:
    """A query per viewer would multiply with the crowd: the people of a page come in one batch."""
    _, stream = await live(world)
    crowd = [await somebody(world) for _ in range(5)]
    for each in crowd:
        await join(world, each, stream.id)
    counting = Counting()
    settings = settings_for(mongo_uri, database_name, media, engine=engine, sweep_seconds=3600)
    async with open_world(settings, [counting]) as other:
        await viewers(other, stream.id)
        for limit in (1, 5):
            counting.commands.clear()
            assert len((await viewers(other, stream.id, limit=limit)).list) == limit
            seen = {name: number for name, number in counting.commands.items() if name.split()[1] in COLLECTIONS}
            # The people of the page, and the caller: nobody is remembered here.
            assert seen == {"find streams": 1, "find users": 2, "aggregate seats": 2}

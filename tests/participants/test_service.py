"""Leaving, the list of viewers, and the statistics, through a real channel."""

import secrets
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from livestream.v1.live_stream_pb2 import ROLE_AUDIENCE, ROLE_GUEST, ROLE_HOST
from livestream.v1.live_stream_service_pb2 import EndStreamRequest, RenewTokensRequest
from livestream.v1.moderation_service_pb2 import BAN_ACTION_TYPE_CHAT_ONLY
from livestream_server.transport.paging import Position, encode_page_token
from tests.participants.conftest import STAY, Backstage
from tests.participants.stage import (
    announced,
    ban,
    join,
    leave,
    lift,
    list_viewers,
    live,
    now,
    present,
    somebody,
    statistics,
    viewers,
)
from tests.support.environment import ServiceEnvironment, metadata, open_environment, settings_for
from tests.support.failures import failure

COLLECTIONS = ("streams", "participants", "users")


@pytest.fixture(autouse=True)
async def real_time(env: ServiceEnvironment) -> AsyncIterator[None]:
    """Each test begins with the real clock."""
    yield
    env.clock.now = None


async def test_a_viewer_is_present_from_joining_to_leaving(env: ServiceEnvironment) -> None:
    """A list of viewers that lags behind is a list of strangers."""
    _, stream = await live(env)
    assert await present(env, stream.id) == []
    await join(env, "jane", stream.id)
    ada = await somebody(env)
    await join(env, ada, stream.id)
    assert len(await present(env, stream.id)) == 2
    answer = await leave(env, "jane", stream.id)
    assert (answer.live_stream_id, answer.role) == (stream.id, ROLE_AUDIENCE)
    assert await present(env, stream.id) == [ada]
    assert await leave(env, "jane", stream.id) == answer
    assert await present(env, stream.id) == [ada]


async def test_whoever_comes_back_at_once_is_present(
    env: ServiceEnvironment, mongo_uri: str, database_name: str, media: Any, engine: str
) -> None:
    """A process caches participants; another one may have seen their users leave in between."""
    _, stream = await live(env)
    async with open_environment(settings_for(mongo_uri, database_name, media, engine=engine)) as other:
        for here, there in ((env, env), (env, other), (other, env)):
            await join(here, "jane", stream.id)
            await leave(there, "jane", stream.id)
            assert await present(here, stream.id) == []
            await join(here, "jane", stream.id)
            assert len(await present(there, stream.id)) == 1
    assert (await statistics(env, stream.id)).total_viewers == 1


async def test_without_a_sign_of_life_presence_ends_with_the_tokens(env: ServiceEnvironment) -> None:
    """An app that was killed says no goodbye; a renewal is as good as a join."""
    _, stream = await live(env)
    begun = now()
    for who in ("john", "jane"):
        await join(env, who, stream.id)
    env.clock.now = begun + timedelta(minutes=50)
    await env.streams.RenewTokens(RenewTokensRequest(live_stream_id=stream.id), metadata=metadata("jane"))
    env.clock.now = begun + STAY - timedelta(seconds=1)
    assert len(await present(env, stream.id)) == 2
    env.clock.now = begun + STAY + timedelta(seconds=60)
    assert len(await present(env, stream.id)) == 1
    env.clock.now = begun + STAY + timedelta(minutes=51)
    assert await present(env, stream.id) == []


async def test_the_banned_are_no_viewers_from_the_ban_on(env: ServiceEnvironment) -> None:
    """Whoever is banned is in no list and no number of the stream until the ban is lifted."""
    creator, stream = await live(env)
    users = [await somebody(env, name) for name in ("Ada", "Bea", "Cem")]
    for each in users:
        await join(env, each, stream.id)
    at = now()
    made = await ban(env, creator, stream.id, users[1])
    await ban(env, creator, stream.id, users[2], action_type=BAN_ACTION_TYPE_CHAT_ONLY)
    for fields in ({}, {"search": "demir"}, {"limit": 1}):
        listed = await viewers(env, stream.id, **fields)
        assert (listed.participant_audience_total, listed.pagination.total_items) == (2, 2)
        assert [each.id for each in listed.list] == [users[0], users[2]][: fields.get("limit", 20)]
    assert (await viewers(env, stream.id, search="bea")).list == []
    await lift(env, creator, made.id)
    assert await present(env, stream.id) == users

    env.clock.now = at + timedelta(minutes=10)
    await ban(env, creator, stream.id, users[0])
    env.clock.now = at + timedelta(minutes=30)
    told = await statistics(env, stream.id)
    assert (told.total_viewers, told.peak_concurrent_viewers) == (3, 3)
    assert told.total_watch_time_minutes == pytest.approx(30 + 10 + 30, abs=0.5)


async def test_one_may_leave_what_one_is_not_in(env: ServiceEnvironment) -> None:
    """An app that leaves on its way out must not fail because it was never in, or the stream is over."""
    creator, stream = await announced(env)
    assert (await leave(env, "john", stream.id)).role == ROLE_AUDIENCE
    assert (await leave(env, creator, stream.id)).role == ROLE_HOST
    assert (await leave(env, "mehmet", stream.id)).role == ROLE_GUEST
    await join(env, creator, stream.id, ROLE_HOST)
    assert (await leave(env, "john", stream.id)).role == ROLE_AUDIENCE
    await env.streams.EndStream(EndStreamRequest(live_stream_id=stream.id), metadata=metadata(creator))
    assert (await leave(env, creator, stream.id)).role == ROLE_HOST


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
async def test_nobody_leaves_for_another(
    env: ServiceEnvironment, backstage: Backstage, who: str, role: Any, reason: str
) -> None:
    """Whoever could send the host away would end the stream."""
    _, stream = await live(env)
    assert (await failure(leave(env, who, stream.id, role))).reason == reason
    assert (await backstage.streams.get(stream.id)).host_gone_since is None


async def test_a_stream_that_is_not_there_cannot_be_left(env: ServiceEnvironment) -> None:
    """A typing error is told apart from having left."""
    assert (await failure(leave(env, "john", secrets.token_hex(12)))).reason == "STREAM_NOT_FOUND"


async def test_the_hosts_leave_starts_the_grace_once_and_a_join_ends_it(
    env: ServiceEnvironment, backstage: Backstage
) -> None:
    """A nervous thumb on the button must not stretch the grace; a host who is back keeps the stream."""
    creator, stream = await live(env)
    begun = now()
    env.clock.now = begun + timedelta(seconds=10)
    await leave(env, creator, stream.id)
    env.clock.now = begun + timedelta(seconds=60)
    await leave(env, creator, stream.id)
    gone = await backstage.streams.get(stream.id)
    assert gone.host_gone_since == begun + timedelta(seconds=10)
    assert [each.id for each in await backstage.streams.find_due(begun + timedelta(seconds=131), 100)] == [stream.id]
    await join(env, creator, stream.id, ROLE_HOST)
    back = await backstage.streams.get(stream.id)
    assert (back.host_gone_since, back.host_seen_at) == (None, begun + timedelta(seconds=60))


async def test_a_broadcaster_who_also_watches_leaves_the_participant_that_they_name(
    env: ServiceEnvironment, backstage: Backstage
) -> None:
    """The creator may watch on a second device; to close that one is not to end the show."""
    creator, stream = await live(env)
    await join(env, creator, stream.id)
    await leave(env, creator, stream.id, ROLE_AUDIENCE)
    assert await present(env, stream.id) == []
    assert (await backstage.streams.get(stream.id)).host_gone_since is None


async def test_viewers_are_listed_in_pages(env: ServiceEnvironment) -> None:
    """Every viewer is on exactly one page, the first to come first."""
    _, stream = await live(env)
    crowd = [await somebody(env) for _ in range(5)]
    for each in crowd:
        await join(env, each, stream.id)
    pages = [await viewers(env, stream.id, page=number, limit=2) for number in (1, 2, 3, 4)]
    assert [each.id for page in pages for each in page.list] == crowd
    first, _, last, behind = (each.pagination for each in pages)
    assert (first.total_pages, first.total_items, first.has_next_page, first.has_prev_page) == (3, 5, True, False)
    assert (last.current_page, last.items_per_page, last.has_next_page, last.has_prev_page) == (3, 2, False, True)
    assert (behind.total_items, behind.has_next_page) == (5, False)
    usual = await viewers(env, stream.id)
    assert (usual.pagination.items_per_page, usual.participant_audience_total) == (20, 5)


async def test_the_viewers_are_walked_by_tokens_while_they_come_and_go(env: ServiceEnvironment) -> None:
    """By page numbers, whoever leaves meanwhile pulls another one onto a page that was read, to be shown never."""
    creator, stream = await live(env)
    crowd = [await somebody(env, name) for name in ("Ada", "Bea", "Ada", "Ada", "Ada", "Ada")]
    begun = now()
    for index, each in enumerate(crowd):
        env.clock.now = begun + timedelta(seconds=index // 2)  # two joins at one instant: their uids settle the order
        await join(env, each, stream.id)
    crowd = await present(env, stream.id)
    ada = [each.id for each in (await viewers(env, stream.id, search="ada")).list]

    first = await list_viewers(env, stream.id, page_size=3)
    searched = await list_viewers(env, stream.id, page_size=2, search="ada")
    assert [each.id for each in (*first.page.list, *searched.page.list)] == [*crowd[:3], *ada[:2]]
    await leave(env, crowd[0], stream.id)
    await ban(env, creator, stream.id, crowd[4])
    late = await somebody(env, "Ada")
    env.clock.now += timedelta(seconds=1)
    await join(env, late, stream.id)
    walks: tuple[tuple[Any, dict[str, Any], list[str]], ...] = (
        (first, {}, [crowd[3], crowd[5], late]),
        (searched, {"search": "ada"}, [*(each for each in ada[2:] if each != crowd[4]), late]),
    )
    for answer, wanted, expected in walks:
        walked, token = [], answer.next_page_token
        while token:
            answer = await list_viewers(env, stream.id, page_size=1, page_token=token, **wanted)  # noqa: PLW2901
            assert not answer.page.HasField("pagination")
            assert answer.page.participant_audience_total == 5
            walked, token = [*walked, *(each.id for each in answer.page.list)], answer.next_page_token
        assert walked == expected


async def test_as_many_viewers_as_a_page_holds_are_its_end(env: ServiceEnvironment) -> None:
    """A token for nothing would cost each client a call; a page size is the usual one if 0, and never above 100."""
    _, stream = await live(env)
    for _ in range(2):
        await join(env, await somebody(env), stream.id)
    for size, items in ((0, 20), (2, 2), (100, 100), (101, 100), (2**31 - 1, 100)):
        answer = await list_viewers(env, stream.id, page_size=size)
        assert (len(answer.page.list), answer.page.pagination.items_per_page) == (2, items)
        assert answer.next_page_token == ""


async def test_a_page_token_is_for_the_viewers_of_one_stream(env: ServiceEnvironment) -> None:
    """One that was forged, or that another list or another stream answered with, continues nothing."""
    streams = [(await live(env))[1].id for _ in range(2)]
    user = await somebody(env)
    for who, stream_id in ((user, streams[0]), ("jane", streams[0])):
        await join(env, who, stream_id)
    token = (await list_viewers(env, streams[0], page_size=1)).next_page_token
    assert (await list_viewers(env, streams[0], page_token=token)).page.list
    listing = f"viewers.{streams[1]}"
    at = now()
    for wrong in (
        token,
        token + "A",
        encode_page_token("bans", Position((at,), user)),
        encode_page_token("viewers", Position((at, 1), user)),
        encode_page_token(listing, Position((at,), user)),
        encode_page_token(listing, Position((1, at), user)),
        encode_page_token(listing, Position((at, None), user)),
    ):
        refused = await failure(list_viewers(env, streams[1], page_token=wrong))
        assert refused.code == grpc.StatusCode.INVALID_ARGUMENT
        assert [each.field for each in refused.violations] == ["page_token"]


@pytest.mark.parametrize(
    ("fields", "violated"),
    [
        ({"page": 0}, ["page"]),
        ({"limit": 0, "page": -1}, ["page", "limit"]),
        ({"limit": 101}, ["limit"]),
        ({"page_size": -1}, ["page_size"]),
        ({"page_size": 1, "limit": 1}, ["limit"]),
        ({"page_token": "x"}, ["page_token"]),
        ({"page_token": "x", "page": 1}, ["page"]),
        ({"search": "x" * 101}, ["search"]),
        ({"search": "a\x00"}, ["search"]),
        ({"search": "a\n"}, ["search"]),
    ],
)
async def test_a_page_that_cannot_be_is_refused(
    env: ServiceEnvironment, fields: dict[str, Any], violated: list[str]
) -> None:
    """Out of range is said, not guessed at."""
    refused = await failure(viewers(env, "a" * 24, **fields))
    assert refused.code == grpc.StatusCode.INVALID_ARGUMENT
    assert [each.field for each in refused.violations] == violated


async def test_viewers_are_found_by_a_piece_of_their_names(env: ServiceEnvironment) -> None:
    """Whatever the keyboard: Turkish letters, capitals, missing accents."""
    _, stream = await live(env)
    users = {
        "isik": await somebody(env, "Işık", "ÇELİK"),
        "ilayda": await somebody(env, "İlayda", "Güneş"),
        "sule": await somebody(env, "ŞULE", "Iğdır"),
        "plus": await somebody(env, "A+", "(B"),
    }
    for each in users.values():
        await join(env, each, stream.id)
    names = {user: name for name, user in users.items()}

    async def found(text: str) -> set[str]:
        answer = await viewers(env, stream.id, search=text)
        assert answer.participant_audience_total == len(users)
        assert answer.pagination.total_items == len(answer.list)
        return {names[each.id] for each in answer.list}

    for text in ("ışık", "isik", "IŞIK", "Işık çelik", "isik  CELIK", "çelik", "celik"):
        assert await found(text) == {"isik"}, text
    for text in ("ilayda", "İLAYDA", "ILAYDA", "gunes", "GÜNEŞ"):
        assert await found(text) == {"ilayda"}, text
    for text in ("şule", "Sule", "ığdır", "IGDIR"):
        assert await found(text) == {"sule"}, text
    assert await found("i") == {"isik", "ilayda", "sule"}
    assert await found(f"U{users['plus'][:12]}") == {"plus"}
    assert await found("a+ (b") == {"plus"}
    for text in (".*", "^", "$", "[a-z]", "(", "\\", f"Demir u{users['isik'][:4]}"):
        assert await found(text) == ({"plus"} if text == "(" else set()), text
    assert await found("  ") == set(users)


async def test_a_viewer_is_shown_with_what_the_user_service_told(env: ServiceEnvironment) -> None:
    """Numbers that are not known are absent, not zero."""
    _, stream = await live(env)
    plain = await somebody(env, "Plain")
    known = await somebody(env, "Known", followers_count=1200, following_count=0, expertise="musician")
    for each in (plain, known):
        await join(env, each, stream.id)
    first, second = (await viewers(env, stream.id)).list
    assert (first.name, first.surname, first.username) == ("Plain", "Demir", f"u{plain}")
    assert not any(first.HasField(each) for each in ("followers_count", "following_count", "expertise", "is_following"))
    assert (second.followers_count, second.expertise) == (1200, "musician")
    assert second.HasField("following_count")
    assert first.joined_at.ToMilliseconds() <= second.joined_at.ToMilliseconds() <= now().timestamp() * 1000


async def test_only_an_active_stream_has_viewers(env: ServiceEnvironment) -> None:
    """The refusal names the state, and the one that allows it."""
    creator, stream = await announced(env)
    before = await failure(viewers(env, stream.id))
    assert (before.code, before.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STREAM_NOT_ON_AIR")
    assert (before.metadata["status"], before.metadata["allowed"]) == ("preparing", "active")
    await join(env, creator, stream.id, ROLE_HOST)
    await env.streams.EndStream(EndStreamRequest(live_stream_id=stream.id), metadata=metadata(creator))
    assert (await failure(viewers(env, stream.id))).metadata["status"] == "ended"


async def test_whoever_is_not_registered_sees_no_viewers_and_no_statistics(env: ServiceEnvironment) -> None:
    """Both are for members."""
    _, stream = await live(env)
    for call in (viewers, statistics):
        assert (await failure(call(env, stream.id, "f" * 24))).reason == "REGISTRATION_INCOMPLETE"
        assert (await failure(call(env, secrets.token_hex(12)))).reason == "STREAM_NOT_FOUND"


async def test_statistics_rest_on_what_happened(env: ServiceEnvironment) -> None:
    """While the stream runs, and after its end, when they stay as they are."""
    creator, stream = await live(env)
    begun = now()

    def after(minutes: float) -> None:
        env.clock.now = begun + timedelta(minutes=minutes)

    crowd = [await somebody(env) for _ in range(3)]
    for each in crowd:
        after(1)
        await join(env, each, stream.id)
    after(3)
    await leave(env, crowd[0], stream.id)
    after(4)
    await leave(env, crowd[1], stream.id)
    after(5)
    await join(env, crowd[0], stream.id)
    running = await statistics(env, stream.id)
    assert running.stream_id == stream.id
    assert (running.total_viewers, running.peak_concurrent_viewers) == (3, 3)
    assert running.total_watch_time_minutes == pytest.approx(2 + 3 + 4, abs=0.02)
    after(7)
    await env.streams.EndStream(EndStreamRequest(live_stream_id=stream.id), metadata=metadata(creator))
    ended = await statistics(env, stream.id)
    assert ended.total_watch_time_minutes == pytest.approx(4 + 3 + 6, abs=0.02)
    assert ended.average_watch_time_minutes == pytest.approx(13 / 3, abs=0.02)
    after(500)
    assert await statistics(env, stream.id) == ended


async def test_a_stream_that_never_started_has_empty_statistics(env: ServiceEnvironment) -> None:
    """Zeros, and no division by them."""
    _, stream = await announced(env)
    answer = await statistics(env, stream.id)
    assert (answer.total_viewers, answer.average_watch_time_minutes, answer.peak_concurrent_viewers) == (0, 0, 0)


class Counting(CommandListener):
    """Counts commands by name and collection."""

    def __init__(self) -> None:
        self.commands: Counter[str] = Counter()

    def started(self, event: CommandStartedEvent) -> None:
        self.commands[f"{event.command_name} {event.command.get(event.command_name)}"] += 1

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


async def test_a_page_costs_the_same_for_any_number_of_viewers(
    env: ServiceEnvironment, mongo_uri: str, database_name: str, media: Any, engine: str
) -> None:
    """A query per viewer would multiply with the crowd: the users of a page come in one batch."""
    _, stream = await live(env)
    crowd = [await somebody(env) for _ in range(5)]
    for each in crowd:
        await join(env, each, stream.id)
    counting = Counting()
    settings = settings_for(mongo_uri, database_name, media, engine=engine, sweep_seconds=3600)
    async with open_environment(settings, [counting]) as other:
        await viewers(other, stream.id)
        for limit in (1, 5):
            counting.commands.clear()
            assert len((await viewers(other, stream.id, limit=limit)).list) == limit
            seen = {name: number for name, number in counting.commands.items() if name.split()[1] in COLLECTIONS}
            # The users of the page, and the caller: no user is cached here.
            assert seen == {"find streams": 1, "find users": 2, "aggregate participants": 1, "find participants": 1}

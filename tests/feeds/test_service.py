from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import grpc
import pytest

from livestream.v1 import feed_service_pb2 as rpc
from livestream.v1.live_stream_pb2 import Role
from livestream.v1.live_stream_service_pb2 import (
    CreateStreamRequest,
    DeleteStreamRequest,
    EndStreamRequest,
    JoinStreamRequest,
)
from livestream_server.vocabulary import Status, StreamType
from tests.feeds.conftest import NOW, Stage
from tests.support.environment import IDS, ServiceEnvironment, metadata
from tests.support.failures import failure

AYSE, MEHMET = IDS["ayse"], IDS["mehmet"]
NOBODY = "f" * 24
HOUR = timedelta(hours=1)
OVER = (Status.EXPIRED, Status.CANCELLED_BY_HOST, Status.CANCELLED_BY_GUEST)


@pytest.fixture(autouse=True)
async def _fresh(stage: Stage, env: ServiceEnvironment) -> None:
    await stage.clear()
    env.clock.now = NOW


def ids(streams: Sequence[Any]) -> list[str]:
    return [each.id for each in streams]


async def call(method: Any, request: Any, who: str | None = "ayse") -> Any:
    return await method(request, metadata=metadata(who) if who else (), timeout=10)


async def test_all_streams_are_listed_newest_first_in_whatever_state(stage: Stage, feeds: Any) -> None:
    """A client that shows everything must see everything, but for what was deleted."""
    expected = [await stage.stream("ayse", status, created_at=NOW - age * HOUR) for age, status in enumerate(Status)]
    await stage.stream("ayse", Status.ENDED, deleted_at=NOW)
    assert ids((await call(feeds.ListStreams, rpc.ListStreamsRequest())).streams) == expected
    assert ids((await call(feeds.ListStreams, rpc.ListStreamsRequest(limit=2))).streams) == expected[:2]
    refused = await failure(call(feeds.ListStreams, rpc.ListStreamsRequest(limit=101)))
    assert refused.violations[0].field == "limit"


async def test_no_more_than_a_hundred_streams_are_in_a_plain_list(stage: Stage, feeds: Any) -> None:
    """A list without pages would otherwise grow until it no longer answers in time."""
    for _ in range(103):
        await stage.stream("ayse", Status.ENDED)
    answer = await call(feeds.ListStreams, rpc.ListStreamsRequest())
    assert len(answer.streams) == 100
    rest = await call(feeds.ListStreams, rpc.ListStreamsRequest(page_token=answer.next_page_token))
    assert len({*ids(answer.streams), *ids(rest.streams)}) == 103
    assert rest.next_page_token == ""


async def test_featured_streams_are_those_that_most_users_watch_now(stage: Stage, feeds: Any) -> None:
    """Viewers who have left, and streams that have ended, must not keep a stream on the first page."""
    hosts = await stage.users(13)
    streams = [
        await stage.stream(host, Status.ACTIVE, started_at=NOW - number * HOUR) for number, host in enumerate(hosts)
    ]
    for stream, viewers in ((streams[11], 3), (streams[5], 2), (streams[12], 1)):
        for viewer in hosts[:viewers]:
            await stage.participant(stream, viewer)
    for viewer in hosts[:5]:
        await stage.participant(streams[10], viewer, NOW - 2 * HOUR)
    over = await stage.stream("ayse", Status.ENDED)
    for viewer in hosts[:9]:
        await stage.participant(over, viewer)
    await stage.rank()
    expected = [streams[11], streams[5], streams[12], *streams[:5], *streams[6:8]]
    for who in (None, "ayse"):
        found = (await call(feeds.ListFeaturedStreams, rpc.ListFeaturedStreamsRequest(), who)).streams
        assert ids(found) == expected
    await stage.database["streams"].update_one(
        {"creator": {"$exists": True}, "started_at": NOW}, {"$set": {"status": "ended"}}
    )
    found = (await call(feeds.ListFeaturedStreams, rpc.ListFeaturedStreamsRequest(), None)).streams
    assert ids(found) == [each for each in expected if each != streams[0]]


async def test_live_creators_come_with_what_they_host(stage: Stage, feeds: Any) -> None:
    """The most recently started first; who is not live is not there."""
    hosts = await stage.users(3)
    for number, host in enumerate(hosts):
        await stage.stream(host, Status.ACTIVE, started_at=NOW + number * HOUR)
    await stage.stream("ayse", Status.SCHEDULED)
    streamers = (await call(feeds.ListCatchStreamers, rpc.ListCatchStreamersRequest(), None)).streamers
    assert [each.creator.id for each in streamers] == [each.active_live_stream.creator.id for each in streamers]
    assert [each.creator.id for each in streamers] == hosts[::-1]
    first = await call(feeds.ListCatchStreamers, rpc.ListCatchStreamersRequest(limit=2), None)
    rest = await call(feeds.ListCatchStreamers, rpc.ListCatchStreamersRequest(page_token=first.next_page_token), None)
    assert [*first.streamers, *rest.streamers] == list(streamers)
    assert (len(first.streamers), rest.next_page_token) == (2, "")


async def test_a_page_behind_the_end_is_empty_and_knows_the_totals(stage: Stage, feeds: Any) -> None:
    """A client that pages while streams end must learn where the list ends now."""
    for host in await stage.users(3):
        await stage.stream(host, Status.ACTIVE)
    answer = await call(feeds.ListStreamsLiveNow, rpc.ListStreamsLiveNowRequest(page=5, limit=2), None)
    where = answer.page.pagination
    assert not answer.page.list
    assert (where.current_page, where.total_pages, where.total_items, where.items_per_page) == (5, 2, 3, 2)
    assert (where.has_next_page, where.has_prev_page) == (False, True)


async def test_for_you_selects_by_interest_state_and_type(stage: Stage, feeds: Any) -> None:
    """Each of the three lists has its own streams, and only of topics that the caller likes."""
    await stage.likes("john", "music", "sports", "music")
    hosts = await stage.users(4)
    music = await stage.stream(hosts[0], Status.ACTIVE, interest="music")
    sports = await stage.stream(hosts[1], Status.ACTIVE, interest="sports", started_at=NOW + HOUR)
    await stage.stream(hosts[2], Status.ACTIVE, interest="cooking")
    await stage.stream(hosts[3], Status.ACTIVE)
    later = await stage.stream(hosts[0], Status.SCHEDULED, interest="music", planned_start=NOW + 2 * HOUR)
    crowd = await stage.stream(
        hosts[0], Status.SCHEDULED, guest="john", interest="sports", type=StreamType.DUOCROWD, planned_start=NOW + HOUR
    )
    await stage.stream(hosts[0], Status.SCHEDULED, interest="music", deleted_at=NOW)
    expected = {
        rpc.SELECTION_LIVE: [sports, music],
        rpc.SELECTION_SCHEDULED: [crowd, later],
        rpc.SELECTION_CROWDFUNDING: [crowd],
    }
    for selection, streams in expected.items():
        page = (await call(feeds.ListStreamsForYou, rpc.ListStreamsForYouRequest(selection=selection), "john")).page
        assert ids(page.list) == streams
        assert page.pagination.total_items == len(streams)
    assert page.list[0].role == Role.ROLE_GUEST


async def test_nothing_is_for_someone_without_interests(stage: Stage, feeds: Any) -> None:
    """Everything, or a failure, would both be worse than an empty page."""
    await stage.stream(AYSE, Status.ACTIVE, interest="music")
    request = rpc.ListStreamsForYouRequest(selection=rpc.SELECTION_LIVE, page=-5, limit=900)
    where = (await call(feeds.ListStreamsForYou, request, "zeynep")).page.pagination
    assert (where.current_page, where.items_per_page, where.total_items, where.total_pages) == (1, 100, 0, 0)


async def test_guest_streams_are_those_of_the_guest_alone(stage: Stage, feeds: Any) -> None:
    """Neither one's own streams nor others' are in the list; a state narrows it."""
    await stage.stream("ayse", Status.ENDED, guest="mehmet")
    await stage.stream("john", Status.ENDED, guest="mehmet")
    ended = await stage.stream("mehmet", Status.ENDED, guest="ayse")
    planned = await stage.stream("john", Status.SCHEDULED, guest="ayse", created_at=NOW + HOUR)
    await stage.stream("mehmet", Status.ENDED, guest="ayse", deleted_at=NOW)
    page = (await call(feeds.ListGuestStreams, rpc.ListGuestStreamsRequest())).page
    assert ids(page.list) == [planned, ended]
    assert {each.role for each in page.list} == {Role.ROLE_GUEST}
    page = (await call(feeds.ListGuestStreams, rpc.ListGuestStreamsRequest(status="LIVE_STREAM_STATUS_ENDED"))).page
    assert ids(page.list) == [ended]
    for field, wrong in (("status", 99), ("sort_by", 99), ("sort_order", 9)):
        refused = await failure(call(feeds.ListGuestStreams, rpc.ListGuestStreamsRequest(**{field: wrong})))
        assert [each.field for each in refused.violations] == [field]


KEYS: dict[str, Callable[[int], Any]] = {
    "CREATED_AT": lambda n: NOW + n // 2 * HOUR,
    "UPDATED_AT": lambda n: NOW - n // 2 * HOUR,
    "STARTED_AT": lambda n: NOW + n % 3 * HOUR if n % 4 else None,
    "PLANNED_START_DATE": lambda n: NOW + n % 2 * HOUR if n % 3 else None,
    "ENDED_AT": lambda n: NOW - n * HOUR if n % 2 else None,
    "DURATION_GOAL": lambda n: n % 3 * 15 if n % 4 else None,
}


@pytest.mark.parametrize(("sort", "order"), list(product([*KEYS, "FUNDING_GOAL"], ["ASC", "DESC"])))
async def test_page_tokens_walk_each_list_to_its_end_once(stage: Stage, feeds: Any, sort: str, order: str) -> None:
    """Equal and absent keys are where such walks lose or repeat items; pages by number must agree."""
    names = {"PLANNED_START_DATE": "planned_start"}
    fields = [{names.get(key, key.lower()): value(n) for key, value in KEYS.items()} for n in range(11)]
    made = [await stage.stream("mehmet", Status.ENDED, guest="ayse", **each) for each in fields]
    key = names.get(sort, sort.lower())

    def rank(place: int) -> tuple[bool, Any, str]:
        value: datetime | int | None = fields[place].get(key)
        return value is not None, value or 0 if not isinstance(value, datetime) else value, made[place]

    expected = [made[place] for place in sorted(range(11), key=rank, reverse=order == "DESC")]
    asked = {"sort_by": f"GUEST_STREAM_SORT_{sort}", "sort_order": f"SORT_ORDER_{order}"}
    walked, token, answers = [], "", 0
    while token or not answers:
        answer = await call(feeds.ListGuestStreams, rpc.ListGuestStreamsRequest(**asked, limit=2, page_token=token))
        assert answer.page.HasField("pagination") == (answers == 0)
        walked += ids(answer.page.list)
        token, answers = answer.next_page_token, answers + 1
    by_number = [
        each
        for number in range(1, 7)
        for each in ids(
            (await call(feeds.ListGuestStreams, rpc.ListGuestStreamsRequest(**asked, limit=2, page=number))).page.list
        )
    ]
    assert walked == by_number == expected
    assert answers == 6


async def test_a_page_token_and_a_page_exclude_each_other(stage: Stage, feeds: Any) -> None:
    """Which of the two would count is anybody's guess; a token of another list means nothing here."""
    for _ in range(2):
        await stage.stream("ayse", Status.ENDED)
    request = rpc.ListMyBroadcastedStreamsRequest(limit=1)
    request.page_token = (await call(feeds.ListMyBroadcastedStreams, request)).next_page_token
    request.page = 1
    refused = await failure(call(feeds.ListMyBroadcastedStreams, request))
    assert [each.field for each in refused.violations] == ["page"]
    refused = await failure(call(feeds.ListPastStreams, rpc.ListPastStreamsRequest(page_token=request.page_token)))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [each.field for each in refused.violations] == ["page_token"]


async def test_upcoming_streams_can_be_walked(stage: Stage, feeds: Any) -> None:
    """Two keys and an id order them; each page must begin where the one before ended."""
    for number in range(4):
        await stage.stream("ayse", Status.PREPARING)
        await stage.stream("ayse", Status.PREPARING, planned_start=NOW + number // 2 * HOUR)
        await stage.stream("mehmet", Status.SCHEDULED, guest="ayse", planned_start=NOW + number // 2 * HOUR)
    await stage.stream("ayse", Status.ACTIVE)
    request = rpc.ListUpcomingStreamsRequest(page_size=100)
    whole = [each.live_stream.id for each in (await call(feeds.ListUpcomingStreams, request)).streams]
    walked, request = [], rpc.ListUpcomingStreamsRequest(page_size=2)
    for _ in range(7):
        answer = await call(feeds.ListUpcomingStreams, request)
        walked += [each.live_stream.id for each in answer.streams]
        request.page_token = answer.next_page_token
    assert (len(whole), walked, request.page_token) == (13, whole, "")


async def test_rankings_can_be_walked(stage: Stage, feeds: Any) -> None:
    """A list that lacks what every other list has is a case of its own in each client."""
    hosts = await stage.users(3)
    streams = [await stage.stream(host, Status.ACTIVE, started_at=NOW - n * HOUR) for n, host in enumerate(hosts)]
    for number, stream in enumerate(streams):
        for viewer in hosts[number:]:
            await stage.participant(stream, viewer)
    await stage.rank()
    first = await call(feeds.ListFeaturedStreams, rpc.ListFeaturedStreamsRequest(page_size=2))
    rest = rpc.ListFeaturedStreamsRequest(page_token=first.next_page_token)
    last = await call(feeds.ListFeaturedStreams, rest)
    assert ([*ids(first.streams), *ids(last.streams)], last.next_page_token) == (streams, "")
    creators = await call(feeds.ListMostWatchedCreators, rpc.ListMostWatchedCreatorsRequest(page_size=1))
    assert ids(creators.creators) == hosts[:1]
    rest = rpc.ListMostWatchedCreatorsRequest(page_token=creators.next_page_token)
    assert ids((await call(feeds.ListMostWatchedCreators, rest)).creators) == hosts[1:]
    refused = await failure(call(feeds.ListFeaturedStreams, rpc.ListFeaturedStreamsRequest(page_size=-1)))
    assert [each.field for each in refused.violations] == ["page_size"]
    refused = await failure(call(feeds.ListFeaturedStreams, rpc.ListFeaturedStreamsRequest(page_token="x")))
    assert [each.field for each in refused.violations] == ["page_token"]


EVERY_LIST = [
    each.name for each in rpc.DESCRIPTOR.services_by_name["FeedService"].methods if each.name.startswith("List")
]


@pytest.mark.parametrize("name", EVERY_LIST)
async def test_every_list_is_asked_for_by_size_and_token(stage: Stage, feeds: Any, name: str) -> None:
    """AIP-158, the same for each list: a client's helper that walks one of them walks all."""

    async def ask(**fields: Any) -> Any:
        selection = {"selection": rpc.SELECTION_LIVE} if name == "ListStreamsForYou" else {}
        return await call(getattr(feeds, name), getattr(rpc, f"{name}Request")(**selection, **fields))

    for size in (0, 1, 100, 2**31 - 1):
        await ask(page_size=size)
    for field, wrong in (("page_size", -1), ("page_token", "nonsense")):
        refused = await failure(ask(**{field: wrong}))
        assert (refused.code, refused.violations[0].field) == (grpc.StatusCode.INVALID_ARGUMENT, field)


async def test_every_list_answers_with_its_results_first() -> None:
    """AIP-158 and AIP-132: results are field 1, and a token follows."""
    for name in EVERY_LIST:
        method = rpc.DESCRIPTOR.services_by_name["FeedService"].methods_by_name[name]
        results = method.output_type.fields_by_number[1]
        assert results.is_repeated or results.message_type is rpc.StreamPage.DESCRIPTOR
        assert method.output_type.fields_by_name["next_page_token"].number == 2


async def test_upcoming_streams_are_live_or_prepared_or_planned_in_the_window(stage: Stage, feeds: Any) -> None:
    """Whoever opens a user's page must see what is on now, and what comes next, in this order."""
    prepared = await stage.stream("ayse", Status.PREPARING, planned_start=NOW + 999 * HOUR)
    soon = await stage.stream("mehmet", Status.SCHEDULED, guest="ayse", planned_start=NOW + 2 * HOUR)
    missed = await stage.stream("ayse", Status.SCHEDULED, planned_start=NOW - HOUR / 2)
    active = await stage.stream("ayse", Status.ACTIVE, planned_start=NOW - 99 * HOUR)
    edge = await stage.stream("ayse", Status.SCHEDULED, planned_start=NOW + 24 * HOUR)
    await stage.stream("ayse", Status.SCHEDULED, planned_start=NOW + 24 * HOUR + timedelta(milliseconds=1))
    await stage.stream("ayse", Status.SCHEDULED, planned_start=NOW + HOUR, deleted_at=NOW)
    await stage.stream("mehmet", Status.SCHEDULED, guest="john")
    for status in (*OVER, Status.ENDED):
        await stage.stream("ayse", status)

    async def found(**fields: Any) -> list[str]:
        mine = (await call(feeds.ListUpcomingStreams, rpc.ListUpcomingStreamsRequest(**fields))).streams
        hers = rpc.ListUpcomingStreamsRequest(user_id=AYSE, **fields)
        theirs = (await call(feeds.ListUpcomingStreams, hers, "john")).streams
        found = [each.live_stream.id for each in mine]
        assert [each.live_stream.id for each in theirs] == found
        return found

    assert await found() == [active, prepared, missed, soon, edge]
    assert await found(limit=2) == [active, prepared]
    assert await found(hours_before=0, hours_after=2) == [active, prepared, soon]
    assert await found(minutes_before=30, minutes_after=119) == [active, prepared, missed]
    assert await found(hours_before=0, minutes_after=0, limit=1_000_000) == [active, prepared]


async def test_an_upcoming_stream_says_whether_it_will_remind(
    stage: Stage, feeds: Any, env: ServiceEnvironment
) -> None:
    """`isReminderActive` must be right for its viewer, and undecided for nobody in particular."""
    planned = await stage.stream("ayse", Status.SCHEDULED, planned_start=NOW + 5 * HOUR)
    other = await stage.stream("ayse", Status.SCHEDULED, planned_start=NOW + 6 * HOUR)
    await stage.remind("john", planned)
    request = rpc.ListUpcomingStreamsRequest(user_id=AYSE)
    for who, active in (("john", [True, False]), ("jane", [False, False]), (None, [None, None])):
        streams = (await call(feeds.ListUpcomingStreams, request, who)).streams
        assert [each.live_stream.id for each in streams] == [planned, other]
        assert [each.is_reminder_active if each.HasField("is_reminder_active") else None for each in streams] == active


async def test_the_active_stream_is_the_one_that_the_user_hosts(stage: Stage, feeds: Any) -> None:
    """A guest's invitation is not the guest's stream; without one the answer is nothing, not a failure."""
    stream = await stage.stream("ayse", Status.ACTIVE, guest="mehmet")
    assert (await call(feeds.GetActiveStream, rpc.GetActiveStreamRequest())).live_stream.id == stream
    assert not (await call(feeds.GetActiveStream, rpc.GetActiveStreamRequest(), "mehmet")).HasField("live_stream")
    assert not (await call(feeds.GetActiveStream, rpc.GetActiveStreamRequest(), None)).HasField("live_stream")
    hers = (await call(feeds.GetActiveStream, rpc.GetActiveStreamRequest(user_id=AYSE), None)).live_stream
    assert (hers.id, hers.role) == (stream, Role.ROLE_UNSPECIFIED)
    assert not (await call(feeds.GetActiveStream, rpc.GetActiveStreamRequest(user_id=MEHMET))).HasField("live_stream")


async def test_past_streams_are_the_users_own_and_have_ended(stage: Stage, feeds: Any) -> None:
    """What never took place is no past, and what was deleted is gone."""
    old, new = [await stage.stream("ayse", Status.ENDED, ended_at=NOW + n * HOUR) for n in range(2)]
    await stage.stream("mehmet", Status.ENDED, guest="ayse")
    await stage.stream("ayse", Status.ENDED, deleted_at=NOW)
    for status in (*OVER, Status.ACTIVE, Status.SCHEDULED):
        await stage.stream("ayse", status)
    assert ids((await call(feeds.ListPastStreams, rpc.ListPastStreamsRequest())).streams) == [new, old]
    request = rpc.ListPastStreamsRequest(user_id=AYSE, limit=1)
    answer = await call(feeds.ListPastStreams, request, None)
    assert ids(answer.streams) == [new]
    request.page_token = answer.next_page_token
    assert ids((await call(feeds.ListPastStreams, request, None)).streams) == [old]


async def test_broadcasted_streams_say_whether_as_host_or_guest(stage: Stage, feeds: Any) -> None:
    """A creator's history has both kinds of evenings."""
    hosted = await stage.stream("ayse", Status.ENDED, ended_at=NOW + HOUR)
    visited = await stage.stream("mehmet", Status.ENDED, guest="ayse")
    await stage.stream("mehmet", Status.ENDED, guest="john")
    await stage.stream("ayse", Status.ACTIVE)
    page = (await call(feeds.ListMyBroadcastedStreams, rpc.ListMyBroadcastedStreamsRequest())).page
    assert [(each.id, each.role) for each in page.list] == [(hosted, Role.ROLE_HOST), (visited, Role.ROLE_GUEST)]
    assert page.pagination.total_items == 2


async def test_watched_streams_are_listed_once_and_after_their_end(stage: Stage, feeds: Any) -> None:
    """The history of a viewer: what is still on, or deleted, or only others have seen, is not in it."""
    hosts = await stage.users(5)
    seen = [await stage.stream(host, Status.ENDED) for host in hosts]
    for number, stream in enumerate(seen):
        await stage.participant(stream, "john", NOW + number * HOUR)
        await stage.participant(stream, "jane")
    for stream in (
        await stage.stream(hosts[0], Status.ACTIVE),
        await stage.stream(hosts[0], Status.ENDED, deleted_at=NOW),
    ):
        await stage.participant(stream, "john")
    answer = await call(feeds.ListMyWatchedStreams, rpc.ListMyWatchedStreamsRequest(limit=2), "john")
    assert ids(answer.page.list) == [seen[4], seen[3]]
    assert answer.page.pagination.total_items == 5
    assert {each.role for each in answer.page.list} == {Role.ROLE_AUDIENCE}
    request = rpc.ListMyWatchedStreamsRequest(limit=9, page_token=answer.next_page_token)
    answer = await call(feeds.ListMyWatchedStreams, request, "john")
    assert ids(answer.page.list) == [seen[2], seen[1], seen[0]]


async def test_a_long_history_is_walked_in_parts(stage: Stage, feeds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One page looks back a bounded number of joins; what lies behind them must not be lost."""
    monkeypatch.setattr("livestream_server.feeds.store.WATCHED_AT_ONCE", 3)
    hosts = await stage.users(8)
    over = [n for n in range(8) if n not in (1, 2, 3, 6)]
    made = [await stage.stream(host, Status.ENDED if n in over else Status.ACTIVE) for n, host in enumerate(hosts)]
    for number, stream in enumerate(made):
        await stage.participant(stream, "john", NOW + number * HOUR)
    walked, request = [], rpc.ListMyWatchedStreamsRequest(page_size=1)
    for _ in range(10):
        answer = await call(feeds.ListMyWatchedStreams, request, "john")
        walked += ids(answer.page.list)
        request.page_token = answer.next_page_token
        if not answer.next_page_token:
            break
    assert walked == [made[n] for n in reversed(over)]
    assert request.page_token == ""


async def test_creators_are_ranked_by_different_viewers_of_thirty_days(stage: Stage, feeds: Any) -> None:
    """Someone who comes to every stream counts once, and the viewers of last season not at all."""
    viewers = await stage.users(3)
    for _ in range(3):
        faithful = await stage.stream("mehmet", Status.ENDED)
        await stage.participant(faithful, viewers[0])
    for number in range(2):
        await stage.participant(await stage.stream("ayse", Status.ENDED), viewers[number], NOW - timedelta(days=29))
    for viewer in viewers:
        await stage.participant(await stage.stream("john", Status.ENDED), viewer, NOW - timedelta(days=31))
    await stage.likes("ayse", "music")
    await stage.rank()
    for who in (None, "jane"):
        creators = (await call(feeds.ListMostWatchedCreators, rpc.ListMostWatchedCreatorsRequest(), who)).creators
        assert [each.id for each in creators] == [AYSE, MEHMET]
        assert creators[0].expertise == "musician"
        assert not creators[1].HasField("expertise")
        assert not creators[0].HasField("is_following")


async def test_only_one_process_counts_at_a_time_and_not_too_often(stage: Stage, feeds: Any) -> None:
    """However many processes there are, counting is done once, and rests a hundred times as long as it took."""
    await stage.rank()
    before = await stage.database["rankings"].find().to_list()
    assert {each["_id"] for each in before} == {"featured", "creators"}
    assert all(each["due_at"] >= NOW + timedelta(seconds=10) for each in before)
    await stage.stream("ayse", Status.ACTIVE)
    rankings = stage.rankings(NOW + timedelta(seconds=9))
    await rankings.refresh()
    assert await stage.database["rankings"].find().to_list() == before
    assert await rankings.featured() == []


REQUIRED = [
    rpc.ListStreamsRequest(),
    rpc.ListStreamsForYouRequest(selection=rpc.SELECTION_LIVE),
    rpc.ListGuestStreamsRequest(),
    rpc.ListUpcomingStreamsRequest(),
    rpc.ListPastStreamsRequest(),
    rpc.ListMyBroadcastedStreamsRequest(),
    rpc.ListMyWatchedStreamsRequest(),
]
OPEN = [
    rpc.ListFeaturedStreamsRequest(),
    rpc.ListCatchStreamersRequest(),
    rpc.ListStreamsLiveNowRequest(),
    rpc.ListUpcomingStreamsRequest(user_id=AYSE),
    rpc.GetActiveStreamRequest(),
    rpc.GetActiveStreamRequest(user_id=AYSE),
    rpc.ListPastStreamsRequest(user_id=AYSE),
    rpc.ListMostWatchedCreatorsRequest(),
]


def id_of(request: Any) -> str:
    return request.DESCRIPTOR.name + (" of a user" if getattr(request, "user_id", "") else "")


def rpc_of(feeds: Any, request: Any) -> Any:
    return getattr(feeds, request.DESCRIPTOR.name.removesuffix("Request"))


@pytest.mark.parametrize("request_", REQUIRED, ids=id_of)
async def test_the_callers_own_lists_need_a_registered_caller(feeds: Any, request_: Any) -> None:
    """Anonymous is 401, and somebody who has not completed the registration is 403."""
    assert (await failure(call(rpc_of(feeds, request_), request_, None))).code is grpc.StatusCode.UNAUTHENTICATED
    assert (await failure(call(rpc_of(feeds, request_), request_, NOBODY))).reason == "REGISTRATION_INCOMPLETE"


@pytest.mark.parametrize("request_", OPEN, ids=id_of)
async def test_open_lists_welcome_anybody_but_a_bad_token(feeds: Any, request_: Any) -> None:
    """A client with an expired token must learn that it is no longer signed in, instead of a stranger's answer."""
    await call(rpc_of(feeds, request_), request_, None)
    await call(rpc_of(feeds, request_), request_, NOBODY)
    bad = rpc_of(feeds, request_)(request_, metadata=(("authorization", "Bearer no.token.atall"),), timeout=10)
    assert (await failure(bad)).code is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ListUpcomingStreams", rpc.ListUpcomingStreamsRequest),
        ("GetActiveStream", rpc.GetActiveStreamRequest),
        ("ListPastStreams", rpc.ListPastStreamsRequest),
    ],
)
async def test_the_lists_of_a_stranger_are_not_found(feeds: Any, name: str, kind: Any) -> None:
    """An empty list would say that the user exists and has no streams."""
    assert (await failure(call(getattr(feeds, name), kind(user_id=NOBODY), None))).reason == "USER_NOT_FOUND"
    refused = await failure(call(getattr(feeds, name), kind(user_id="x"), None))
    assert [each.field for each in refused.violations] == ["user_id"]


async def test_what_users_do_is_in_the_lists(stage: Stage, feeds: Any, env: ServiceEnvironment) -> None:
    """The other packages write what this one reads: a renamed field would empty the lists without a sound."""
    create = CreateStreamRequest(
        title="t", guests=[MEHMET], live_stream_type="LIVE_STREAM_TYPE_DUOSELF", interest="music"
    )
    stream = (await call(env.streams.CreateStream, create)).live_stream.id
    for who, role in (("ayse", Role.ROLE_HOST), ("john", Role.ROLE_AUDIENCE)):
        await call(env.streams.JoinStream, JoinStreamRequest(live_stream_id=stream, role=role), who)
    await stage.likes("john", "music")
    await stage.rank()
    assert ids((await call(feeds.ListFeaturedStreams, rpc.ListFeaturedStreamsRequest(), None)).streams) == [stream]
    creators = (await call(feeds.ListMostWatchedCreators, rpc.ListMostWatchedCreatorsRequest(), None)).creators
    assert [each.id for each in creators] == [AYSE]
    for_you = rpc.ListStreamsForYouRequest(selection=rpc.SELECTION_LIVE)
    assert ids((await call(feeds.ListStreamsForYou, for_you, "john")).page.list) == [stream]
    assert ids((await call(feeds.ListGuestStreams, rpc.ListGuestStreamsRequest(), "mehmet")).page.list) == [stream]
    assert (await call(feeds.GetActiveStream, rpc.GetActiveStreamRequest())).live_stream.id == stream

    env.clock.now = NOW + HOUR
    await call(env.streams.EndStream, EndStreamRequest(live_stream_id=stream))
    assert ids((await call(feeds.ListPastStreams, rpc.ListPastStreamsRequest())).streams) == [stream]
    watched = (await call(feeds.ListMyWatchedStreams, rpc.ListMyWatchedStreamsRequest(), "john")).page
    assert [(each.id, each.role) for each in watched.list] == [(stream, Role.ROLE_AUDIENCE)]
    await call(env.streams.DeleteStream, DeleteStreamRequest(live_stream_id=stream))
    watched = (await call(feeds.ListMyWatchedStreams, rpc.ListMyWatchedStreamsRequest(), "john")).page
    assert watched.pagination.total_items == 0
    assert not (await call(feeds.ListStreams, rpc.ListStreamsRequest())).streams

"""What notifications come to, on the real store: presence of viewers, the host's grace, who has entered."""

import asyncio
import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livestream.v1.live_stream_pb2 import ROLE_GUEST, ROLE_HOST, LiveStream
from livestream_server.notifications.model import parse_notification
from livestream_server.notifications.store import Inbox, Pending
from livestream_server.notifications.worker import Worker
from tests.participants.agora import Channel, body_of, resent
from tests.participants.conftest import Backstage
from tests.participants.stage import join, leave, live, now, present, somebody, statistics
from tests.support.environment import ServiceEnvironment

SECOND = timedelta(seconds=1)
MOMENT = timedelta(milliseconds=1)  # short enough to be over when the next call is made


async def receive(backstage: Backstage, bodies: Sequence[bytes]) -> None:
    for each in bodies:
        await backstage.inbox.put(parse_notification(each), each, now())


async def told(backstage: Backstage, *bodies: bytes) -> None:
    """The notifications have come and had their effect."""
    await receive(backstage, bodies)
    await backstage.worker.work()


async def uid_of(env: ServiceEnvironment, who: str, stream: LiveStream, role: Any = None) -> int:
    return (await join(env, who, stream.id, **({"role": role} if role else {}))).agora.uid


async def test_agora_tells_who_watches(env: ServiceEnvironment, backstage: Backstage) -> None:
    """A viewer whose app was killed is gone as soon as Agora says so, and back when it does."""
    _, stream = await live(env)
    ada = await somebody(env)
    channel, uid, begun = Channel(stream.channel_name), await uid_of(env, ada, stream), now()
    await told(backstage, channel.joined(uid, begun + MOMENT))
    assert await present(env, stream.id) == [ada]
    await told(backstage, channel.left(uid, begun + 2 * MOMENT, duration=1))
    assert await present(env, stream.id) == []
    await told(backstage, channel.joined(uid, begun + 3 * MOMENT))
    assert await present(env, stream.id) == [ada]


async def test_a_late_word_does_not_undo_a_newer_call(env: ServiceEnvironment, backstage: Backstage) -> None:
    """What we saw ourselves since then counts."""
    _, stream = await live(env)
    ada = await somebody(env)
    channel, begun = Channel(stream.channel_name), now()
    uid = await uid_of(env, ada, stream)
    await told(backstage, channel.left(uid, begun - 60 * SECOND))
    assert await present(env, stream.id) == [ada]
    await leave(env, ada, stream.id)
    await told(backstage, channel.joined(uid, begun - 30 * SECOND))
    assert await present(env, stream.id) == []


async def test_an_unknown_uid_or_channel_makes_nobody(env: ServiceEnvironment, backstage: Backstage) -> None:
    """A recorder, the console's test, another service on the same project: kept, and without effect."""
    _, stream = await live(env)
    await told(
        backstage,
        Channel(stream.channel_name).joined(12345, now()),
        Channel("test_webhook").joined(12121212, now()),
        body_of(101, {"channelName": stream.channel_name, "ts": 1}),
        body_of(4321, {"anything": True}),
    )
    assert await present(env, stream.id) == []
    assert await backstage.inbox.find_pending(10) == []
    assert await backstage.database["notifications"].count_documents({"event_type": {"$in": [101, 4321]}}) == 2


async def test_the_hosts_app_is_killed(env: ServiceEnvironment, backstage: Backstage) -> None:
    """The grace runs from when Agora lost them, and ends when Agora has them again."""
    creator, stream = await live(env)
    channel, begun = Channel(stream.channel_name), now()
    uid = await uid_of(env, creator, stream, ROLE_HOST)
    await told(backstage, channel.joined(uid, begun + SECOND, "host"), channel.left(uid, begun + 9 * SECOND, "host"))
    gone = await backstage.streams.get(stream.id)
    assert (gone.host_seen_at, gone.host_gone_since) == (begun + SECOND, begun + 9 * SECOND)
    assert [each.id for each in await backstage.streams.find_due(begun + 130 * SECOND, 10_000)].count(stream.id) == 1
    await told(backstage, channel.joined(uid, begun + 20 * SECOND, "host"))
    back = await backstage.streams.get(stream.id)
    assert (back.host_seen_at, back.host_gone_since) == (begun + 20 * SECOND, None)
    assert stream.id not in [each.id for each in await backstage.streams.find_due(begun + 140 * SECOND, 10_000)]


async def test_a_guest_who_is_in_the_channel_has_joined(env: ServiceEnvironment, backstage: Backstage) -> None:
    """`hasJoined` is a fact about the channel, whoever told it."""
    _, stream = await live(env)
    uid = await uid_of(env, "mehmet", stream, ROLE_GUEST)
    collection = backstage.database["streams"]
    # As if the process had died after it gave the tokens and before it noted the guest.
    await collection.update_one({"_id": ObjectId(stream.id)}, {"$set": {"broadcasters.1.joined_at": None}})
    await told(backstage, Channel(stream.channel_name).joined(uid, now(), "host"))
    assert (await backstage.streams.get(stream.id)).broadcasters[1].joined_at is not None
    assert (await backstage.streams.get(stream.id)).host_gone_since is None


async def test_watched_minutes_are_agoras(env: ServiceEnvironment, backstage: Backstage) -> None:
    """Our calls know when tokens were asked for, Agora knows who was there."""
    _, stream = await live(env)
    begun = now()
    channel = Channel(stream.channel_name)
    for minutes in (5, 10):
        uid = await uid_of(env, await somebody(env), stream)
        await told(
            backstage,
            channel.joined(uid, begun + SECOND),
            channel.left(uid, begun + SECOND + timedelta(minutes=minutes), duration=60 * minutes),
        )
    env.clock.now = begun + timedelta(minutes=30)
    try:
        answer = await statistics(env, stream.id)
    finally:
        env.clock.now = None
    assert (answer.total_viewers, answer.peak_concurrent_viewers) == (2, 2)
    assert (answer.total_watch_time_minutes, answer.average_watch_time_minutes) == (15, 7.5)


@st.composite
def presences(draw: st.DrawFn) -> tuple[list[tuple[int, bool]], list[list[int]]]:
    """Who comes and goes, second by second; and the batches in which it is told: shuffled, each up to three times.

    The users: 0 is the host, 1 the guest, 2 and 3 are viewers, 4 is nobody.
    """
    happened = draw(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=10))
    often = [index for index in range(len(happened)) for _ in range(draw(st.integers(1, 3)))]
    shuffled = draw(st.permutations(often))
    cuts = sorted(draw(st.sets(st.integers(0, len(shuffled)), max_size=3)))
    return happened, [list(shuffled[a:b]) for a, b in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]


@pytest.mark.one_engine("the server has no part in it")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(presences())
async def test_any_order_any_number_the_same_end(
    env: ServiceEnvironment, backstage: Backstage, sequence: tuple[list[tuple[int, bool]], list[list[int]]]
) -> None:
    """The same notifications end in the same documents, whatever way they took here."""
    happened, batches = sequence
    in_order, as_told = [await told_of(env, backstage, happened, each) for each in ([[*range(len(happened))]], batches)]
    assert in_order == as_told


async def told_of(
    env: ServiceEnvironment,
    backstage: Backstage,
    happened: Sequence[tuple[int, bool]],
    batches: Sequence[Sequence[int]],
) -> Any:
    """All that is stored in the end, in seconds since the beginning."""
    begun = env.clock.now = now()
    try:
        creator, stream = await live(env)
        uids = [
            await uid_of(env, creator, stream, ROLE_HOST),
            await uid_of(env, "mehmet", stream, ROLE_GUEST),
            *[await uid_of(env, await somebody(env), stream) for _ in range(2)],
            4_000_000_000,
        ]
    finally:
        env.clock.now = None
    channel = Channel(stream.channel_name)
    bodies = [
        (channel.joined if here else channel.left)(uids[who], begun + index * SECOND, "host" if who < 2 else "audience")
        for index, (who, here) in enumerate(happened, 1)
    ]
    sent: set[int] = set()
    for batch in batches:
        await told(backstage, *(resent([bodies[each]])[0] if each in sent else bodies[each] for each in batch))
        sent.update(batch)

    def since(at: datetime | None) -> float | None:
        return (at - begun) / SECOND if at else None

    async def kept(key: dict[str, Any]) -> Any:
        found = await backstage.database["participants"].find_one(key) or {"events": []}
        return [(each["seq"], each["here"]) for each in found["events"]], since(found.get("until"))

    final = await backstage.streams.get(stream.id)
    stored = await backstage.database["streams"].find_one({"_id": ObjectId(stream.id)}) or {}
    return {
        "host": (since(final.host_seen_at), since(final.host_gone_since), since(stored["due_at"])),
        "entered": [since(each.joined_at) for each in final.broadcasters],
        "participants": [await kept({"stream": ObjectId(stream.id), "uids": uid}) for uid in uids],
    }


async def test_two_processes_at_once_come_to_the_same(env: ServiceEnvironment, backstage: Backstage) -> None:
    """The lease only saves work: if two hold it for a moment, nothing is lost and nothing counted twice."""
    creator, stream = await live(env)
    ada = await somebody(env)
    uid = await uid_of(env, ada, stream)
    channel, begun = Channel(stream.channel_name), now()
    bodies = [
        body
        for index in range(15)
        for body in (
            channel.joined(uid, begun + 2 * index * SECOND),
            channel.left(uid, begun + (2 * index + 1) * SECOND),
        )
    ]
    await receive(backstage, bodies)
    words = await backstage.inbox.find_pending(100)
    assert len(words) == 30
    participants = backstage.participants
    events = [each.presence.event for each in words]
    thirds = [events[start::3] for start in range(3)]
    heard = await asyncio.gather(*(participants.record_events(stream.id, ada, each) for each in thirds))
    assert max(len(each) for each in heard) == 30
    participant = await backstage.database["participants"].find_one({"stream": ObjectId(stream.id), "uids": uid})
    assert participant
    assert [each["seq"] for each in participant["events"]] == sorted(each.seq for each in events)
    assert participant["until"] == begun + 29 * SECOND
    heard = await asyncio.gather(*(participants.record_events(stream.id, creator, each) for each in thirds))
    assert max(len(each) for each in heard) == 30
    host = await backstage.database["participants"].find_one({"_id.user": ObjectId(creator)})
    assert host
    assert host["until"] is None
    await backstage.worker.work()


class _Dies(Inbox):
    """An inbox whose process ends before it can note that the work is done."""

    async def mark_done(self, notice_ids: Any, now: datetime) -> None:
        raise ConnectionError


async def test_work_that_was_not_noted_is_done_again(env: ServiceEnvironment, backstage: Backstage) -> None:
    """A worker killed in between leaves the notification for the next one, which comes to the same."""
    _, stream = await live(env)
    ada = await somebody(env)
    channel, uid, begun = Channel(stream.channel_name), await uid_of(env, ada, stream), now()
    await receive(backstage, [channel.joined(uid, begun + MOMENT), channel.left(uid, begun + 2 * MOMENT)])
    worker = Worker(
        _Dies(backstage.database),
        backstage.participants,
        backstage.streams,
        backstage.worker._lease,
        now,
        every=SECOND,
    )
    with pytest.raises(ConnectionError):
        await worker.work()
    assert len(await backstage.inbox.find_pending(10)) == 2
    assert await backstage.worker.work() == 2
    assert await backstage.worker.work() == 0
    assert await present(env, stream.id) == []


async def test_more_than_one_batch_is_worked_through(
    env: ServiceEnvironment, backstage: Backstage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an hour without a worker there is more than fits into one read."""
    monkeypatch.setattr("livestream_server.notifications.worker.BATCH", 4)
    _, stream = await live(env)
    uids = [await uid_of(env, await somebody(env), stream) for _ in range(3)]
    channel, begun = Channel(stream.channel_name), now()
    await receive(
        backstage, [channel.left(uid, begun + each * MOMENT) for uid, each in itertools.product(uids, range(1, 4))]
    )
    assert await backstage.worker.work() == 9
    assert await present(env, stream.id) == []


async def test_a_repeat_of_a_notification_is_not_kept_again(backstage: Backstage) -> None:
    """Agora sends again what it thinks was lost; the inbox is a set."""
    body = Channel("no-such-channel").joined(7, now())
    first, again = parse_notification(body), parse_notification(resent([body])[0])
    assert await backstage.inbox.put(first, body, now())
    assert not await backstage.inbox.put(again, body, now())
    await backstage.worker.work()
    assert not await backstage.inbox.put(replace(again, presence=None), body, now())
    assert Pending(first.id, first.presence) not in await backstage.inbox.find_pending(100)  # type: ignore[arg-type]
    kept = await backstage.database["notifications"].find_one({"_id": first.id})
    assert kept
    assert json.loads(kept["body"]) == json.loads(body)


async def test_a_notification_is_forgotten_only_when_it_is_handled(backstage: Backstage) -> None:
    """One that waits for its effect for longer than a week must not get lost; handled ones must not pile up."""
    pending, silent = Channel("no-such-channel").joined(8, now()), body_of(101, {"ts": 1})
    await receive(backstage, [pending, silent])
    keys = [{"_id": parse_notification(each).id} for each in (pending, silent)]
    kept = [await backstage.database["notifications"].find_one(each) or {} for each in keys]
    assert ["forget_at" in each for each in kept] == [False, True]
    await backstage.worker.work()
    handled = await backstage.database["notifications"].find_one(keys[0]) or {}
    assert handled["forget_at"] - now() > timedelta(days=6)
    assert "pending" not in handled


async def test_a_broadcaster_who_watches_on_a_second_device_tells_nothing(
    env: ServiceEnvironment, backstage: Backstage
) -> None:
    """To close the second device is not to leave the stage, and whoever is on stage is no viewer."""
    creator, stream = await live(env)
    channel, begun = Channel(stream.channel_name), now()
    await told(backstage, channel.joined(await uid_of(env, creator, stream, ROLE_HOST), begun + SECOND, "host"))
    watching = await uid_of(env, creator, stream)
    await told(backstage, channel.joined(watching, begun + SECOND), channel.left(watching, begun + 2 * SECOND))
    assert (await backstage.streams.get(stream.id)).host_gone_since is None
    assert await present(env, stream.id) == []


async def test_what_is_pending_is_found_by_an_index(backstage: Backstage) -> None:
    """A scan of a week's notifications every second would be most of the database's work."""
    await receive(backstage, [Channel("no-such-channel").joined(9, now())])
    question = {"find": "notifications", "filter": {"pending": {"$gt": ObjectId("0" * 24)}}}
    explained = await backstage.database.command({"explain": question, "verbosity": "queryPlanner"})
    assert "IXSCAN" in str(explained["queryPlanner"]["winningPlan"])
    await backstage.worker.work()

"""ReminderService: through a real channel, on the real store."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from bson import ObjectId
from pydantic import SecretStr
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from livestream.v1 import live_stream_service_pb2 as streams_rpc
from livestream.v1 import reminder_service_pb2 as rpc
from livestream.v1.live_stream_pb2 import ROLE_HOST
from livestream.v1.reminder_service_pb2 import (
    REMINDER_MODE_BEFORE_START,
    REMINDER_MODE_ON_START,
    REMINDER_STATUS_ARMED,
    REMINDER_STATUS_ARMED_ON_START,
)
from livestream.v1.reminder_service_pb2_grpc import ReminderServiceStub
from livestream_server.clock import utc_now
from livestream_server.mongo import client as mongo
from livestream_server.reminders.model import Reminder
from livestream_server.reminders.store import Batch, Reminders
from livestream_server.settings import MongoSettings
from livestream_server.streams.expiry import Limits
from livestream_server.streams.store import Streams
from livestream_server.transport.presenting import to_timestamp
from tests.support.environment import IDS, ServiceEnvironment, metadata, open_environment, put_user, settings_for
from tests.support.failures import failure
from tests.support.races import OvertakenCollection

NOTIFIER = metadata("ayse", "reminders:claim")
HOUR = timedelta(hours=1)
LIMITS = Limits(scheduled=HOUR, preparing=24 * HOUR, active=12 * HOUR, host_gone=HOUR, host_silent=2 * HOUR)


async def new_user(env: ServiceEnvironment) -> str:
    user_id = secrets.token_hex(12)
    await put_user(env.users, user_id, f"user-{user_id}")
    return user_id


@pytest.fixture
async def creator(env: ServiceEnvironment) -> str:
    return await new_user(env)


@pytest.fixture
async def crowd(env: ServiceEnvironment) -> list[str]:
    return list(await asyncio.gather(*(new_user(env) for _ in range(40))))


@pytest.fixture
async def stub(env: ServiceEnvironment) -> AsyncIterator[ReminderServiceStub]:
    """The clock of the test is its own."""
    yield ReminderServiceStub(env.channel)
    env.clock.now = None


@pytest.fixture
async def database(mongo_uri: str, database_name: str) -> AsyncIterator[mongo.Database]:
    settings = MongoSettings(uri=SecretStr(mongo_uri), database=database_name)
    async with mongo.connect(settings) as client:
        yield mongo.database(client, settings)


async def announced(env: ServiceEnvironment, creator: str, start: datetime | None = None) -> str:
    request = streams_rpc.CreateStreamRequest(title="t", planned_start_date=to_timestamp(start))
    return (await env.streams.CreateStream(request, metadata=metadata(creator))).live_stream.id


async def start(env: ServiceEnvironment, creator: str, stream_id: str) -> None:
    request = streams_rpc.JoinStreamRequest(live_stream_id=stream_id, role=ROLE_HOST)
    await env.streams.JoinStream(request, metadata=metadata(creator))


async def cancel(env: ServiceEnvironment, creator: str, stream_id: str) -> None:
    request = streams_rpc.CancelStreamRequest(live_stream_id=stream_id)
    await env.streams.CancelStream(request, metadata=metadata(creator))


async def delete(env: ServiceEnvironment, creator: str, stream_id: str) -> None:
    request = streams_rpc.DeleteStreamRequest(live_stream_id=stream_id)
    await env.streams.DeleteStream(request, metadata=metadata(creator))


async def end(env: ServiceEnvironment, creator: str, stream_id: str) -> None:
    request = streams_rpc.EndStreamRequest(live_stream_id=stream_id)
    await env.streams.EndStream(request, metadata=metadata(creator))


async def remind(stub: ReminderServiceStub, who: str, stream_id: str, minute: int | None = None) -> rpc.Reminder:
    request = rpc.SetReminderRequest(live_stream_id=stream_id, minute=minute)
    return (await stub.SetReminder(request, metadata=metadata(who))).reminder


async def claim(stub: ReminderServiceStub, key: str = "", limit: int | None = None) -> rpc.ClaimDueRemindersResponse:
    request = rpc.ClaimDueRemindersRequest(request_id=key, limit=limit)
    return await stub.ClaimDueReminders(request, metadata=NOTIFIER)


async def claim_all(stub: ReminderServiceStub, limit: int | None = None) -> list[rpc.DueReminder]:
    """Call until nothing more is due, as a notification service does."""
    found: list[rpc.DueReminder] = []
    while True:
        answer = await claim(stub, secrets.token_hex(8), limit)
        found += answer.reminders
        if not answer.more:
            return found


def of(stream_id: str, reminders: Iterable[rpc.DueReminder]) -> list[str]:
    return sorted(each.user_id for each in reminders if each.live_stream_id == stream_id)


async def test_a_reminder_says_what_it_waits_for(
    env: ServiceEnvironment, stub: ReminderServiceStub, creator: str
) -> None:
    """Without minutes, or with 0, it is the real start; the last request of a user is the one that counts."""
    planned = utc_now() + 5 * HOUR
    stream_id = await announced(env, creator, planned)
    before = await remind(stub, "john", stream_id, 15)
    assert before == rpc.Reminder(
        stream_id=stream_id,
        minute=15,
        mode=REMINDER_MODE_BEFORE_START,
        scheduled_for=to_timestamp(planned - timedelta(minutes=15)),
        status=REMINDER_STATUS_ARMED,
    )
    for minute in (None, 0):
        assert await remind(stub, "john", stream_id, minute) == rpc.Reminder(
            stream_id=stream_id, mode=REMINDER_MODE_ON_START, status=REMINDER_STATUS_ARMED_ON_START
        )
    env.clock.now = planned - timedelta(minutes=10)
    assert of(stream_id, await claim_all(stub)) == []


async def test_a_reminder_is_due_at_its_minute_and_once(
    env: ServiceEnvironment, stub: ReminderServiceStub, creator: str
) -> None:
    """Too early it is a nuisance, twice as well, and never it is useless."""
    planned = utc_now() + 5 * HOUR
    stream_id = await announced(env, creator, planned)
    await remind(stub, "john", stream_id, 15)
    env.clock.now = planned - timedelta(minutes=15, milliseconds=2)
    assert of(stream_id, await claim_all(stub)) == []
    env.clock.now = planned - timedelta(minutes=15)
    (due,) = [each for each in await claim_all(stub) if each.live_stream_id == stream_id]
    assert (due.user_id, due.minute, due.mode, due.started) == (IDS["john"], 15, REMINDER_MODE_BEFORE_START, False)
    assert due.scheduled_for == to_timestamp(planned - timedelta(minutes=15))
    assert of(stream_id, await claim_all(stub)) == []
    await start(env, creator, stream_id)
    assert of(stream_id, await claim_all(stub)) == []


async def test_after_one_call_a_user_may_ask_for_another(
    env: ServiceEnvironment, stub: ReminderServiceStub, creator: str
) -> None:
    """A week before to keep the evening free, and then the start itself."""
    planned = utc_now() + timedelta(days=8)
    stream_id = await announced(env, creator, planned)
    await remind(stub, "john", stream_id, 10_080)
    env.clock.now = planned - timedelta(days=6)
    assert of(stream_id, await claim_all(stub)) == [IDS["john"]]
    await remind(stub, "john", stream_id)
    await start(env, creator, stream_id)
    assert of(stream_id, await claim_all(stub)) == [IDS["john"]]


async def test_a_start_makes_every_reminder_due(
    env: ServiceEnvironment, stub: ReminderServiceStub, creator: str
) -> None:
    """A stream that starts early must not be announced as one to come; nothing but the start itself was written."""
    stream_id = await announced(env, creator, utc_now() + 5 * HOUR)
    await remind(stub, "john", stream_id)
    await remind(stub, "jane", stream_id, 15)
    assert of(stream_id, await claim_all(stub)) == []
    await start(env, creator, stream_id)
    due = [each for each in await claim_all(stub) if each.live_stream_id == stream_id]
    assert of(stream_id, due) == sorted([IDS["john"], IDS["jane"]])
    assert all(each.started for each in due)
    assert of(stream_id, await claim_all(stub)) == []


async def test_a_stream_that_is_off_calls_nobody(
    env: ServiceEnvironment, stub: ReminderServiceStub, creator: str, database: mongo.Database
) -> None:
    """Cancelled, deleted, expired, or over before anyone could be told: the way there would be for nothing."""
    planned = utc_now() + 5 * HOUR
    cancelled, deleted, expired, over = [await announced(env, creator, planned) for _ in range(4)]
    for each in (cancelled, deleted, expired, over):
        await remind(stub, "john", each, 15)
        await remind(stub, "jane", each)
    await cancel(env, creator, cancelled)
    await delete(env, creator, deleted)
    await start(env, creator, over)
    await end(env, creator, over)
    streams = Streams(database, LIMITS)
    late = planned + 2 * HOUR
    assert await streams.expire_if_still_due(await streams.get(expired), late)
    env.clock.now = late
    gone = {cancelled, deleted, expired, over}
    assert [each for each in await claim_all(stub) if each.live_stream_id in gone] == []


@pytest.mark.parametrize("change", [start, cancel], ids=["started", "cancelled"])
async def test_only_a_start_to_come_can_be_waited_for(
    env: ServiceEnvironment, stub: ReminderServiceStub, creator: str, change: Any
) -> None:
    """The refusal names the state, and those in which the call works."""
    stream_id = await announced(env, creator)
    await change(env, creator, stream_id)
    refused = await failure(remind(stub, "john", stream_id))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STREAM_NOT_REMINDABLE")
    assert refused.metadata["status"] in ("active", "cancelled_by_host")
    assert refused.metadata["allowed"] == "preparing, scheduled"


async def test_minutes_need_a_planned_start_that_is_far_enough(
    env: ServiceEnvironment, stub: ReminderServiceStub, creator: str
) -> None:
    """A reminder that can never come must not be promised."""
    unplanned = await announced(env, creator)
    soon = await announced(env, creator, utc_now() + HOUR)
    refused = await failure(remind(stub, "john", unplanned, 15))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_PLANNED_START")
    refused = await failure(remind(stub, "john", soon, 60))
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "REMINDER_TOO_LATE")
    await remind(stub, "john", unplanned)
    await remind(stub, "john", soon, 59)


@pytest.mark.parametrize("minute", [-1, 10_081])
async def test_minutes_out_of_range_are_refused(
    env: ServiceEnvironment, stub: ReminderServiceStub, creator: str, minute: int
) -> None:
    """The field is named, so that the client can mark it."""
    refused = await failure(remind(stub, "john", await announced(env, creator), minute))
    assert refused.code == grpc.StatusCode.INVALID_ARGUMENT
    assert [each.field for each in refused.violations] == ["minute"]


async def test_who_and_what_must_exist(env: ServiceEnvironment, stub: ReminderServiceStub, creator: str) -> None:
    """Nobody could be told, or of nothing."""
    assert (await failure(remind(stub, "john", secrets.token_hex(12)))).reason == "STREAM_NOT_FOUND"
    stream_id = await announced(env, creator)
    assert (await failure(remind(stub, secrets.token_hex(12), stream_id))).reason == "REGISTRATION_INCOMPLETE"


@pytest.mark.parametrize("scope", ["", "reminders", "streams:moderate"])
async def test_only_the_notifier_claims_reminders(stub: ReminderServiceStub, scope: str) -> None:
    """Whoever claims them sees who wants to watch what, and nobody would be told."""
    refused = await failure(stub.ClaimDueReminders(rpc.ClaimDueRemindersRequest(), metadata=metadata("john", scope)))
    assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "MISSING_SCOPE")


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"limit": 0}, "limit"), ({"limit": 501}, "limit"), ({"request_id": "two words"}, "request_id")],
    ids=str,
)
async def test_a_batch_that_cannot_be_is_refused(stub: ReminderServiceStub, fields: dict[str, Any], field: str) -> None:
    """An unbounded batch would not fit into a message."""
    refused = await failure(stub.ClaimDueReminders(rpc.ClaimDueRemindersRequest(**fields), metadata=NOTIFIER))
    assert [each.field for each in refused.violations] == [field]


async def test_a_long_queue_comes_in_batches(
    env: ServiceEnvironment, stub: ReminderServiceStub, creator: str, crowd: list[str]
) -> None:
    """`more` tells the notifier not to wait for its next turn."""
    await claim_all(stub)
    stream_id = await announced(env, creator)
    await asyncio.gather(*(remind(stub, each, stream_id) for each in crowd))
    await start(env, creator, stream_id)
    first = await claim(stub, limit=15)
    assert (len(first.reminders), first.more) == (15, True)
    rest = await claim_all(stub, limit=15)
    assert of(stream_id, [*first.reminders, *rest]) == sorted(crowd)


async def test_racing_callers_never_get_the_same_reminder(
    env: ServiceEnvironment, stub: ReminderServiceStub, creator: str, crowd: list[str]
) -> None:
    """Two notifiers that tell a user twice are worse than one that is slow; together they miss nobody."""
    planned = utc_now() + 5 * HOUR
    first, second = await announced(env, creator, planned), await announced(env, creator, planned)
    await asyncio.gather(*(remind(stub, each, first) for each in crowd))
    await asyncio.gather(*(remind(stub, each, second, 15) for each in crowd))
    await start(env, creator, first)
    env.clock.now = planned
    batches = await asyncio.gather(*(claim(stub, secrets.token_hex(8), limit=25) for _ in range(8)))
    found = [due for each in batches for due in each.reminders] + await claim_all(stub)
    assert of(first, found) == sorted(crowd)
    assert of(second, found) == sorted(crowd)


async def test_a_repeat_with_the_same_key_answers_with_the_same_batch(
    env: ServiceEnvironment, stub: ReminderServiceStub, creator: str, crowd: list[str]
) -> None:
    """This is what makes exactly once possible: an answer that was lost is not lost."""
    stream_id = await announced(env, creator)
    await asyncio.gather(*(remind(stub, each, stream_id) for each in crowd))
    await start(env, creator, stream_id)
    key = secrets.token_hex(8)
    answers = await asyncio.gather(*(claim(stub, key, limit=30) for _ in range(6)))
    answers.append(await claim(stub, key))
    assert {each.SerializeToString(deterministic=True) for each in answers} == {
        answers[0].SerializeToString(deterministic=True)
    }
    found = [*answers[0].reminders, *await claim_all(stub)]
    assert of(stream_id, found) == sorted(crowd)
    request = rpc.ClaimDueRemindersRequest(request_id=key)
    stranger = await stub.ClaimDueReminders(request, metadata=metadata("jane", "reminders:claim"))
    assert not stranger.reminders, "a key belongs to its caller"


async def test_an_empty_answer_does_not_use_up_its_key(
    env: ServiceEnvironment, stub: ReminderServiceStub, creator: str
) -> None:
    """A caller that asks with one key until there is something gets it."""
    await claim_all(stub)
    key = secrets.token_hex(8)
    assert await claim(stub, key) == rpc.ClaimDueRemindersResponse()
    stream_id = await announced(env, creator)
    await remind(stub, "john", stream_id)
    await start(env, creator, stream_id)
    assert of(stream_id, (await claim(stub, key)).reminders) == [IDS["john"]]


async def test_a_batch_that_was_cut_short_loses_nothing(
    env: ServiceEnvironment, stub: ReminderServiceStub, creator: str, crowd: list[str], database: mongo.Database
) -> None:
    """A process may die after it chose a batch, or in the middle of claiming it; others then claim what is left."""
    planned = utc_now() + 5 * HOUR
    stream_id = await announced(env, creator, planned)
    await asyncio.gather(*(remind(stub, each, stream_id, 15) for each in crowd))
    env.clock.now = planned
    store, key = Reminders(database), secrets.token_hex(8)
    picks = [each for each in await store.find_due(planned, 500) if each.reminder.stream_id == stream_id]
    batch = await store.open(Batch(f"{IDS['ayse']}:{key}", picks, more=False), planned)
    await store.claim(Batch(batch.id, picks[:10], more=False), planned)

    other = await claim(stub, secrets.token_hex(8), limit=15)
    repeated = await claim(stub, key)
    found = [*other.reminders, *repeated.reminders]
    assert of(stream_id, found) == sorted(crowd)
    assert len(repeated.reminders) >= 10
    assert await claim(stub, key) == repeated
    await store.claim(batch, planned)
    assert await claim(stub, key) == repeated


async def test_a_reminder_that_is_changed_while_it_is_claimed_is_due_later(
    env: ServiceEnvironment, stub: ReminderServiceStub, creator: str, database: mongo.Database
) -> None:
    """The call that the user has just put off must not come, and the new one must."""
    planned = utc_now() + 5 * HOUR
    stream_id = await announced(env, creator, planned)
    await remind(stub, "john", stream_id, 60)
    store, now = Reminders(database), planned - timedelta(minutes=50)
    picks = [each for each in await store.find_due(now, 500) if each.reminder.stream_id == stream_id]
    assert len(picks) == 1
    await remind(stub, "john", stream_id, 15)
    assert await store.claim(Batch("b", picks, more=False), now) == []
    env.clock.now = now
    assert of(stream_id, await claim_all(stub)) == []
    env.clock.now = planned
    assert of(stream_id, await claim_all(stub)) == [IDS["john"]]


async def test_whoever_was_promised_a_reminder_gets_it_however_close_the_start(
    env: ServiceEnvironment, stub: ReminderServiceStub, creator: str, crowd: list[str]
) -> None:
    """Setting, starting and claiming race; a reminder that was promised comes exactly once, also one that was changed late."""
    for _ in range(5):
        stream_id = await announced(env, creator, utc_now() + 5 * HOUR)
        early, late = crowd[:20], crowd[20:]
        await asyncio.gather(*(remind(stub, each, stream_id, 15) for each in early[:10]))
        outcomes, _, first = await asyncio.gather(
            asyncio.gather(*(remind(stub, each, stream_id) for each in [*early, *late]), return_exceptions=True),
            start(env, creator, stream_id),
            claim_all(stub),
        )
        promised = set(early[:10]) | {
            who for who, each in zip([*early, *late], outcomes, strict=True) if isinstance(each, rpc.Reminder)
        }
        told = of(stream_id, [*first, *await claim_all(stub)])
        assert told == sorted(promised)
        await end(env, creator, stream_id)


async def test_lists_learn_in_one_read_which_reminders_are_to_come(
    env: ServiceEnvironment, stub: ReminderServiceStub, creator: str, database: mongo.Database
) -> None:
    """`isReminderActive` is true from the request to the reminder, for this user alone."""
    planned = utc_now() + 5 * HOUR
    streams = [await announced(env, creator, planned) for _ in range(3)]
    await remind(stub, "john", streams[0])
    await remind(stub, "john", streams[1], 15)
    await remind(stub, "jane", streams[2])
    store = Reminders(database)
    assert await store.find_active_for(IDS["john"], streams) == set(streams[:2])
    env.clock.now = planned
    assert of(streams[1], await claim_all(stub)) == [IDS["john"]]
    assert await store.find_active_for(IDS["john"], streams) == {streams[0]}
    assert await store.find_active_for(IDS["john"], []) == set()


async def test_the_same_request_again_does_not_bring_a_second_reminder(
    env: ServiceEnvironment, stub: ReminderServiceStub, creator: str, database: mongo.Database
) -> None:
    """A repeat that arrives after the call went out changes nothing."""
    stream_id = await announced(env, creator, utc_now() + 5 * HOUR)
    armed = await remind(stub, "john", stream_id, 15)
    due_at = armed.scheduled_for.ToDatetime(tzinfo=UTC)
    env.clock.now = due_at
    assert of(stream_id, await claim_all(stub)) == [IDS["john"]]
    await Reminders(database).arm(Reminder(IDS["john"], stream_id, 15, due_at), due_at)
    assert of(stream_id, await claim_all(stub)) == []


@pytest.mark.parametrize("minute", [None, 30, 15])
async def test_of_two_racing_first_requests_the_later_one_stands(
    database: mongo.Database, monkeypatch: pytest.MonkeyPatch, minute: int | None
) -> None:
    """Between an upsert's search and its insert another process may insert the reminder, for the same minute or not."""
    user, stream_id, now = secrets.token_hex(12), secrets.token_hex(12), utc_now()
    first, second = Reminder(user, stream_id, minute, now), Reminder(user, stream_id, 15, now)
    store = Reminders(database)
    collection = OvertakenCollection(store._reminders, lambda: Reminders(database).arm(first, now))
    monkeypatch.setattr(store, "_reminders", collection)
    await store.arm(second, now)
    assert [each.reminder for each in await store.find_due(now, 500) if each.reminder.user == user] == [second]


async def test_what_waits_for_nothing_any_more_is_forgotten_after_30_days(
    env: ServiceEnvironment, stub: ReminderServiceStub, creator: str, database: mongo.Database
) -> None:
    """Who wanted to watch what is personal; a reminder that waits again is kept."""
    planned = utc_now() + 5 * HOUR
    claimed, dropped, armed = [await announced(env, creator, planned) for _ in range(3)]
    for each in (claimed, dropped, armed):
        await remind(stub, "john", each, 15)
    await remind(stub, "john", armed)
    await cancel(env, creator, dropped)
    env.clock.now = planned
    await claim_all(stub)
    forget_at = {
        str(each["_id"]["stream"]): each.get("forget_at")
        async for each in database["reminders"].find(
            {"stream": {"$in": list(map(ObjectId, (claimed, dropped, armed)))}}
        )
    }
    later = planned + timedelta(days=30)
    assert forget_at == {claimed: later, dropped: later, armed: None}
    await Reminders(database).arm(Reminder(IDS["john"], claimed, None, None), planned)
    again = await database["reminders"].find_one({"_id": {"user": ObjectId(IDS["john"]), "stream": ObjectId(claimed)}})
    assert again
    assert "forget_at" not in again
    assert (await database["reminders"].index_information())["forget"]["expireAfterSeconds"] == 0


class Counting(CommandListener):
    """Counts commands; the tasks behind the service do not ask for reminders."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    def started(self, event: CommandStartedEvent) -> None:
        collection = event.command.get(event.command_name)
        if str(collection).startswith("reminder"):
            self.commands.append(f"{event.command_name} {collection}")

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


async def test_a_batch_costs_the_same_commands_whatever_its_length(
    mongo_uri: str, database_name: str, media: Path, engine: str, crowd: list[str]
) -> None:
    """A read or a write per reminder would make the start of a popular stream slow."""
    counting = Counting()
    async with open_environment(settings_for(mongo_uri, database_name, media, engine=engine), [counting]) as env:
        stub = ReminderServiceStub(env.channel)
        await claim_all(stub)
        for users in (crowd[:1], crowd):
            creator = await new_user(env)
            stream_id = await announced(env, creator)
            for each in users:
                await remind(stub, each, stream_id)
            await start(env, creator, stream_id)
            counting.commands.clear()
            assert of(stream_id, (await claim(stub, secrets.token_hex(8))).reminders) == sorted(users)
            assert sorted(counting.commands) == [
                "find reminder_batches",
                "find reminders",
                "find reminders",
                "find reminders",
                "insert reminder_batches",
                "update reminders",
            ]


async def test_a_late_reminder_keeps_its_stream_from_being_forgotten(
    env: ServiceEnvironment, stub: ReminderServiceStub, creator: str, database: mongo.Database
) -> None:
    """A caller that saw no reminder must not remove the mark of one that was written after it looked."""
    stream_id, streams = await announced(env, creator), Streams(database, LIMITS)
    await remind(stub, "john", stream_id)
    (before,) = await database["streams"].distinct("reminders", {"_id": ObjectId(stream_id)})
    await remind(stub, "jane", stream_id)
    await start(env, creator, stream_id)
    seen = (await streams.find_with_reminders(500))[stream_id]
    assert seen == str(before), "a crowd that asks before the start writes to the stream once"
    await streams.mark_has_reminders(stream_id)
    await streams.unmark_reminders(stream_id, seen)
    marks = await streams.find_with_reminders(500)
    assert marks.get(stream_id) not in (None, seen)
    await streams.unmark_reminders(stream_id, marks[stream_id])
    assert stream_id not in await streams.find_with_reminders(500)

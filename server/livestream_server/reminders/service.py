"""ReminderService: users ask to be reminded, and a notification service claims what is due."""

import secrets
from collections.abc import Collection
from datetime import datetime

from livestream.v1 import reminder_service_pb2 as rpc
from livestream_server.errors import InvalidArgument, Violation
from livestream_server.protocols import Clock, Streams, Users
from livestream_server.reminders.model import MAX_MINUTES, Mode, Reminder, new_reminder
from livestream_server.reminders.store import Batch, Pick, Reminders
from livestream_server.transport.call import Call
from livestream_server.transport.parsing import parse_idempotency_key, parse_object_id
from livestream_server.transport.presenting import to_timestamp

USUAL_LIMIT, MAX_LIMIT = 100, 500
STREAMS_AT_ONCE = 100

_MODES = {each: rpc.ReminderMode.Value(f"REMINDER_MODE_{each.name}") for each in Mode}
_ARMED = {Mode.ON_START: rpc.REMINDER_STATUS_ARMED_ON_START, Mode.BEFORE_START: rpc.REMINDER_STATUS_ARMED}


class ReminderServicer:
    """Answers ReminderService."""

    def __init__(self, reminders: Reminders, streams: Streams, users: Users, clock: Clock) -> None:
        self._reminders = reminders
        self._streams = streams
        self._users = users
        self._clock = clock

    async def SetReminder(self, request: rpc.SetReminderRequest, call: Call) -> rpc.SetReminderResponse:
        caller, now = call.user_id, self._clock()
        minute = _parse_minute(request)
        stream_id = parse_object_id("live_stream_id", request.live_stream_id)
        await self._users.require_registered(caller)
        stream = await self._streams.get(stream_id)
        stream.require_remindable()
        reminder = new_reminder(caller, stream.id, minute, stream.planned_start, now)
        await self._reminders.arm(reminder, now)
        await self._streams.mark_has_reminders(stream.id)
        return rpc.SetReminderResponse(reminder=_present_reminder(reminder))

    async def ClaimDueReminders(
        self, request: rpc.ClaimDueRemindersRequest, call: Call
    ) -> rpc.ClaimDueRemindersResponse:
        caller, now = call.user_id, self._clock()
        limit = request.limit if request.HasField("limit") else USUAL_LIMIT
        if not 1 <= limit <= MAX_LIMIT:
            raise InvalidArgument(Violation("limit", f"must be 1 to {MAX_LIMIT}"))
        batch_id = f"{caller}:{parse_idempotency_key(request.request_id) or secrets.token_hex(16)}"
        batch = await self._reminders.find_batch(batch_id) or await self._select(batch_id, limit, now)
        claimed = await self._reminders.claim(batch, now) if batch.picks else []
        return rpc.ClaimDueRemindersResponse(reminders=[_present_due(each) for each in claimed], more=batch.more)

    async def _select(self, batch_id: str, limit: int, now: datetime) -> Batch:
        """A batch to claim. One without picks is not stored: the same key may find some later."""
        started = await self._pick_started(limit)
        due = await self._reminders.find_due(now, limit - len(started)) if len(started) < limit else []
        picks = [*started, *await self._keep_wanted(due, {each.revision for each in started}, now)]
        batch = Batch(batch_id, picks, more=len(started) + len(due) == limit)
        return await self._reminders.open(batch, now) if picks else batch

    async def _pick_started(self, limit: int) -> list[Pick]:
        """Reminders of active streams. A stream that has none left is not asked again."""
        marks = await self._streams.find_with_reminders(STREAMS_AT_ONCE)
        if not marks:
            return []
        picks = await self._reminders.find_waiting_for(marks.keys(), limit)
        if len(picks) < limit:
            for stream_id in marks.keys() - {each.reminder.stream_id for each in picks}:
                await self._streams.unmark_reminders(stream_id, marks[stream_id])
        return picks

    async def _keep_wanted(self, due: Collection[Pick], picked: Collection[object], now: datetime) -> list[Pick]:
        """Those whose stream is to come or active, without those that are picked already; the rest is dropped."""
        alive = await self._streams.find_started({each.reminder.stream_id for each in due}) if due else {}
        await self._reminders.drop([each for each in due if each.reminder.stream_id not in alive], now)
        return [
            Pick(each.reminder, each.revision, started=alive[each.reminder.stream_id])
            for each in due
            if each.reminder.stream_id in alive and each.revision not in picked
        ]


def _parse_minute(request: rpc.SetReminderRequest) -> int | None:
    """The minutes before the planned start; None for the real start."""
    if not 0 <= request.minute <= MAX_MINUTES:
        raise InvalidArgument(Violation("minute", f"must be 0 to {MAX_MINUTES}"))
    return request.minute or None


def _present_reminder(reminder: Reminder) -> rpc.Reminder:
    return rpc.Reminder(
        stream_id=reminder.stream_id,
        minute=reminder.minute,
        mode=_MODES[reminder.mode],
        scheduled_for=to_timestamp(reminder.due_at),
        status=_ARMED[reminder.mode],
    )


def _present_due(pick: Pick) -> rpc.DueReminder:
    reminder = pick.reminder
    return rpc.DueReminder(
        user_id=reminder.user,
        live_stream_id=reminder.stream_id,
        minute=reminder.minute,
        mode=_MODES[reminder.mode],
        scheduled_for=to_timestamp(reminder.due_at),
        started=pick.started,
    )

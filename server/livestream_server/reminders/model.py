"""When a reminder is due."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from livestream_server.errors import FailedPrecondition

MAX_MINUTES = 7 * 24 * 60
KEPT = timedelta(days=30)
"""How long a reminder is kept that waits for nothing any more."""


class Mode(StrEnum):
    """What a reminder waits for. An early start makes both kinds due: nobody is reminded of a start that was."""

    ON_START = "on_start"
    BEFORE_START = "before_start"


class ReminderState(StrEnum):
    """Where a reminder is in its life."""

    ARMED = "armed"
    CLAIMED = "claimed"
    """It is in the batch of a caller, who reminds the user."""
    DROPPED = "dropped"
    """Its stream was over when it was due."""


@dataclass(frozen=True, slots=True)
class Reminder:
    """One user's reminder for one stream."""

    user: str
    stream_id: str
    minute: int | None
    """Before the planned start; None for the real one."""
    due_at: datetime | None
    """When that is, if it is known before."""

    @property
    def mode(self) -> Mode:
        """What it waits for."""
        return Mode.ON_START if self.minute is None else Mode.BEFORE_START


def new_reminder(
    user: str, stream_id: str, minute: int | None, planned_start: datetime | None, now: datetime
) -> Reminder:
    """The reminder of `user` for a stream that has not started.

    Raises NoPlannedStart or ReminderTooLate for one that waits for a time which there is not, or not any more.
    """
    if minute is None:
        return Reminder(user, stream_id, None, None)
    if planned_start is None:
        raise NoPlannedStart(stream_id)
    due_at = planned_start - timedelta(minutes=minute)
    if due_at <= now:
        raise ReminderTooLate(stream_id)
    return Reminder(user, stream_id, minute, due_at)


class NoPlannedStart(FailedPrecondition):
    """There is nothing that the minutes could count from."""

    reason = "NO_PLANNED_START"

    def __init__(self, stream_id: str) -> None:
        super().__init__(
            "the stream has no planned start; ask to be reminded of the real one", live_stream_id=stream_id
        )


class ReminderTooLate(FailedPrecondition):
    """That many minutes before the planned start are over."""

    reason = "REMINDER_TOO_LATE"

    def __init__(self, stream_id: str) -> None:
        super().__init__(
            "the planned start is nearer than that; choose fewer minutes, or none", live_stream_id=stream_id
        )

"""A user in a stream: their role and uid, whether they are present, and how long they were.

Presence has two sources: our own calls (join, renew, leave), and Agora's notifications, which arrive late, twice and in
any order. Both are stored as facts, and everything else is derived from the facts. Nothing is ever counted up or down.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from livestream_server.vocabulary import MAX_UID, Event, Role

MAX_EVENTS = 500
"""Of one user in one stream; Agora calls whoever enters and leaves so often abnormal, and may lose events itself."""


class Participant(NamedTuple):
    """A user in a stream."""

    user: str
    role: Role
    uid: int
    """Their number in the stream's channel."""
    joined_at: datetime | None
    """When they first joined in this role; None if they have not."""


def draw_uid() -> int:
    """A random uid, 1 to 2**31 - 1. Zero would let anyone use the token."""
    return secrets.randbelow(MAX_UID) + 1


def merge_events(known: Iterable[Event], told: Iterable[Event]) -> list[Event]:
    """All events in their order, each once; the newest, if they are too many. The grouping of calls does not matter."""
    by_seq: dict[int, Event] = {}
    for each in (*known, *told):
        by_seq[each.seq] = max(each, by_seq.get(each.seq, each))
    return [by_seq[seq] for seq in sorted(by_seq)][-MAX_EVENTS:]


@dataclass(frozen=True, slots=True)
class Span:
    """A time from an instant to another."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Attendance:
    """What is known of one viewer of one stream."""

    seen_at: datetime
    """Their last join or renewal."""
    left_at: datetime | None
    """Their leave after that, as they said it themselves."""
    visits: Sequence[Span]
    """From our calls, the newest first: each from a join until a leave, or until the tokens have run out."""
    events: Sequence[Event]
    """From Agora, in their order."""

    def derive_until(self, stay: timedelta) -> datetime:
        """When they are present no more: the latest of all facts decides.

        `stay` is how long a join, a renewal or an entering of the channel counts.
        """
        facts = [(self.seen_at, 0, True)]
        if self.left_at:
            facts.append((self.left_at, 1, False))
        if self.events:
            facts.append((self.events[-1].at, 2, self.events[-1].here))
        at, _, here = max(facts)
        return at + stay if here else at

    def derive_spans(self, stay: timedelta) -> list[Span]:
        """When they were present: by Agora's events, and after the last of them by our calls."""
        if not self.events:
            return list(self.visits)
        spans: list[Span] = []
        entered: datetime | None = None
        for each in self.events:
            if each.here:
                entered = entered or each.at
                continue
            # A leaving that says how long they stayed needs no event of entering, and corrects one that had no leaving.
            told = each.at - timedelta(seconds=each.stayed) if each.stayed else None
            spans.append(Span(max((at for at in (entered, told) if at), default=each.at), each.at))
            entered = None
        last, until = self.events[-1], self.derive_until(stay)
        if entered:
            return [*spans, Span(entered, until)]
        back = [each for each in self.visits if each.since > last.at]
        if not back and self.seen_at > last.at:
            back = [Span(self.seen_at, until)]
        return [*spans, *back]


class Tally:
    """How a stream was watched between two instants."""

    def __init__(self, start: datetime, end: datetime) -> None:
        self._start = start
        self._end = end
        self._turns: list[tuple[datetime, int]] = []
        self.viewers = 0
        self.watched = timedelta()

    def add(self, spans: Iterable[Span], end: datetime | None = None) -> None:
        """Take in one more viewer, who counts until `end` at most; what overlaps in their spans counts once."""
        self.viewers += 1
        reached = self._start
        last = min(self._end, end) if end else self._end
        for span in sorted(spans, key=lambda each: each.since):
            since, until = max(span.since, reached), min(span.until, last)
            if since < until:
                self.watched += until - since
                self._turns += [(since, 1), (until, -1)]
                reached = until

    @property
    def average(self) -> timedelta:
        """How long a viewer has watched."""
        return self.watched / self.viewers if self.viewers else timedelta()

    @property
    def peak(self) -> int:
        """The most that watched at the same time; whoever leaves as another comes does not meet them."""
        present = most = 0
        for _, change in sorted(self._turns):
            present += change
            most = max(most, present)
        return most

"""From what is known of a user's comings and goings to whether they are present, and how long they were.

There are two sources: our own calls (join, renew, leave), and Agora's notifications, which arrive late, twice and in
any order. Both are kept as facts, and everything else is derived from the facts. Nothing is ever counted up or down.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from livestream_server.vocabulary import Event

MAX_EVENTS = 500
"""Of one user in one stream; Agora calls whoever enters and leaves so often abnormal, and may lose events itself."""


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

    def until(self, stay: timedelta) -> datetime:
        """When they are present no more: the latest word decides. `stay` is how long a sign of life holds."""
        words = [(self.seen_at, 0, True)]
        if self.left_at:
            words.append((self.left_at, 1, False))
        if self.events:
            words.append((self.events[-1].at, 2, self.events[-1].here))
        at, _, here = max(words)
        return at + stay if here else at

    def spans(self, stay: timedelta) -> list[Span]:
        """When they were present. Agora knows better, as far as it has told; beyond its last word our calls count."""
        if not self.events:
            return list(self.visits)
        spans: list[Span] = []
        entered: datetime | None = None
        for each in self.events:
            if each.here:
                entered = entered or each.at
                continue
            # A leaving that tells how long they stayed needs no entering, and corrects one whose own leaving was lost.
            told = each.at - timedelta(seconds=each.stayed) if each.stayed else None
            spans.append(Span(max((at for at in (entered, told) if at), default=each.at), each.at))
            entered = None
        last, until = self.events[-1], self.until(stay)
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


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What Agora's events tell of a broadcaster."""

    first_seen: datetime | None
    last_seen: datetime | None
    left_at: datetime | None
    """Since when they are out of the channel; None if they are in it."""


def derive_whereabouts(events: Sequence[Event]) -> Whereabouts:
    """What `events`, which are in their order, tell together."""
    left_at = None
    for each in events:
        left_at = None if each.here else left_at or each.at
    seen = [each.at for each in events if each.here]
    return Whereabouts(min(seen, default=None), seen[-1] if seen else None, left_at)

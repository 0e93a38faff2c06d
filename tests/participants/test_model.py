"""The rules of presence: what is derived must not depend on how the facts arrived."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livestream_server.notifications.model import Whereabouts, derive_whereabouts
from livestream_server.participants.model import (
    MAX_EVENTS,
    Attendance,
    Span,
    Tally,
    merge_events,
)
from livestream_server.vocabulary import Event

T0 = datetime(2026, 1, 15, 20, tzinfo=UTC)
STAY = timedelta(minutes=62)


def at(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def span(since: float, until: float) -> Span:
    return Span(at(since), at(until))


def came(seq: int, minutes: float) -> Event:
    return Event(seq, at(minutes), here=True)


def went(seq: int, minutes: float, stayed: int = 0) -> Event:
    return Event(seq, at(minutes), here=False, stayed=stayed)


def viewer(*events: Event, seen: float = 0, left: float | None = None, visits: list[Span] | None = None) -> Attendance:
    usual = [Span(at(seen), at(seen) + STAY if left is None else at(left))]
    return Attendance(at(seen), None if left is None else at(left), usual if visits is None else visits, events)


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """What happened to one uid, in order; comings without goings and the reverse are among it."""
    moments = sorted(draw(st.lists(st.integers(0, 600), min_size=1, max_size=12)))
    return [
        Event(7 + 2 * index, at(moment), draw(st.booleans()), draw(st.integers(0, 3600)))
        for index, moment in enumerate(moments)
    ]


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Event], list[list[Event]]]:
    """A history, and the batches in which it arrives: in any order, each event up to three times."""
    history = draw(histories())
    often = [each for each in history for _ in range(draw(st.integers(1, 3)))]
    shuffled = draw(st.permutations(often))
    cuts = sorted(draw(st.sets(st.integers(0, len(shuffled)), max_size=4)))
    return history, [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]


@settings(max_examples=1000)
@given(deliveries())
def test_order_repetition_and_batches_make_no_difference(case: tuple[list[Event], list[list[Event]]]) -> None:
    """Notifications come late, twice and shuffled; a counter would be wrong for ever after."""
    history, batches = case
    known: list[Event] = []
    for batch in batches:
        known = merge_events(known, batch)
    assert known == history
    assert viewer(*known).derive_until(STAY) == viewer(*history).derive_until(STAY)
    assert viewer(*known).derive_spans(STAY) == viewer(*history).derive_spans(STAY)
    assert derive_whereabouts(known) == derive_whereabouts(history)


@given(histories(), st.integers(0, 600), st.one_of(st.none(), st.integers(0, 60)))
def test_nobody_is_counted_twice_or_backwards(history: list[Event], seen: int, left_after: int | None) -> None:
    """Whatever is told, a viewer watches between the start and the end, once at a time."""
    left = None if left_after is None else seen + left_after
    tally = Tally(at(0), at(600))
    tally.add(viewer(*history, seen=seen, left=left).derive_spans(STAY))
    assert timedelta() <= tally.watched <= timedelta(minutes=600)
    assert tally.peak in (0, 1)
    assert tally.viewers == 1


def test_two_events_of_one_number_are_settled_alike() -> None:
    """Should Agora number two events alike, every process must pick the same one."""
    one, two = came(5, 1), went(5, 2)
    assert merge_events([one], [two]) == merge_events([two], [one]) == [two]


def test_what_is_kept_of_somebody_is_bounded_and_the_newest() -> None:
    """A client that flaps all night must not grow a document without end, nor depend on how that arrived."""
    events = [Event(each, at(each), here=bool(each % 2)) for each in range(MAX_EVENTS + 50)]
    assert merge_events(events, []) == merge_events(events[:300], events[200:]) == events[-MAX_EVENTS:]


@pytest.mark.parametrize(
    ("known", "until"),
    [
        pytest.param(viewer(), 62, id="a join alone holds as long as its tokens and the grace"),
        pytest.param(viewer(left=5), 5, id="a leave counts at once"),
        pytest.param(viewer(came(1, 1)), 63, id="agora sees them later than we did"),
        pytest.param(viewer(came(1, 1), went(2, 9)), 9, id="agora saw them go"),
        pytest.param(viewer(went(2, 9), seen=20), 82, id="they came back by a call, which agora has not told yet"),
        pytest.param(viewer(came(1, 1), left=5), 5, id="they said goodbye before agora did"),
        pytest.param(viewer(came(1, 1), came(3, 8), left=5), 70, id="they went back in with the old token"),
    ],
)
def test_the_latest_word_decides(known: Attendance, until: float) -> None:
    """Two sources speak of one user; whichever spoke last of them is right."""
    assert known.derive_until(STAY) == at(until)


@pytest.mark.parametrize(
    ("known", "spans"),
    [
        pytest.param(viewer(left=5), [span(0, 5)], id="calls alone"),
        pytest.param(viewer(came(1, 1), went(2, 9)), [span(1, 9)], id="in and out"),
        pytest.param(viewer(came(1, 1), went(2, 4), came(3, 6), went(4, 9)), [span(1, 4), span(6, 9)], id="twice"),
        pytest.param(viewer(came(1, 1)), [span(1, 63)], id="still in"),
        pytest.param(viewer(went(2, 9, stayed=480)), [span(1, 9)], id="the coming was lost, but not how long it was"),
        pytest.param(viewer(went(2, 9)), [span(9, 9)], id="the coming was lost"),
        pytest.param(
            viewer(came(1, 1), came(3, 100), went(4, 110, stayed=600)), [span(100, 110)], id="a going was lost"
        ),
        pytest.param(viewer(came(1, 1), came(2, 3), went(3, 9)), [span(1, 9)], id="a change of role is no coming"),
        pytest.param(
            viewer(came(1, 1), went(2, 9), seen=20, visits=[span(20, 82), span(0, 9)]),
            [span(1, 9), span(20, 82)],
            id="back by a call",
        ),
        pytest.param(
            viewer(came(1, 1), went(2, 9), seen=20, visits=[span(0, 82)]),
            [span(1, 9), span(20, 82)],
            id="back by a renewal",
        ),
    ],
)
def test_agora_says_when_somebody_watched_and_our_calls_say_the_rest(known: Attendance, spans: list[Span]) -> None:
    """Watched minutes rest on pairs of facts, and hold when one of a pair is lost."""
    assert known.derive_spans(STAY) == spans


def test_statistics_are_those_of_the_stream_alone() -> None:
    """Time before the start, after the end, or counted twice would be money one day."""
    tally = Tally(at(10), at(60))
    for spans in ([span(0, 20)], [span(15, 30), span(25, 40)], [span(40, 45)], [span(55, 99)], [span(70, 80)], []):
        tally.add(spans)
    assert tally.viewers == 6
    assert tally.watched == timedelta(minutes=10 + 25 + 5 + 5)
    assert tally.average == timedelta(minutes=7.5)
    assert tally.peak == 2


def test_one_who_leaves_as_another_comes_does_not_meet_them() -> None:
    """A peak that nobody saw is wrong by one at every change of viewers."""
    tally = Tally(at(0), at(60))
    tally.add([span(0, 10)])
    tally.add([span(10, 20)])
    assert tally.peak == 1


def test_a_stream_that_nobody_watched_has_no_average() -> None:
    """No viewers must not be a division by zero."""
    tally = Tally(at(0), at(60))
    assert (tally.viewers, tally.average, tally.peak) == (0, timedelta(), 0)


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([], Whereabouts(None, None, None)),
        ([came(1, 1)], Whereabouts(at(1), at(1), None)),
        ([came(1, 1), went(2, 5)], Whereabouts(at(1), at(1), at(5))),
        ([came(1, 1), went(2, 5), went(3, 7)], Whereabouts(at(1), at(1), at(5))),
        ([came(1, 1), went(2, 5), came(3, 6)], Whereabouts(at(1), at(6), None)),
        ([went(2, 5)], Whereabouts(None, None, at(5))),
    ],
)
def test_a_broadcaster_is_out_since_the_first_going_after_the_last_coming(events: list[Event], told: Any) -> None:
    """The host's grace runs from when they really left."""
    assert derive_whereabouts(events) == told

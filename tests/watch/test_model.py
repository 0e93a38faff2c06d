"""What one watcher is told, without any I/O."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livestream.v1.watch_service_pb2 import Snapshot, WatchStreamResponse
from livestream_server.errors import TooSlow
from livestream_server.protocols import Caller
from livestream_server.streams.journal import KEPT
from livestream_server.vocabulary import BanAction
from livestream_server.watch.model import LAG, BanLevel, Levels, ViewerLevel, Watcher


@dataclass
class FakeJournal:
    """A journal of so many changes, of which the last are kept."""

    revision: int
    kept: int = KEPT
    active: bool = True
    deleted: bool = False
    over: bool = False
    changes: list[WatchStreamResponse] = field(init=False)

    def __post_init__(self) -> None:
        first = max(0, self.revision - self.kept) + 1
        self.changes = [WatchStreamResponse(revision=number) for number in range(first, self.revision + 1)]

    async def require_watchable(self, caller: Caller) -> None:
        raise NotImplementedError

    async def shows_audience(self, caller: Caller) -> bool:
        raise NotImplementedError

    async def present_to(self, caller: Caller) -> Snapshot:
        raise NotImplementedError


def revisions(watcher: Watcher, journal: FakeJournal) -> list[int]:
    return [each.revision for each in watcher.take_changes(journal)]


def test_whoever_has_seen_nothing_begins_with_a_snapshot() -> None:
    """A change means nothing without what it changes."""
    watcher, journal = Watcher("jane", None, counts=True), FakeJournal(3)
    assert watcher.needs_snapshot(journal)
    levels = Levels(57, {"jane": BanAction.CHAT_ONLY})
    watcher.skip_to(journal)
    assert watcher.seen == 3
    assert list(watcher.take_levels(levels)) == [ViewerLevel(57), BanLevel(BanAction.CHAT_ONLY)]
    assert revisions(watcher, journal) == []
    assert list(watcher.take_levels(levels)) == []


@given(last=st.integers(0, 600), seen=st.integers(0, 600))
def test_whoever_resumes_is_told_just_what_they_missed_or_everything(last: int, seen: int) -> None:
    """A gap is a wrong image for good; a repeat may count a thing twice."""
    watcher, journal = Watcher("jane", seen, counts=True), FakeJournal(last)
    if watcher.needs_snapshot(journal):
        assert seen > last or last - seen > KEPT
    else:
        assert revisions(watcher, journal) == list(range(seen + 1, last + 1))


@given(steps=st.lists(st.integers(0, LAG), max_size=20))
def test_no_change_is_told_twice_or_left_out_while_the_stream_goes_on(steps: list[int]) -> None:
    """Several changes may be read at once, or none."""
    watcher, told, revision = Watcher("jane", 0, counts=True), [], 0
    for each in steps:
        revision += each
        watcher.require_not_behind(FakeJournal(revision))
        told += revisions(watcher, FakeJournal(revision))
    assert told == list(range(1, revision + 1))


def test_whoever_falls_behind_is_cut_off_where_they_can_resume() -> None:
    """Whoever is cut off without a way back would miss something after all."""
    watcher = Watcher("jane", 5, counts=True)
    with pytest.raises(TooSlow) as caught:
        watcher.require_not_behind(FakeJournal(5 + LAG + 1))
    assert caught.value.metadata == {"last": "5"}
    again = Watcher("jane", 5, counts=True)
    later = FakeJournal(5 + KEPT)
    assert not again.needs_snapshot(later)
    assert revisions(again, later)[0] == 6


def test_a_level_is_told_when_it_is_another_and_after_a_break() -> None:
    """A count that did not change is no news; after a break nobody knows what was known."""
    watcher = Watcher("jane", 2, counts=True)
    assert revisions(watcher, FakeJournal(2)) == []
    assert list(watcher.take_levels(Levels(1))) == [ViewerLevel(1), BanLevel(None)]
    assert list(watcher.take_levels(Levels(1))) == []
    assert list(watcher.take_levels(Levels(2))) == [ViewerLevel(2)]


def test_whoever_is_not_told_the_count_is_told_everything_else() -> None:
    """How many have paid is not for those who have not."""
    watcher = Watcher("jane", None, counts=False)
    watcher.skip_to(FakeJournal(3))
    assert list(watcher.take_levels(Levels(57))) == [BanLevel(None)]
    banned = BanLevel(BanAction.CHAT_ONLY)
    assert list(watcher.take_levels(Levels(58, {"jane": BanAction.CHAT_ONLY}))) == [banned]
    assert revisions(watcher, FakeJournal(5)) == [4, 5]


def test_a_ban_is_the_banned_users_business_alone() -> None:
    """Who else is banned is not for every viewer to know."""
    jane, john = Watcher("jane", 0, counts=True), Watcher("john", 0, counts=True)
    for each in (jane, john):
        list(each.take_levels(Levels()))
    banned = Levels(0, {"jane": BanAction.CHAT_ONLY})
    assert list(jane.take_levels(banned)) == [BanLevel(BanAction.CHAT_ONLY)]
    assert list(john.take_levels(banned)) == []
    assert list(jane.take_levels(Levels())) == [BanLevel(None)]

"""One hub for all watchers of a process, with a notifier and journals that do what the test says."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

import pytest

from livestream_server.clock import utc_now
from livestream_server.errors import NotFound
from livestream_server.vocabulary import BanAction
from livestream_server.watch import hub as hub_module
from livestream_server.watch.hub import WatchHub
from tests.promises.calls import until
from tests.watch.test_model import FakeJournal


class Nothing(NotFound):
    reason = "TEST_NOTHING"

    def __init__(self) -> None:
        super().__init__("nothing")


class Fakes:
    """Journals, audience, bans and notifier in one."""

    def __init__(self) -> None:
        self.journals: dict[str, FakeJournal] = {"a": FakeJournal(0), "b": FakeJournal(0)}
        self.viewers: dict[str, int] = {}
        self.banned: dict[str, dict[str, BanAction]] = {}
        self.reads: Counter[str] = Counter()
        self.counted: list[list[str]] = []
        self.without: dict[str, list[str]] = {}
        self.asked_for_bans = 0
        self.openings = 0
        self.broken = False
        self.reading = asyncio.Event()
        self.reading.set()
        self._changes: asyncio.Queue[str | Exception | None] = asyncio.Queue()

    async def read(self, stream_id: str) -> FakeJournal:
        self.reads[stream_id] += 1
        found = self.journals.get(stream_id)
        await self.reading.wait()
        if self.broken:
            raise OSError
        if found is None:
            raise Nothing
        return found

    async def count_present(
        self, stream_ids: Collection[str], without: Mapping[str, Collection[str]], now: datetime
    ) -> Mapping[str, int]:
        self.counted.append(sorted(stream_ids))
        self.without = {each: sorted(without[each]) for each in stream_ids}
        return {each: self.viewers[each] for each in stream_ids if each in self.viewers}

    async def find_actions(self, stream_ids: Collection[str]) -> Mapping[str, Mapping[str, BanAction]]:
        self.asked_for_bans += 1
        return {each: self.banned[each] for each in stream_ids if each in self.banned}

    @asynccontextmanager
    async def listen(self) -> AsyncIterator[AsyncIterator[str | None]]:
        self.openings += 1
        yield self._notifying()

    async def _notifying(self) -> AsyncIterator[str | None]:
        while True:
            change = await self._changes.get()
            if isinstance(change, Exception):
                raise change
            yield change

    def notify(self, stream_id: str | None) -> None:
        self._changes.put_nowait(stream_id)

    def break_notifier(self) -> None:
        self._changes.put_nowait(ConnectionError())


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    monkeypatch.setattr(hub_module, "LEVELS_EVERY", 0.02)
    monkeypatch.setattr(hub_module, "POLL_EVERY", 1_000_000)
    monkeypatch.setattr(hub_module, "RETRY_AFTER", 0.01)
    return Fakes()


@pytest.fixture
async def hub(fakes: Fakes) -> AsyncIterator[WatchHub]:
    hub = WatchHub(fakes, fakes, fakes, fakes, utc_now)
    tasks = [asyncio.create_task(each) for each in hub.work()]
    yield hub
    for each in tasks:
        each.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def revision(topic: hub_module.Topic) -> int:
    return topic.read()[1].revision


async def test_a_change_lets_the_stream_be_read_and_wakes_its_watchers(hub: WatchHub, fakes: Fakes) -> None:
    """The notifier says where to look; what has happened stands in the journal."""
    async with hub.watch("a") as a, hub.watch("b") as b:
        changed, untouched = a.read()[0], b.read()[0]
        fakes.journals["a"] = FakeJournal(1)
        fakes.notify("a")
        async with asyncio.timeout(5):
            await changed.wait()
        assert (revision(a), revision(b)) == (1, 0)
        assert not untouched.is_set()


async def test_all_watchers_share_a_reading_that_began_after_they_asked(hub: WatchHub, fakes: Fakes) -> None:
    """Five hundred who come back at once must not read five hundred times, nor get what was read before they came."""
    fakes.reading.clear()
    async with asyncio.TaskGroup() as group:
        watchers = [group.create_task(_revision_seen(hub)) for _ in range(500)]
        await until(lambda: fakes.reads["a"] == 1)
        fakes.journals["a"] = FakeJournal(1)
        fakes.reading.set()
    first, *others = [each.result() for each in watchers]
    assert first in (0, 1)
    assert set(others) == {1}
    assert fakes.reads["a"] <= 3  # with the one that the notifier asks for when it is first heard


async def _revision_seen(hub: WatchHub) -> int:
    async with hub.watch("a") as topic:
        return revision(topic)


async def test_a_notifier_that_broke_is_opened_again_and_nothing_was_missed(hub: WatchHub, fakes: Fakes) -> None:
    """While the database's primary changes nobody notifies, and yet the stream goes on."""
    async with hub.watch("a") as a:
        await until(lambda: fakes.openings == 1)
        fakes.journals["a"] = FakeJournal(2)
        fakes.break_notifier()
        await until(lambda: revision(a) == 2)
        assert fakes.openings == 2


async def test_a_ban_that_was_made_while_the_notifier_was_broken_is_seen(hub: WatchHub, fakes: Fakes) -> None:
    """The banned would look on until bans are read the next time, for up to 15 seconds."""
    async with hub.watch("a") as a:
        await until(lambda: fakes.openings == 1 and not hub._bans_are_stale)
        fakes.banned["a"] = {"jane": BanAction.BLOCK}
        fakes.break_notifier()
        await until(lambda: a.read()[2].bans == {"jane": BanAction.BLOCK})


async def test_a_reading_that_failed_is_tried_again(hub: WatchHub, fakes: Fakes) -> None:
    """The change was heard once; it must not be forgotten."""
    async with hub.watch("a") as a:
        await until(lambda: fakes.reads["a"] > 1)
        fakes.journals["a"] = FakeJournal(1)
        fakes.broken = True
        fakes.notify("a")
        before = fakes.reads["a"]
        await until(lambda: fakes.reads["a"] > before)
        assert revision(a) == 0
        fakes.broken = False
        await until(lambda: revision(a) == 1)


async def test_a_change_that_was_not_notified_is_found_later(
    hub: WatchHub, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever swallows a change, the stream is looked at again."""
    async with hub.watch("a") as a:
        fakes.journals["a"] = FakeJournal(1)
        monkeypatch.setattr(hub_module, "POLL_EVERY", 1)
        await until(lambda: revision(a) == 1)


async def test_what_is_older_is_never_told(hub: WatchHub, fakes: Fakes) -> None:
    """A member of the database that lags behind may answer a later reading."""
    fakes.journals["a"] = FakeJournal(5)
    async with hub.watch("a") as a:
        fakes.journals["a"] = FakeJournal(4)
        before = fakes.reads["a"]
        fakes.notify("a")
        await until(lambda: fakes.reads["a"] > before)
        await asyncio.sleep(0)
        assert revision(a) == 5


async def test_levels_are_there_from_the_first_and_change_with_time(hub: WatchHub, fakes: Fakes) -> None:
    """A snapshot without the count would be followed by it at once."""
    fakes.viewers["a"] = 57
    fakes.banned["a"] = {"jane": BanAction.BLOCK}
    async with hub.watch("a") as a:
        assert (a.read()[2].viewers, a.read()[2].bans) == (57, {"jane": BanAction.BLOCK})
        fakes.viewers["a"] = 58
        await until(lambda: a.read()[2].viewers == 58)
        assert a.read()[2].bans == {"jane": BanAction.BLOCK}


async def test_bans_are_read_when_one_is_made_or_lifted(hub: WatchHub, fakes: Fakes) -> None:
    """They are rare, so nobody asks for them every second."""
    async with hub.watch("a") as a:
        await until(lambda: len(fakes.counted) > 3)
        asked = fakes.asked_for_bans
        fakes.banned["a"] = {"jane": BanAction.CHAT_ONLY}
        fakes.notify(None)
        await until(lambda: a.read()[2].bans == {"jane": BanAction.CHAT_ONLY})
        del fakes.banned["a"]
        fakes.notify(None)
        await until(lambda: a.read()[2].bans == {})
        assert fakes.asked_for_bans == asked + 2


async def test_the_banned_are_not_counted_from_the_first_count_on(hub: WatchHub, fakes: Fakes) -> None:
    """A count that was taken before the bans were read would be told for a second."""
    fakes.banned["a"] = {"jane": BanAction.BLOCK, "john": BanAction.CHAT_ONLY}
    async with hub.watch("a"):
        assert (len(fakes.counted), fakes.without) == (1, {"a": ["jane"]})
        del fakes.banned["a"]
        fakes.notify(None)
        await until(lambda: fakes.without == {"a": []})


async def test_all_streams_are_counted_at_once_and_only_while_they_are_active(hub: WatchHub, fakes: Fakes) -> None:
    """A thousand watched streams are one question to the database."""
    fakes.journals["c"] = FakeJournal(0, active=False)
    async with hub.watch("a"), hub.watch("b"), hub.watch("c"):
        fakes.counted.clear()
        await until(lambda: len(fakes.counted) > 2)
    assert fakes.counted[:3] == [["a", "b"]] * 3


async def test_a_stream_that_nobody_watches_is_forgotten(hub: WatchHub, fakes: Fakes) -> None:
    """Memory and work must follow the watchers, not the streams that were ever watched."""
    async with hub.watch("a"):
        async with hub.watch("a"):
            pass
        assert set(hub._topics) == {"a"}
    with pytest.raises(Nothing):
        async with hub.watch("unknown"):
            pass
    assert hub._topics == {}


async def test_nothing_is_listened_to_while_nobody_watches(hub: WatchHub, fakes: Fakes) -> None:
    """Each listener costs the database some work for every write of the whole service."""
    await asyncio.sleep(0.05)
    assert fakes.openings == 0
    async with hub.watch("a"):
        await until(lambda: fakes.openings == 1)
    fakes.notify("b")
    await until(lambda: not hub._watched.is_set())
    async with hub.watch("a"):
        await until(lambda: fakes.openings == 2)

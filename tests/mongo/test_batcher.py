"""One command for all who ask at the same time: nobody is told what was true before, and nobody waits for a stranger."""

import asyncio
from collections.abc import Sequence

import pytest
from pymongo import _csot

from livestream_server.mongo import batcher, failures
from livestream_server.mongo.batcher import Batcher


class Database:
    """Answers each item with itself, when the test lets it; notes what each command asked for."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.remaining: list[float | None] = []
        self.answers = asyncio.Event()

    async def __call__(self, items: Sequence[str]) -> Sequence[str]:
        self.commands.append(list(items))
        self.remaining.append(_csot.remaining())
        await self.answers.wait()
        if "broken" in items:
            raise ConnectionError("gone")
        return [f"{each}!" for each in items]


@pytest.fixture
def database() -> Database:
    return Database()


async def turn() -> None:
    """Let everyone do what they can do now."""
    for _ in range(2 * batcher.TURNS):
        await asyncio.sleep(0)


async def test_who_asks_while_a_command_is_under_way_shares_the_next(database: Database) -> None:
    """Each join of a crowd would pay for a command of its own; or would be told what an earlier command has found."""
    asking: Batcher[str, str] = Batcher(database)
    first = [asyncio.create_task(asking.load(each)) for each in "ab"]
    await turn()
    later = [asyncio.create_task(asking.load(each)) for each in "acd"]
    await turn()
    assert database.commands == [["a", "b"]]
    database.answers.set()
    assert await asyncio.gather(*first, *later) == ["a!", "b!", "a!", "c!", "d!"]
    assert database.commands == [["a", "b"], ["a", "c", "d"]]


async def test_a_failure_is_told_to_those_of_its_command_alone(database: Database) -> None:
    """One lost connection would fail calls that had nothing to do with it, or leave its own callers waiting for ever."""
    database.answers.set()
    asking: Batcher[str, str] = Batcher(database)
    failed = [asyncio.create_task(asking.load(each)) for each in ("a", "broken")]
    outcomes = await asyncio.gather(*failed, return_exceptions=True)
    assert [type(each) for each in outcomes] == [ConnectionError, ConnectionError]
    assert await asking.load("a") == "a!"


async def test_who_leaves_takes_nobody_along(database: Database) -> None:
    """A viewer who closes the app would end the calls of all who happened to ask with them."""
    asking: Batcher[str, str] = Batcher(database)
    leaver, stayer = (asyncio.create_task(asking.load(each)) for each in "ab")
    await turn()
    leaver.cancel()
    await turn()
    database.answers.set()
    assert await stayer == "b!"
    assert leaver.cancelled()


async def test_a_command_that_hangs_is_not_waited_for_by_others(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One dead connection would stop every join of the process until its deadline."""
    monkeypatch.setattr(batcher, "PATIENCE", 0.0)
    asking: Batcher[str, str] = Batcher(database)
    hanging = asyncio.create_task(asking.load("a"))
    while len(database.commands) < 2:
        other = asyncio.create_task(asking.load("b"))
        await asyncio.sleep(0.001)
    assert not hanging.done()
    database.answers.set()
    assert [await hanging, await other] == ["a!", "b!"]


async def test_a_hurried_caller_does_not_hurry_the_command(database: Database) -> None:
    """The driver takes its deadline from the context: a caller with a millisecond left would fail all the others."""
    database.answers.set()
    asking: Batcher[str, str] = Batcher(database)
    with failures.deadline(0.001):
        await asking.load("a")
    (remaining,) = database.remaining
    assert remaining is not None
    assert remaining > 1

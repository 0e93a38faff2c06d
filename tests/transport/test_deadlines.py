"""A deadline behaves like `asyncio.timeout`, but for being a little late."""

import asyncio

import pytest

from livestream_server.transport import deadlines
from livestream_server.transport.deadlines import Deadlines


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "TICK", 0.001)


async def test_what_takes_too_long_is_cancelled() -> None:
    """A call that waits for something that never comes would be in flight for ever."""
    with pytest.raises(TimeoutError), Deadlines().within(0.01):
        await asyncio.Event().wait()
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]  # a test is a task


async def test_what_ends_in_time_is_left_alone() -> None:
    """A call would be cancelled after it had its answer."""
    limits = Deadlines()
    for _ in range(3):
        with limits.within(0.005):
            await asyncio.sleep(0)
    await asyncio.sleep(0.02)
    assert not limits._open


async def test_each_call_has_a_deadline_of_its_own() -> None:
    """The shortest would end all calls of the process."""
    limits = Deadlines()

    async def call(seconds: float, work: float) -> str:
        try:
            with limits.within(seconds):
                await asyncio.sleep(work)
        except TimeoutError:
            return "late"
        return "done"

    assert await asyncio.gather(call(0.005, 9), call(9, 0.02), call(0.01, 9)) == ["late", "done", "late"]


async def test_a_cancellation_by_others_is_no_deadline() -> None:
    """A client that went away would be logged as a call that took too long."""

    async def call() -> None:
        with Deadlines().within(60):
            await asyncio.Event().wait()

    task = asyncio.create_task(call())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_call_goes_on_as_it_is() -> None:
    """A refusal that comes late would be told as a deadline."""
    with pytest.raises(LookupError), Deadlines().within(60):
        raise LookupError


async def test_nothing_ticks_while_nobody_calls() -> None:
    """An idle process would wake up forty times per second."""
    limits = Deadlines()
    with limits.within(1):
        assert limits._tick is not None
    await asyncio.sleep(0.01)
    assert limits._tick is None

"""How many calls of one caller are in flight, whatever order they come, are answered and are given up in."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livestream_server.errors import TooManyCalls
from livestream_server.transport.shares import CallShares

AT_ONCE, AT_MOST = 2, 5


class Crowd:
    """Calls of a few callers, each running until told to end."""

    def __init__(self) -> None:
        self.shares = CallShares(AT_ONCE, AT_MOST, 100)
        self.running: list[tuple[str, int]] = []
        self.refused: list[str] = []
        self.tasks: dict[tuple[str, int], asyncio.Task[None]] = {}
        self.ends: dict[tuple[str, int], asyncio.Event] = {}
        self.number = 0

    def begin(self, who: str) -> None:
        self.number += 1
        name = who, self.number
        self.ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.ensure_future(self._call(name))

    async def _call(self, name: tuple[str, int]) -> None:
        who = name[0]
        try:
            if not self.shares.take(who, 100):
                await self.shares.wait(who)
        except TooManyCalls:
            self.refused.append(who)
            return
        self.running.append(name)
        try:
            await self.ends[name].wait()
        finally:
            self.running.remove(name)
            self.shares.end(who)

    def in_flight(self, who: str) -> list[tuple[str, int]]:
        return [name for name, task in self.tasks.items() if name[0] == who and not task.done()]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


ACTS = st.lists(st.tuples(st.sampled_from(["begin", "end", "cancel", "end and cancel"]), st.sampled_from("ab")))


@given(ACTS)
def test_nobody_has_more_than_their_share_and_no_turn_is_lost(acts: Sequence[tuple[str, str]]) -> None:
    """A lost turn would lock its caller out until the process ends; one too many would not be a limit."""
    asyncio.run(act(acts))


async def act(acts: Sequence[tuple[str, str]]) -> None:
    crowd = Crowd()
    for what, who in acts:
        calls = crowd.in_flight(who)
        if what == "begin":
            refused = len(crowd.refused)
            crowd.begin(who)
            await settle()
            assert (len(crowd.refused) > refused) == (len(calls) == AT_MOST)
        elif calls and what == "end":
            crowd.ends[next((each for each in crowd.running if each[0] == who), calls[0])].set()
        elif calls and what == "cancel":
            crowd.tasks[calls[-1]].cancel()
        elif calls:
            crowd.ends[calls[0]].set()
            await asyncio.sleep(0)
            for each in calls[1:2]:
                crowd.tasks[each].cancel()
        await settle()
        for each in "ab":
            running = sum(name[0] == each for name in crowd.running)
            assert running == min(AT_ONCE, len(crowd.in_flight(each)))
    for event in crowd.ends.values():
        event.set()
    await settle()
    await asyncio.gather(*crowd.tasks.values(), return_exceptions=True)
    assert not crowd.shares._taken
    assert not crowd.shares._waiting


async def test_calls_that_wait_come_in_their_order() -> None:
    """Else the first of them could wait for ever."""
    crowd = Crowd()
    for _ in range(AT_MOST):
        crowd.begin("a")
    await settle()
    order = [number for _, number in crowd.running]
    for _ in range(AT_MOST - AT_ONCE):
        crowd.ends[crowd.running[0]].set()
        await settle()
        order.append(crowd.running[-1][1])
    assert order == sorted(order)
    for _ in range(AT_MOST - AT_ONCE):
        crowd.begin("a")
    await settle()
    with pytest.raises(TooManyCalls):
        crowd.shares.check("a")
    crowd.shares.check("b")
    for task in crowd.tasks.values():
        task.cancel()
    await asyncio.gather(*crowd.tasks.values(), return_exceptions=True)


@pytest.mark.parametrize("callers", [1, 4, 40])
def test_callers_who_take_all_that_they_may_leave_places_for_others(callers: int) -> None:
    """One alone has its share; several together are stopped before nothing is left."""
    most, of = 128, 512
    shares = CallShares(8, most, of)
    taken = dict.fromkeys(map(str, range(callers)), 0)
    for _ in range(of):
        for who in taken:
            try:
                shares.take(who, of - sum(taken.values()) - 1)
            except TooManyCalls:
                continue
            taken[who] += 1
    assert max(taken.values()) <= most
    assert callers > 1 or taken == {"0": most}
    left = of - sum(taken.values())
    assert left >= max(taken.values()) - 1  # as much as any of them has
    shares.take("honest", left - 1)

"""Who decodes next."""

import asyncio

import pytest

from livestream_server.images.queue import FairQueue, QueueFull, ShareExceeded


class Line:
    """Users in a queue: notes who got a place, and gives it back when told to."""

    def __init__(self, **limits: int) -> None:
        self.queue = FairQueue(**limits)
        self.served: list[bytes] = []

    async def join(self, user: bytes) -> asyncio.Task[None]:
        task = asyncio.create_task(self._enter(user))
        await asyncio.sleep(0)
        return task

    async def _enter(self, user: bytes) -> None:
        await self.queue.enter(user)
        self.served.append(user)

    async def leave(self, user: bytes) -> None:
        self.queue.leave(user)
        for _ in range(3):
            await asyncio.sleep(0)


async def test_users_take_turns_whoever_came_first() -> None:
    """Whoever sends many images waits behind everybody who sends one."""
    line = Line(places=1, waiting=10, share=5)
    for user in (b"a", b"a", b"a", b"b", b"a", b"c"):
        await line.join(user)
    for _ in range(6):
        await line.leave(line.served[-1])
    assert line.served == [b"a", b"b", b"c", b"a", b"a", b"a"]


async def test_a_user_has_a_share_and_the_queue_an_end() -> None:
    """Both refuse at once: a caller who waits for nothing holds a connection and its chart."""
    line = Line(places=1, waiting=2, share=2)
    await line.join(b"a")
    await line.join(b"a")
    with pytest.raises(ShareExceeded):
        await line.queue.enter(b"a")
    await line.join(b"b")
    with pytest.raises(QueueFull):
        await line.queue.enter(b"c")
    await line.leave(b"a")
    await line.join(b"c")
    assert line.served == [b"a", b"b"]


@pytest.mark.parametrize("granted", [False, True])
async def test_whoever_gives_up_waiting_leaves_nothing_behind(granted: bool) -> None:
    """Deadlines pass while images wait, also in the very moment in which a place comes free."""
    line = Line(places=1, waiting=1, share=1)
    await line.join(b"a")
    waiting = await line.join(b"b")
    if granted:
        line.queue.leave(b"a")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    if not granted:
        await line.leave(b"a")
    await line.join(b"b")
    await line.join(b"c")
    assert line.served == [b"a", b"b"]
    await line.leave(b"b")
    assert line.served == [b"a", b"b", b"c"]
    await line.leave(b"c")
    assert not line.queue._waiting
    assert not line.queue._held
    assert line.queue._free == 1


async def test_whose_last_one_was_too_costly_may_not_wait() -> None:
    """Nine accounts with two each would else keep the queue full for as long as they like."""
    line = Line(places=1, waiting=2, share=2)
    await line.join(b"a")
    line.queue.judge(b"a", costly=True)
    with pytest.raises(QueueFull):
        await line.queue.enter(b"a")
    await line.join(b"b")
    for _ in range(2):
        await line.leave(line.served[-1])
    await line.join(b"a")  # a place is free
    line.queue.judge(b"a", costly=False)
    await line.join(b"a")
    await line.leave(b"a")
    assert line.served == [b"a", b"b", b"a", b"a"]

"""Waiting for a connection of the driver's pool, and being cancelled while at it."""

import asyncio

import pymongo.lock

from livestream_server.mongo import driver_patch


async def test_a_call_cancelled_at_its_deadline_leaves_the_pool_usable() -> None:
    """Unmended, Python 3.11 leaves the pool locked for ever: one client with short deadlines would stop the service."""
    driver_patch.patch()
    lock = pymongo.lock._async_create_lock()
    connection_is_free = pymongo.lock._async_create_condition(lock)

    async def call() -> None:
        async with connection_is_free:
            await pymongo.lock._async_cond_wait(connection_is_free, 0.01)

    waiting_call = asyncio.create_task(call())
    await asyncio.sleep(0)
    async with lock:  # another call has the pool's lock when the time is over
        await asyncio.sleep(0.05)
        waiting_call.cancel()
        await asyncio.sleep(0)
        assert lock.locked()
    await asyncio.wait([waiting_call])
    await asyncio.sleep(0)
    assert waiting_call.cancelled()
    assert not lock.locked()

"""A lease saves work: of all processes only the holder does it. It is no lock: at times two processes may hold it."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog
from pymongo.errors import DuplicateKeyError

from livestream_server.mongo import failures
from livestream_server.mongo.client import Database
from livestream_server.protocols import Clock

RELEASE_SECONDS = 1.0

_log = structlog.get_logger("livestream.lease")


class Lease:
    """One named lease, asked for by this process."""

    def __init__(self, database: Database, name: str, life: timedelta) -> None:
        self._leases = database["leases"]
        self._name = name
        self._life = life
        self._holder = secrets.token_hex(8)

    async def acquire(self, now: datetime) -> bool:
        """Take the lease, or keep it, for another life from `now`; False if another process holds it."""
        values = {"$set": {"holder": self._holder, "until": now + self._life}}
        kept = await self._leases.update_one({"_id": self._name, "holder": self._holder}, values)
        if kept.matched_count:
            return True
        try:
            await self._leases.update_one({"_id": self._name, "until": {"$lte": now}}, values, upsert=True)
        except DuplicateKeyError:  # it is there, and not over
            return False
        return True

    async def release(self) -> None:
        """Let another process have it at once."""
        await self._leases.delete_one({"_id": self._name, "holder": self._holder})

    async def take_turns(self, work: Callable[[], Awaitable[object]], clock: Clock, *, every: timedelta) -> None:
        """Do `work` again and again while this process holds the lease, until cancelled.

        Whatever fails is logged, and tried again at the next turn: the database may be away for a while.
        """
        try:
            while True:
                try:
                    if await self.acquire(clock()):
                        await work()
                except Exception as error:  # noqa: BLE001 - see above
                    _log.warning("the turn failed", lease=self._name, error=type(error).__name__)
                await asyncio.sleep(every.total_seconds())
        finally:
            await self._release_quietly()

    async def _release_quietly(self) -> None:
        try:
            with failures.deadline(RELEASE_SECONDS):
                await self.release()
        except Exception as error:  # noqa: BLE001 - the lease ends by itself
            _log.info("the lease was not released", lease=self._name, error=type(error).__name__)

"""A lease saves work: of all processes, the holder alone does it. Nothing may depend on there being only one."""

import secrets
from datetime import datetime, timedelta

from pymongo.errors import DuplicateKeyError

from livestream_server.mongo.client import Database


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

"""The health service of gRPC, whose watches end when the server stops."""

import asyncio
from typing import Any

from grpc_health.v1 import health, health_pb2

from livestream_server.transport.limits import StreamsWithoutToken


class Health(health.aio.HealthServicer):  # type: ignore[misc]  # the package has no types
    """grpcio's servicer with `end`: without it a watch lasts as long as its client likes.

    Every client that balances load has a watch open, so each stop would take the whole grace period.
    """

    def __init__(self, streams: StreamsWithoutToken) -> None:
        super().__init__()
        self._streams = streams
        self._watches: set[asyncio.Task[None]] = set()

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> None:
        """Answer with the status, now and whenever it changes, until the client leaves or the server stops."""
        async with self._streams.open(context):
            await self._watch(request, context)

    async def _watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> None:
        watch = asyncio.ensure_future(super().Watch(request, context))
        self._watches.add(watch)
        try:
            await asyncio.wait([watch])
        finally:
            watch.cancel()
            self._watches.discard(watch)
        if not watch.cancelled():  # which is a normal end to the client
            watch.result()

    def end(self) -> None:
        """End all watches. Their clients have been told that nobody serves here."""
        for each in self._watches:
            each.cancel()

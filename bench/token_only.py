"""The service's whole way of a call without a database: RenewTokens whose streams and participants come from memory.

Authentication, limits, log, metrics, rules, Agora tokens and both listeners are the real ones, put together as
`livestream_server.app` and `livestream_run.serve` do. `python -m bench.token_only GRPC_PORT HTTP_PORT` reads the
service's settings.
"""

import asyncio
import signal
import sys
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, cast

import uvloop
from bench import population

from livestream.v1.user_pb2 import UserSummary
from livestream_gateway.app import create_app
from livestream_gateway.guard import Guard
from livestream_gateway.invoker import LocalInvoker
from livestream_gateway.server import HttpServer, listen
from livestream_gateway.settings import GatewaySettings
from livestream_run import logs
from livestream_server.auth.jwt import Authenticator
from livestream_server.clock import utc_now
from livestream_server.mongo import failures
from livestream_server.participants.model import Participant
from livestream_server.protocols import Viewer
from livestream_server.settings import Settings
from livestream_server.streams.admission import Admission
from livestream_server.streams.expiry import Limits
from livestream_server.streams.model import Stream
from livestream_server.streams.service import LiveStreamServicer
from livestream_server.streams.store import from_document
from livestream_server.tokens.agora import create_token_issuer
from livestream_server.transport import limits as caller_limits
from livestream_server.transport.pipeline import Guards, Registry
from livestream_server.transport.server import GrpcServer
from livestream_server.users.presenter import present_summary
from livestream_server.vocabulary import Role

DAY = timedelta(days=1)


class Streams:
    """The streams of the population."""

    def __init__(self) -> None:
        streams = (from_document(population.stream_document(n)) for n in range(population.STREAMS))
        self._streams = {each.id: each for each in streams}

    async def get(self, stream_id: str) -> Stream:
        return self._streams[stream_id]


class Users:
    """Its hosts and viewers."""

    def __init__(self) -> None:
        users = range(population.STREAMS + population.VIEWERS)
        self._summaries = {population.user_id(n): present_summary(population.user(n)) for n in users}

    async def find_summaries_for(self, caller: str, others: Collection[str]) -> Mapping[str, UserSummary]:
        return {each: self._summaries[each] for each in (caller, *others)}

    async def require_registered(self, user_id: str) -> None:
        await self.find_summaries_for(user_id, [])


class Participants:
    """A participant for everyone, everywhere."""

    async def admit(
        self, stream_id: str, _creator: str, viewer: Viewer, departures_until: datetime | None, now: datetime
    ) -> Participant:
        return await self.renew(stream_id, viewer.user, Role.AUDIENCE, departures_until, now, invited=viewer.role)

    async def renew(
        self,
        _stream_id: str,
        user: str,
        role: Role,
        _departures_until: datetime | None,
        now: datetime,
        **_: Role,
    ) -> Participant:
        return Participant(user, role, int(user[-8:], 16) + 1, now)


class Images:
    """The default image."""

    def url(self, _key: str | None) -> str:
        return "https://media.example.com/thumbnails/default.webp"


async def serve(settings: Settings, grpc_port: int, http_port: int) -> None:
    """Serve until SIGTERM."""
    wrapped = await registry(settings)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    grpc_server = GrpcServer(wrapped.handlers, settings)
    grpc_server.listen(f"127.0.0.1:{grpc_port}")
    await grpc_server.start()
    gateway = GatewaySettings()
    app = create_app(LocalInvoker(wrapped.handlers), settings=gateway, ready=lambda: True, media_directory=None)
    http_server = HttpServer(Guard(app, gateway), listen("127.0.0.1", http_port, reuse_port=False), gateway)
    await http_server.start()
    await stop.wait()
    await http_server.stop(0)
    await grpc_server.stop()


async def registry(settings: Settings) -> Registry:
    """The service's wrapped handlers, with everything real but the stores."""
    auth = Authenticator(settings.jwt)
    await auth.start()
    wrapped = Registry(
        Guards(
            authenticate=auth.authenticate,
            translate=failures.to_service_error,
            database_deadline=failures.deadline,
            max_in_flight=settings.max_in_flight,
            max_deadline=settings.max_deadline_seconds,
            max_streams=settings.max_watchers,
            slow_seconds=settings.slow_watcher_seconds,
            limits=caller_limits.Limits.of(settings),
        )
    )
    nothing = cast("Any", None)  # what a free stream without bans never asks
    streams, users = cast("Any", Streams()), cast("Any", Users())
    servicer = LiveStreamServicer(
        streams=streams,
        participants=cast("Any", Participants()),
        users=users,
        admission=Admission(streams, users, nothing, nothing),
        thumbnails=cast("Any", Images()),
        tokens=create_token_issuer(settings.agora),
        limits=Limits(DAY, DAY, DAY, DAY, DAY),
        clock=utc_now,
    )
    wrapped.add("livestream.v1.LiveStreamService", servicer)
    return wrapped


def main() -> None:
    settings = Settings()
    logs.configure(settings)
    uvloop.run(serve(settings, *map(int, sys.argv[1:])))


if __name__ == "__main__":
    main()

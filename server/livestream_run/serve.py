"""One worker: the gRPC server and the gateway on one event loop, from start to graceful stop."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import structlog
from grpc import ChannelConnectivity

from livestream_client.channel import TlsFiles, channel_options
from livestream_gateway.app import create_app
from livestream_gateway.docs.app import docs_routes
from livestream_gateway.guard import Guard
from livestream_gateway.invoker import ChannelInvoker, Invoker, LocalInvoker
from livestream_gateway.server import HttpServer, listen
from livestream_gateway.settings import GatewaySettings
from livestream_run import memory
from livestream_run.addresses import Address
from livestream_run.operations import Report
from livestream_server.app import open_service
from livestream_server.images.pool import DecoderPool
from livestream_server.settings import Settings
from livestream_server.transport.server import GrpcServer

GATEWAY_GRACE_SECONDS = 10.0
REPORT_EVERY = 1.0

_log = structlog.get_logger("livestream.run")


@dataclass(frozen=True, slots=True)
class Bound:
    """Where a worker really listens: port 0 has become a number."""

    grpc: Address | None
    http: Address | None


async def serve(
    settings: Settings,
    *,
    grpc_address: Address | None,
    http_address: Address | None,
    share_ports: bool = False,
    started: Callable[[Bound], Awaitable[None]] | None = None,
    report: Callable[[Report], None] = lambda _report: None,
    decoders: DecoderPool | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; then drain, finish what is in flight, and return.

    `started` is awaited once, when both listeners take calls. `report` is told every second how things are. `decoders`
    are shared with other workers.
    """
    stop = _stop_on_signals()
    grpc_server: GrpcServer | None = None
    http_server: HttpServer | None = None

    async def on_ready(ready: bool) -> None:
        if grpc_server:
            await grpc_server.set_ready(ready=ready)

    def told() -> Report:
        return {
            "ready": service.ready and not stop.is_set(),
            "stopping": stop.is_set(),
            "database": _word(works=service.ready),
            "keySet": _word(works=service.keys_known()),
        }

    opening = open_service(settings, on_ready=on_ready, decoders=decoders)
    async with opening as service, _reporting(report, told) as tell:
        bound_grpc = bound_http = None
        if grpc_address:
            grpc_server = GrpcServer(service.handlers, settings, reuse_port=share_ports)
            bound_grpc = replace(grpc_address, port=grpc_server.listen(str(grpc_address)))
            await grpc_server.start()
            await grpc_server.set_ready(ready=service.ready)
        if http_address:
            http_server, bound_http = _gateway(
                LocalInvoker(service.handlers),
                http_address,
                ready=lambda: service.ready and not stop.is_set(),
                media=None if settings.media.s3_bucket else settings.media.directory,
                share_port=share_ports,
            )
            await http_server.start()
        memory.collect_rarely()
        _log.info("serving", grpc=str(bound_grpc), http=str(bound_http), engine=settings.engine)
        if started:
            await started(Bound(bound_grpc, bound_http))
        await stop.wait()
        tell()
        _log.info("stopping")
        await (grpc_server.drain() if grpc_server else asyncio.sleep(settings.drain_seconds))
        service.end_streams()
        async with asyncio.TaskGroup() as group:
            if http_server:
                group.create_task(http_server.stop(settings.grace_seconds))
            if grpc_server:
                group.create_task(grpc_server.stop())
    _log.info("stopped")


async def serve_gateway(
    target: str,
    *,
    http_address: Address,
    tls: TlsFiles | None = None,
    share_port: bool = False,
    report: Callable[[Report], None] = lambda _report: None,
) -> None:
    """A gateway without a service: every call goes to `target` over one channel. Serves until SIGTERM or SIGINT.

    `report` is told every second how things are.
    """
    stop = _stop_on_signals()
    options = channel_options(target)
    async with (
        grpc.aio.secure_channel(target, tls.credentials(), options)
        if tls
        else grpc.aio.insecure_channel(target, options)
    ) as channel:

        def works() -> bool:
            # The service config asks for health checks, so a service that cannot work is not READY here.
            return channel.get_state(try_to_connect=True) is ChannelConnectivity.READY

        def told() -> Report:
            return {
                "ready": works() and not stop.is_set(),
                "stopping": stop.is_set(),
                "service": _word(works=works()),
            }

        server, bound = _gateway(
            ChannelInvoker(channel),
            http_address,
            ready=lambda: not stop.is_set() and works(),
            media=None,
            share_port=share_port,
        )
        async with _reporting(report, told) as tell:
            await server.start()
            memory.collect_rarely()
            _log.info("serving", http=str(bound), target=target)
            await stop.wait()
            tell()
            await server.stop(GATEWAY_GRACE_SECONDS)


@asynccontextmanager
async def _reporting(report: Callable[[Report], None], told: Callable[[], Report]) -> AsyncIterator[Callable[[], None]]:
    """Report every second while the block runs; what it is given reports at once."""

    def tell() -> None:
        try:
            report(told())
        except OSError as error:  # no room in the temporary directory; who does not report is not ready
            _log.warning("not reported", cause=type(error).__name__)

    async def repeat() -> None:
        while True:
            tell()
            await asyncio.sleep(REPORT_EVERY)

    task = asyncio.create_task(repeat())
    try:
        yield tell
    finally:
        task.cancel()


def _word(*, works: bool) -> str:
    return "ok" if works else "unavailable"


def _gateway(
    invoker: Invoker, address: Address, *, ready: Callable[[], bool], media: Path | None, share_port: bool
) -> tuple[HttpServer, Address]:
    """The gateway behind its guard, not started yet, and where it listens."""
    settings = GatewaySettings()
    app = create_app(invoker, settings=settings, ready=ready, media_directory=media, extra=docs_routes())
    sock = listen(address.host, address.port, reuse_port=share_port)
    return HttpServer(Guard(app, settings), sock, settings), replace(address, port=sock.getsockname()[1])


def _stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    return stop

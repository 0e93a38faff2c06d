"""One worker: the gRPC server and the gateway on one event loop, from start to graceful stop."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import structlog

from livestream_gateway.app import create_app
from livestream_gateway.docs.app import docs_routes
from livestream_gateway.guard import Guard
from livestream_gateway.invoker import ChannelInvoker, Invoker, LocalInvoker
from livestream_gateway.server import HttpServer, listen
from livestream_gateway.settings import GatewaySettings
from livestream_run.addresses import Address
from livestream_server.app import open_service
from livestream_server.settings import Settings
from livestream_server.transport.server import GrpcServer

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
    started: Callable[[Bound], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or `stop`; then drain, finish what is in flight, and return."""
    stop = stop or _stop_on_signals()
    async with AsyncExitStack() as stack:
        grpc_server: GrpcServer | None = None

        async def on_ready(ready: bool) -> None:
            if grpc_server:
                await grpc_server.set_ready(ready=ready)

        service = await stack.enter_async_context(open_service(settings, on_ready=on_ready))
        bound_grpc = bound_http = None
        if grpc_address:
            grpc_server = GrpcServer(service.handlers, settings, reuse_port=share_ports)
            bound_grpc = Address(grpc_address.host, grpc_server.listen(str(grpc_address)))
            await grpc_server.start()
            await grpc_server.set_ready(ready=service.ready)
        http_server: HttpServer | None = None
        if http_address:
            media = None if settings.media.s3_bucket else settings.media.directory
            http_server = gateway(
                LocalInvoker(service.handlers),
                http_address,
                ready=lambda: service.ready and not stop.is_set(),
                media=media,
                share_ports=share_ports,
            )
            await http_server.start()
            bound_http = Address(http_address.host, http_server.port)
        bound = Bound(bound_grpc, bound_http)
        _log.info("serving", grpc=str(bound.grpc), http=str(bound.http))
        if started:
            started(bound)
        await stop.wait()
        _log.info("stopping")
        await _stop(grpc_server, http_server, settings)
    _log.info("stopped")


async def _stop(grpc_server: GrpcServer | None, http_server: HttpServer | None, settings: Settings) -> None:
    if grpc_server:
        await grpc_server.drain()
    else:
        await asyncio.sleep(settings.drain_seconds)
    async with asyncio.TaskGroup() as group:
        if http_server:
            group.create_task(http_server.stop(settings.grace_seconds))
        if grpc_server:
            group.create_task(grpc_server.stop())


def gateway(
    invoker: Invoker, address: Address, *, ready: Callable[[], bool], media: Path | None, share_ports: bool
) -> HttpServer:
    """The gateway on an address of its own, behind its guard."""
    settings = GatewaySettings()
    app = create_app(invoker, settings=settings, ready=ready, media_directory=media, extra=docs_routes())
    sock = listen(address.host, address.port, reuse_port=share_ports)
    return HttpServer(Guard(app, settings), sock, settings)


async def serve_gateway(target: str, *, http_address: Address, share_ports: bool = False) -> None:
    """A gateway without a service: every call goes to `target` over one channel. Serves until SIGTERM or SIGINT."""
    stop = _stop_on_signals()
    async with grpc.aio.insecure_channel(target) as channel:
        server = gateway(
            ChannelInvoker(channel),
            http_address,
            ready=lambda: not stop.is_set() and channel.get_state() != grpc.ChannelConnectivity.TRANSIENT_FAILURE,
            media=None,
            share_ports=share_ports,
        )
        await server.start()
        _log.info("serving", http=str(http_address), target=target)
        await stop.wait()
        await server.stop(10.0)


def _stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    return stop

"""The gateway's HTTP/1.1 server: uvicorn on the caller's loop, without its signal handlers.

It serves on a socket that the caller has opened with `listen`, so that several processes may share a port.
"""

import asyncio
import socket

import uvicorn
from starlette.types import ASGIApp

from livestream_gateway.connection import Connection, ConnectionConfig
from livestream_gateway.settings import GatewaySettings


def listen(host: str, port: int, *, reuse_port: bool) -> socket.socket:
    """A TCP socket that listens on `host` (a name or an address; empty for every interface) and `port` (0 for any).

    `reuse_port` lets other sockets of this user share the port (SO_REUSEPORT). Raises OSError.
    """
    (family, _, _, _, address), *_ = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
    )
    return socket.create_server(address[:2], family=family, reuse_port=reuse_port)


class HttpServer:
    """Serves an ASGI app on a listening socket, which it then owns. Starts once, stops once."""

    def __init__(self, app: ASGIApp, sock: socket.socket, settings: GatewaySettings) -> None:
        self._config = ConnectionConfig(app, settings)
        self._server = _Server(self._config)
        self._sock = sock

    async def start(self) -> None:
        """Returns when connections are being accepted."""
        self._config.load()
        self._server.lifespan = self._config.lifespan_class(self._config)
        await self._server.startup([self._sock])
        self._ticking = asyncio.create_task(self._server.main_loop())

    async def stop(self, grace: float) -> None:
        """Accepts nothing more, gives the requests in flight `grace` seconds, then cancels them.

        A connection on which nothing is being answered is closed at once.
        """
        self._server.should_exit = True
        await self._ticking
        self._config.timeout_graceful_shutdown = grace  # type: ignore[assignment]  # goes to asyncio.wait_for
        await self._server.shutdown([self._sock])
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        await asyncio.gather(*self._server.server_state.tasks, return_exceptions=True)


class _Server(uvicorn.Server):
    config: ConnectionConfig

    async def on_tick(self, counter: int) -> bool:
        now = asyncio.get_running_loop().time()
        for connection in list(self.server_state.connections):
            if isinstance(connection, Connection):
                connection.enforce(now)
        self.config.connection_limit.thin(now)
        self.config.discard_budget.refill()
        return await super().on_tick(counter)

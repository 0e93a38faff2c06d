"""The gRPC server: its methods, health, reflection and certificates."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from itertools import groupby
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from livestream_server.settings import Settings
from livestream_server.transport.certificates import build_server_credentials
from livestream_server.transport.engine import create_server
from livestream_server.transport.health import Health
from livestream_server.transport.limits import StreamsWithoutToken
from livestream_server.transport.pipeline import Handler
from livestream_server.transport.reading import ReadsWithoutToken, read_late

_log = structlog.get_logger("livestream.server")

_REFLECTION = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")


class GrpcServer:
    """Serves wrapped handlers, health and, if the settings say so, reflection."""

    def __init__(self, handlers: Mapping[str, Handler], settings: Settings, *, reuse_port: bool = False) -> None:
        self._settings = settings
        self._services = sorted({path.split("/")[1] for path in handlers})
        self._server = create_server(settings, reuse_port=reuse_port)
        late = settings.engine == "grpcio"  # the other one reads messages before it tells of their calls
        for service, paths in groupby(sorted(handlers), key=lambda path: path.split("/")[1]):
            methods = {path.split("/")[2]: handlers[path] for path in paths}
            if late:
                methods = {name: read_late(each) for name, each in methods.items()}
            self._server.add_registered_method_handlers(service, methods)
        self._streams = StreamsWithoutToken()
        self._health = Health(self._streams)
        health_pb2_grpc.add_HealthServicer_to_server(
            self._health, ReadsWithoutToken(self._server) if late else self._server
        )
        if settings.reflection:
            self._add_reflection()

    def _add_reflection(self) -> None:
        """Both versions: the package serves v1alpha only (grpc/grpc#38576), and v1 differs in nothing but its name."""
        from grpc_reflection.v1alpha import reflection, reflection_pb2  # noqa: PLC0415 - 3 MiB, for those who want it

        names = [*self._services, health.SERVICE_NAME, *_REFLECTION]
        servicer = reflection.aio.ReflectionServicer(names)

        async def info(requests: Any, context: Any) -> AsyncIterator[Any]:
            async with self._streams.open(context):
                async for each in servicer.ServerReflectionInfo(requests, context):
                    yield each

        handler = grpc.stream_stream_rpc_method_handler(
            info,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler}) for name in _REFLECTION]
        )

    def listen(self, address: str) -> int:
        """Bind `host:port` and answer with the port.

        Raises OSError if the address is taken, UnusableSetting if the certificates cannot be used.
        """
        credentials = build_server_credentials(self._settings)
        try:
            if credentials:
                return self._server.add_secure_port(address, credentials)
            return self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}") from error

    async def start(self) -> None:
        """Take calls. Health stays NOT_SERVING until `set_ready(True)`."""
        await self.set_ready(ready=False)
        await self._server.start()

    async def set_ready(self, *, ready: bool) -> None:
        """Tell balancers, for the whole server and for each service."""
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *self._services):
            await self._health.set(name, status)

    async def drain(self) -> None:
        """Say NOT_SERVING for good, and go on serving while balancers notice."""
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(self._settings.drain_seconds)

    async def stop(self) -> None:
        """Refuse new calls; let those in flight finish within the grace time."""
        self._health.end()
        await self._server.stop(self._settings.grace_seconds)

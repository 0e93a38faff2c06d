"""What the tests share: settings that work, tokens, users, and the service in this process or in others."""

import os
import random
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import SecretStr
from pymongo.monitoring import CommandListener

from livestream.v1.access_service_pb2_grpc import AccessServiceStub
from livestream.v1.live_stream_service_pb2_grpc import LiveStreamServiceStub
from livestream.v1.user_pb2 import UserSummary
from livestream.v1.user_service_pb2 import PutUserRequest
from livestream.v1.user_service_pb2_grpc import UserServiceStub
from livestream_run.dev.users import USERS
from livestream_server.app import Service, open_service
from livestream_server.auth.minting import mint
from livestream_server.clock import utc_now
from livestream_server.settings import AgoraSettings, JwtSettings, MediaSettings, MongoSettings, Settings
from livestream_server.transport.server import GrpcServer

JWT_SECRET = "a-secret-of-the-tests-which-is-long-enough"
APP_ID = "970ca35de60c44645bbae8a215061b33"
CERTIFICATE = "5cfd2fd1755d40ecb72977518be15d3b"
NOTIFICATION_SECRET = "a-secret-from-the-console"
ISSUER, AUDIENCE = "livestream-tests", "livestream"
MORE_THAN_ANY_TEST = "1000000/second"
GENEROUS: Mapping[str, Any] = {
    **dict.fromkeys(
        ("read_rate", "write_rate", "create_rate", "join_rate", "upload_rate", "failed_authentication_rate"),
        MORE_THAN_ANY_TEST,
    ),
    "internal_rate": MORE_THAN_ANY_TEST,
    "caller_share": 1.0,
    "watchers_per_user": 2_000,
    "watchers_per_user_and_stream": 2_000,
}
"""Settings for tests, which do as one user what many do; those of the limits leave them out."""
IDS: Mapping[str, str] = {each.username: each.id for each in USERS}


def token(name: str, scope: str = "") -> str:
    """A JWT for a demo user, or for whoever has the id `name`."""
    return mint(JWT_SECRET, IDS.get(name, name), issuer=ISSUER, audience=AUDIENCE, scope=scope)


def metadata(name: str, scope: str = "") -> tuple[tuple[str, str], ...]:
    """Call metadata with that token."""
    return (("authorization", f"Bearer {token(name, scope)}"),)


def settings_for(mongo_uri: str, database: str, media: Path, **changes: Any) -> Settings:
    """Settings of a service on that database; `changes` go to `Settings`."""
    values: dict[str, Any] = {
        "environment": "production",
        "reflection": True,
        "drain_seconds": 0.0,
        "user_cache_seconds": 0.0,
        **GENEROUS,
        "mongo": MongoSettings(uri=SecretStr(mongo_uri), database=database),
        "agora": AgoraSettings(app_id=APP_ID, app_certificate=SecretStr(CERTIFICATE)),
        "jwt": JwtSettings(secret=SecretStr(JWT_SECRET), issuer=ISSUER, audience=AUDIENCE),
        "media": MediaSettings(directory=media),
    }
    return Settings(**values | changes)


def environment_for(mongo_uri: str, database: str, media: Path, engine: str = "grpcio") -> dict[str, str]:
    """The same settings as environment variables, for a service of its own process."""
    return {
        "MONGODB_URI": mongo_uri,
        "MONGODB_DATABASE": database,
        "AGORA_APP_ID": APP_ID,
        "AGORA_APP_CERTIFICATE": CERTIFICATE,
        "AGORA_NOTIFICATION_SECRET": NOTIFICATION_SECRET,
        "JWT_SECRET": JWT_SECRET,
        "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": AUDIENCE,
        "MEDIA_DIRECTORY": str(media),
        "LIVESTREAM_ENGINE": engine,
        "LIVESTREAM_REFLECTION": "true",
        "LIVESTREAM_DRAIN_SECONDS": "0",
        "LIVESTREAM_LOG_FORMAT": "json",
        **{f"LIVESTREAM_{name.upper()}": str(value) for name, value in GENEROUS.items()},
    }


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now: datetime | None = None

    def __call__(self) -> datetime:
        return self.now or utc_now()


@dataclass(slots=True)
class ServiceEnvironment:
    """A service with its gRPC server in this process, and stubs that reach it over a real channel."""

    service: Service
    target: str
    channel: grpc.aio.Channel
    clock: Clock
    streams: LiveStreamServiceStub
    users: UserServiceStub
    access: AccessServiceStub


@asynccontextmanager
async def open_environment(
    settings: Settings, listeners: Sequence[CommandListener] = ()
) -> AsyncIterator[ServiceEnvironment]:
    """Start a service with the demo users; stop it at the end."""
    clock = Clock()
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(open_service(settings, clock=clock, listeners=listeners))
        server = GrpcServer(service.handlers, settings)
        port = server.listen("127.0.0.1:0")
        await server.start()
        await server.set_ready(ready=True)
        stack.push_async_callback(server.stop)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        env = ServiceEnvironment(
            service,
            f"127.0.0.1:{port}",
            channel,
            clock,
            LiveStreamServiceStub(channel),
            UserServiceStub(channel),
            AccessServiceStub(channel),
        )
        for name, user_id in IDS.items():
            await put_user(env.users, user_id, name)
        yield env


async def put_user(stub: Any, user_id: str, username: str, at: int = 1_735_725_600) -> None:
    """Record a user, as the user service would."""
    await stub.PutUser(user_request(user_id, username, at), metadata=metadata("ayse", "users:write"), timeout=10)


def user_request(user_id: str, username: str, at: int = 1_735_725_600) -> PutUserRequest:
    """A user as the user service would send them, changed at `at` (seconds since 1970)."""
    user = UserSummary(
        id=user_id, username=username, name=username.title(), surname="Demir", availability_status="available"
    )
    return PutUserRequest(user=user, updated_at=Timestamp(seconds=at))


class LiveService:
    """The whole system in processes of its own, as `livestream-server serve` starts it."""

    def __init__(self, environment: Mapping[str, str], *, workers: int = 1) -> None:
        grpc_port, http_port = free_port(), free_port()
        self.grpc_target = f"127.0.0.1:{grpc_port}"
        self.http_url = f"http://127.0.0.1:{http_port}"
        self.log: list[bytes] = []
        self._workers = workers
        self._environment = {**os.environ, **environment, "MEDIA_BASE_URL": f"{self.http_url}/media"}
        self._arguments = ["--grpc", self.grpc_target, "--http", f"127.0.0.1:{http_port}", "--workers", str(workers)]

    def start(self) -> None:
        """Start, and wait until every worker serves and one is ready."""
        served = self._served()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "livestream_run", "serve", *self._arguments],
            env=self._environment,
            stderr=subprocess.PIPE,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        deadline = time.monotonic() + 30
        while self._served() < served + self._workers or not self._ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(b"".join(self.log).decode())
            time.sleep(0.05)

    def _read(self) -> None:
        assert self.process.stderr
        with self.process.stderr as lines:
            self.log.extend(lines)

    def _served(self) -> int:
        return sum(b'"event":"serving"' in each for each in self.log)

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.http_url}/readyz", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def stop(self) -> int:
        """Stop gracefully; answers with the exit code."""
        self.process.terminate()
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self._reader.join(5)
        return code

    def worker_pids(self) -> list[int]:
        """The processes that answer calls; the main process itself, if it is the only one."""
        if self._workers == 1:
            return [self.process.pid]
        return [each for each in children_of(self.process.pid) if not is_forkserver(each)]

    def forkserver_pid(self) -> int:
        """The process that forks the decoders of images."""
        return next(each for each in children_of(self.process.pid) if is_forkserver(each))

    def register(self, users: Mapping[str, str] = IDS) -> None:
        """Record users by username and id."""
        with grpc.insecure_channel(self.grpc_target) as channel:
            stub = UserServiceStub(channel)
            for name, user_id in users.items():
                request = user_request(user_id, name)
                stub.PutUser(request, metadata=metadata("ayse", "users:write"), timeout=10, wait_for_ready=True)

    def token(self, name: str, scope: str = "") -> str:
        """A JWT that the system accepts."""
        return token(name, scope)

    def user_id(self, name: str) -> str:
        """The id of a demo user."""
        return IDS[name]


def children_of(pid: int) -> list[int]:
    """The processes that `pid` started and that have not been waited for."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_forkserver(pid: int) -> bool:
    """Whether that process is the forkserver of the decoders, or one of these."""
    return b"livestream_server.images.forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()


@contextmanager
def running(service: LiveService) -> Iterator[LiveService]:
    """Start the system with the demo users; stop it at the end."""
    try:
        service.start()
        service.register()
        yield service
    finally:
        service.stop()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now: none that the system gives to clients, who would take it meanwhile."""
    while True:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", random.randint(15_000, 32_000)))
            return int(probe.getsockname()[1])

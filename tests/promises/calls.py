"""What the promises share: many connections to one address, patient callers, and a load that remembers its answers."""

import asyncio
import itertools
import secrets
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from prometheus_client.parser import text_string_to_metric_families
from pymongo.database import Database

from livestream.v1.live_stream_pb2 import ROLE_AUDIENCE, ROLE_HOST, LiveStream, Role
from livestream.v1.live_stream_service_pb2 import CreateStreamRequest, JoinStreamRequest, JoinStreamResponse
from livestream.v1.live_stream_service_pb2_grpc import LiveStreamServiceStub
from livestream.v1.user_service_pb2_grpc import UserServiceStub
from tests.support.environment import LiveService, metadata, put_user

T = TypeVar("T")

# A caller who waits, and comes back soon after the other side has gone.
OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 300),
)
TRANSIENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class Line:
    """A connection of its own, with the stubs that a promise needs."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.channel = channel
        self.streams = LiveStreamServiceStub(channel)
        self.users = UserServiceStub(channel)
        self.health = HealthStub(channel)

    async def create(self, who: str, *, seconds: float | None = 10, **fields: Any) -> LiveStream:
        request = CreateStreamRequest(**{"title": "Yeni ürün tanıtımı", **fields})
        answer = await self.streams.CreateStream(request, metadata=metadata(who), timeout=seconds)
        return answer.live_stream

    async def create_patiently(self, who: str, **fields: Any) -> LiveStream:
        """Like `create`, again while the decoders have no place: what was cut a moment ago may still hold one."""
        for _ in range(100):
            try:
                return await self.create(who, **fields)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                    raise
            await asyncio.sleep(0.1)
        raise TimeoutError("the decoders have no place for ten seconds")

    async def join(
        self, who: str, stream_id: str, role: Role.ValueType = ROLE_AUDIENCE, *, seconds: float = 10
    ) -> JoinStreamResponse:
        request = JoinStreamRequest(live_stream_id=stream_id, role=role)
        return await self.streams.JoinStream(request, metadata=metadata(who), timeout=seconds)

    async def live(self, who: str) -> LiveStream:
        """A new active stream."""
        stream = await self.create(who)
        return (await self.join(who, stream.id, ROLE_HOST)).live_stream

    async def serving(self) -> bool:
        """Whether health says SERVING."""
        try:
            answer = await self.health.Check(HealthCheckRequest(), timeout=2)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == HealthCheckResponse.SERVING)

    async def not_serving(self) -> bool:
        """Whether health says anything else, or nothing."""
        return not await self.serving()


@asynccontextmanager
async def lines(
    target: str, count: int, credentials: grpc.ChannelCredentials | None = None
) -> AsyncIterator[Sequence[Line]]:
    """`count` connections to `target`; with SO_REUSEPORT the kernel spreads them over the workers."""
    async with AsyncExitStack() as stack:
        opened = [
            grpc.aio.secure_channel(target, credentials, OPTIONS)
            if credentials
            else grpc.aio.insecure_channel(target, OPTIONS)
            for _ in range(count)
        ]
        for each in opened:
            await stack.enter_async_context(each)
        await asyncio.wait_for(asyncio.gather(*(each.channel_ready() for each in opened)), 30)
        yield [Line(each) for each in opened]


async def register(line: Line, count: int) -> list[str]:
    """Ids of `count` new users."""
    users = [secrets.token_hex(12) for _ in range(count)]
    for start in range(0, count, 50):
        some = users[start : start + 50]
        await asyncio.gather(*(put_user(line.users, each, f"p-{each[:8]}") for each in some))
    return users


async def to_status_code(call: Awaitable[Any]) -> grpc.StatusCode:
    """How the call ends."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def until(condition: Callable[[], Awaitable[bool] | bool], seconds: float = 30) -> None:
    """Wait until `condition` holds; TimeoutError if it never does."""
    async with asyncio.timeout(seconds):
        while True:
            held = condition()
            if held if isinstance(held, bool) else await held:
                return
            await asyncio.sleep(0.05)


async def until_answered(call: Callable[[], Awaitable[T]], seen: Counter[grpc.StatusCode]) -> T:
    """Repeat the call while the service is away; counts how the attempts ended, raises what no wait mends."""
    while True:
        try:
            answer = await call()
        except grpc.aio.AioRpcError as error:
            seen[error.code()] += 1
            if error.code() not in TRANSIENT:
                raise
            await asyncio.sleep(0.05)
        else:
            seen[grpc.StatusCode.OK] += 1
            return answer


def connections(service: LiveService, address: str = "") -> Mapping[int, int]:
    """Established connections of every worker to `address`, by process id; those of gRPC unless another is given."""
    port = int((address or service.grpc_target).rpartition(":")[2])
    inodes = set()
    for row in [*Path("/proc/net/tcp").read_text().splitlines(), *Path("/proc/net/tcp6").read_text().splitlines()]:
        columns = row.split()
        if columns[1].endswith(f":{port:04X}") and columns[3] == "01":
            inodes.add(f"socket:[{columns[9]}]")
    return {
        pid: sum(str(each.readlink()) in inodes for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink())
        for pid in service.worker_pids()
    }


@dataclass
class Load:
    """Callers that create and join until told to stop, with a key per stream, and remember what was acknowledged."""

    lines: Sequence[Line]
    creators: Sequence[str]
    viewers: Sequence[str]
    live_stream_id: str
    seconds: float = 5
    streams: dict[tuple[str, str], str] = field(default_factory=dict)
    uids: dict[str, int] = field(default_factory=dict)
    seen: Counter[grpc.StatusCode] = field(default_factory=Counter)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Load while the block runs; at its end every caller gets the answer to its last call."""
        stop = asyncio.Event()
        viewers = iter(self.viewers)
        async with asyncio.TaskGroup() as group:
            for creator, line in zip(self.creators, itertools.cycle(self.lines), strict=False):
                group.create_task(self._caller(line, creator, viewers, stop))
            try:
                yield
            finally:
                stop.set()

    async def _caller(self, line: Line, creator: str, viewers: Any, stop: asyncio.Event) -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            key = f"key-{number}"
            made = await until_answered(
                lambda key=key: line.create(creator, request_id=key, seconds=self.seconds), self.seen
            )
            self.streams[creator, key] = made.id
            if viewer := next(viewers, None):
                joined = await until_answered(
                    lambda viewer=viewer: line.join(viewer, self.live_stream_id, seconds=self.seconds), self.seen
                )
                self.uids[viewer] = joined.agora.uid

    @property
    def interrupted(self) -> int:
        """Attempts that got no answer of the service."""
        return sum(self.seen[code] for code in TRANSIENT)

    def judged(self, database: Database[dict[str, Any]]) -> Mapping[str, int]:
        """What the database has against what was acknowledged: all should be 0."""
        stored = Counter((str(each["creator"]), each["request_id"]) for each in _made(database, self.creators))
        ids = {str(each["_id"]) for each in _made(database, self.creators)}
        found = database["participants"].find({"role": "audience"})
        participants = {str(each["user"]): each["uid"] for each in found}
        return {
            "streams lost": sum(each not in ids for each in self.streams.values()),
            "streams doubled": sum(count - 1 for count in stored.values()) + len(ids - set(self.streams.values())),
            "uids lost": sum(participants.get(viewer) != uid for viewer, uid in self.uids.items()),
        }


def _made(database: Database[dict[str, Any]], creators: Collection[str]) -> list[dict[str, Any]]:
    return [
        each for each in database["streams"].find({"request_id": {"$exists": True}}) if str(each["creator"]) in creators
    ]


@asynccontextmanager
async def started(service: LiveService) -> AsyncIterator[LiveService]:
    """The system with the demo users, while the loop of the test goes on; stopped at the end, if it still runs."""
    await asyncio.to_thread(service.start)
    try:
        await asyncio.to_thread(service.register)
        yield service
    finally:
        await asyncio.to_thread(service.stop)


def metric(address: str, name: str, **labels: str) -> float:
    """The sum of the samples of that name which carry these labels, as Prometheus would read them."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    samples = [each for family in families for each in family.samples if each.name == name]
    return sum(each.value for each in samples if labels.items() <= each.labels.items())

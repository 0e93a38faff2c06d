"""One caller who takes all they can, from a process of their own: `python -m tests.promises.attacker` and JSON.

It ends by itself, and prints how its calls ended.
"""

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

import grpc

from livestream.v1.live_stream_pb2 import ROLE_AUDIENCE
from livestream.v1.live_stream_service_pb2 import JoinStreamRequest
from livestream.v1.live_stream_service_pb2_grpc import LiveStreamServiceStub
from livestream.v1.watch_service_pb2 import WatchStreamRequest
from livestream.v1.watch_service_pb2_grpc import WatchServiceStub

CHANNEL = (("grpc.use_local_subchannel_pool", 1),)


@dataclass
class Attack:
    """What to do, and for how long."""

    kind: str
    """`http`: repeat the request on each connection; `unread`: send it once and never read; `join`, `watch`: gRPC."""
    address: str
    """host:port."""
    connections: int
    seconds: float
    authorization: str = ""
    verb: str = "GET"
    path: str = "/"
    body: str = ""
    stream: str = ""
    calls: int = 0
    """How many calls to make in all; 0 for as many as there is time for."""

    def command(self) -> list[str]:
        """The program with this attack."""
        return [sys.executable, "-m", "tests.promises.attacker", json.dumps(asdict(self))]


async def perform(attack: Attack) -> Counter[str]:
    ended: Counter[str] = Counter()
    left = [attack.calls]
    end = time.monotonic() + attack.seconds

    def more() -> bool:
        left[0] -= 1
        return time.monotonic() < end and (not attack.calls or left[0] >= 0)

    once = {"http": _http, "unread": _unread, "join": _join, "watch": _watch}[attack.kind]
    callers = [asyncio.ensure_future(once(attack, more, ended)) for _ in range(attack.connections)]
    done, pending = await asyncio.wait(callers, timeout=attack.seconds + 3)
    for each in pending:
        each.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    return ended + Counter({"error": sum(not each.cancelled() and bool(each.exception()) for each in done)})


async def _http(attack: Attack, more: Callable[[], bool], ended: Counter[str]) -> None:
    while more():
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await _http_connection(attack, more, ended)


async def _http_connection(attack: Attack, more: Callable[[], bool], ended: Counter[str]) -> None:
    reader, writer = await _opened(attack)
    try:
        while True:
            writer.write(_request(attack))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            ended[head[9:12].decode()] += 1
            await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            if b"connection: close" in head or not more():
                return
    finally:
        writer.close()


async def _unread(attack: Attack, _more: Callable[[], bool], ended: Counter[str]) -> None:
    with contextlib.suppress(OSError):
        _, writer = await _opened(attack)
        writer.write(_request(attack))
        ended["sent"] += 1
        await asyncio.sleep(attack.seconds)
        writer.close()


async def _opened(attack: Attack) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = attack.address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


def _request(attack: Attack) -> bytes:
    authorization = f"authorization: {attack.authorization}\r\n" if attack.authorization else ""
    body = f"content-type: application/json\r\ncontent-length: {len(attack.body)}\r\n" if attack.body else ""
    return f"{attack.verb} {attack.path} HTTP/1.1\r\nhost: x\r\n{authorization}{body}\r\n{attack.body}".encode()


async def _join(attack: Attack, more: Callable[[], bool], ended: Counter[str]) -> None:
    request = JoinStreamRequest(live_stream_id=attack.stream, role=ROLE_AUDIENCE)
    async with grpc.aio.insecure_channel(attack.address, CHANNEL) as channel:
        join = LiveStreamServiceStub(channel).JoinStream
        while more():
            ended[await _code(join(request, metadata=(("authorization", attack.authorization),), timeout=10))] += 1


async def _watch(attack: Attack, _more: Callable[[], bool], ended: Counter[str]) -> None:
    request = WatchStreamRequest(live_stream_id=attack.stream)

    async def watch(stub: WatchServiceStub) -> None:
        call = stub.WatchStream(request, metadata=(("authorization", attack.authorization),), timeout=attack.seconds)
        try:
            async for _ in call:
                pass
        except grpc.aio.AioRpcError as error:
            ended[error.code().name] += 1

    async with grpc.aio.insecure_channel(attack.address, CHANNEL) as channel:
        stub = WatchServiceStub(channel)
        await asyncio.gather(*(watch(stub) for _ in range(attack.calls)))


async def _code(call: Awaitable[object]) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


if __name__ == "__main__":
    print(json.dumps(asyncio.run(perform(Attack(**json.loads(sys.argv[1]))))))

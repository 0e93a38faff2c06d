"""Many watchers, as callers that do no more than they must: streams of HTTP/2 that stay open and are read."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import cast

from bench import http2
from bench.growth.asking import patient_headers
from bench.growth.stub import VIEWERS_FROM
from bench.population import stream_id, token

from livestream.v1.watch_service_pb2 import WatchStreamRequest, WatchStreamResponse

PER_CONNECTION = 100
OPEN_SECONDS = 60.0
_COMMON = patient_headers("/livestream.v1.WatchService/WatchStream", 900)


class Heard:
    """What all watchers were told so far, by kind."""

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()
        self.ended: list[bytes] = []


class Watching(asyncio.Protocol):
    """One connection with some watchers, each a pair of a user's and a stream's number."""

    def __init__(self, heard: Heard, watchers: Iterable[tuple[int, int]]) -> None:
        self._heard = heard
        self._watchers = watchers
        self._rest = b""
        self._bodies: dict[int, bytes] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own does not inherit from it
        settings = b"".join(
            key.to_bytes(2) + value.to_bytes(4)
            for key, value in ((http2.HEADER_TABLE_SIZE, 0), (http2.INITIAL_WINDOW_SIZE, http2.LARGEST_WINDOW))
        )
        window = (http2.LARGEST_WINDOW - http2.FIRST_WINDOW).to_bytes(4)
        out = [
            http2.PREFACE,
            http2.frame(http2.SETTINGS, 0, 0, settings),
            http2.frame(http2.WINDOW_UPDATE, 0, 0, window),
        ]
        for place, (user, stream) in enumerate(self._watchers):
            message = WatchStreamRequest(live_stream_id=stream_id(stream)).SerializeToString()
            head, block, body = http2.request(_COMMON, message, token(VIEWERS_FROM + user))
            number = (2 * place + 1).to_bytes(4)
            out += (head, number, block, number, body)
        self._transport.write(b"".join(out))

    def data_received(self, data: bytes) -> None:
        data, at = self._rest + data, 0
        while len(data) - at >= http2.FRAME_HEADER:
            end = at + http2.FRAME_HEADER + int.from_bytes(data[at : at + 3])
            if end > len(data):
                break
            self._frame(data[at + 3], data[at + 4], int.from_bytes(data[at + 5 : at + 9]), data[at + 9 : end])
            at = end
        self._rest = data[at:]

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == http2.DATA:
            self._read(stream, payload)
        elif kind == http2.RST_STREAM or (kind == http2.HEADERS and flags & http2.END_STREAM):
            self._heard.ended.append(payload)
        elif kind in (http2.SETTINGS, http2.PING) and not flags & http2.ACK:
            answer = payload if kind == http2.PING else b""
            self._transport.write(http2.frame(kind, http2.ACK, 0, answer))

    def _read(self, stream: int, payload: bytes) -> None:
        body = self._bodies.pop(stream, b"") + payload
        while len(body) >= 5 and len(body) >= 5 + int.from_bytes(body[1:5]):
            end = 5 + int.from_bytes(body[1:5])
            answer = WatchStreamResponse.FromString(body[5:end])
            self._heard.answers[answer.WhichOneof("event") or "heartbeat"] += 1
            body = body[end:]
        if body:
            self._bodies[stream] = body


async def _heard(heard: Heard, watchers: int) -> None:
    """So many have their snapshot. They come a connection at a time: gRPC refuses some of a thousand at once."""
    async with asyncio.timeout(OPEN_SECONDS):
        while heard.answers["snapshot"] < watchers and not heard.ended:  # noqa: ASYNC110 - as in `bench.load`
            await asyncio.sleep(0.01)


@asynccontextmanager
async def watching(port: int, watchers: int, streams: int) -> AsyncIterator[Heard]:
    """So many watchers of the first `streams` streams, all of whom have been told their snapshot."""
    heard = Heard()
    loop = asyncio.get_running_loop()
    everyone = [(user, user % streams) for user in range(watchers)]
    transports = []
    try:
        for first in range(0, watchers, PER_CONNECTION):
            some = everyone[first : first + PER_CONNECTION]
            transport, _ = await loop.create_connection(lambda some=some: Watching(heard, some), "127.0.0.1", port)
            transports.append(transport)
            await _heard(heard, first + len(some))
        yield heard
    finally:
        for each in transports:
            each.close()

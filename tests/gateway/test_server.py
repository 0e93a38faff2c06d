"""The server against peers that speak raw HTTP: well, badly, slowly, or not at all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
import pytest
from starlette.types import Receive, Scope, Send

from livestream_gateway.connection import MAX_DISCARDED_BYTES, MAX_HEADERS, MAX_PIPELINED, MAX_SMALL_PIECES
from livestream_gateway.connection_limit import RESERVED_FOR_PROBES
from livestream_gateway.guard import Guard
from livestream_gateway.server import HttpServer, listen
from livestream_gateway.settings import GatewaySettings

WAIT = 20  # seconds, for what should take less than one
GOOD = b"GET /ok HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass
class App:
    """Answers with what it was asked; `/wait` answers when `go` is set."""

    go: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    disconnected: asyncio.Event = field(default_factory=asyncio.Event)
    requests: list[tuple[str, str, bytes]] = field(default_factory=list)
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    client: str = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        if scope["path"] == "/read-late":
            self.waiting.set()
            await self.go.wait()
        if scope["path"] != "/early":
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    self.disconnected.set()
                    return
                body += message["body"]
                if not message["more_body"]:
                    break
        self.requests.append((scope["method"], scope["path"], body))
        self.headers, self.client = scope["headers"], scope["client"][0]
        if scope["path"] == "/wait":
            self.waiting.set()
            await self.go.wait()
        if scope["path"] == "/until-disconnect":
            self.waiting.set()
            assert (await receive())["type"] == "http.disconnect"
            self.disconnected.set()
            return
        answer = bytes(32 * 1024 * 1024) if scope["path"] == "/big" else f"{scope['path']} {len(body)}".encode()
        headers = [(b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Peer:
    """A client that sends whatever it is told to."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> Answer:
        async with asyncio.timeout(WAIT):
            status, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
            headers = dict(line.split(": ", 1) for line in lines)
            body = await self.reader.readexactly(int(headers["content-length"]))
        return Answer(int(status.split()[1]), headers, body)

    async def ask(self, data: bytes) -> Answer:
        await self.send(data)
        return await self.answer()

    async def closed(self) -> bytes:
        """What arrives until the server closes the connection."""
        async with asyncio.timeout(WAIT):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    async def drip(self, data: bytes) -> bytes:
        """What arrives until the server closes the connection, while it is sent `data` again and again."""
        closed = asyncio.create_task(self.closed())
        while not closed.done():
            self.writer.write(data)
            await asyncio.sleep(0.02)
        return closed.result()


@dataclass
class Running:
    server: HttpServer
    app: App
    port: int
    peers: list[Peer] = field(default_factory=list)

    async def peer(self) -> Peer:
        self.peers.append(Peer(*await asyncio.open_connection("127.0.0.1", self.port)))
        return self.peers[-1]


@asynccontextmanager
async def serving(**settings: object) -> AsyncIterator[Running]:
    settings = {"request_timeout_seconds": WAIT, "idle_timeout_seconds": WAIT} | settings
    chosen = GatewaySettings(**settings)
    app, sock = App(), listen("127.0.0.1", 0, reuse_port=False)
    running = Running(HttpServer(Guard(app, chosen), sock, chosen), app, sock.getsockname()[1])
    await running.server.start()
    try:
        yield running
    finally:
        app.go.set()
        for peer in running.peers:
            peer.writer.close()
        async with asyncio.timeout(WAIT):
            await running.server.stop(5)


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Running]:
    async with serving() as running:
        yield running


@pytest.fixture
def running(server: Running) -> Running:
    """One server for many tests; the app has seen nothing yet."""
    vars(server.app).update(vars(App()))
    return server


def refused(answer: Answer, *statuses: int) -> None:
    envelope = orjson.loads(answer.body)
    assert answer.status in statuses
    assert answer.headers["connection"] == "close"
    assert answer.headers["content-type"] == "application/json"
    assert envelope.keys() == {"isSuccess", "statusCode", "data", "errors", "timestamp"}
    assert (envelope["isSuccess"], envelope["statusCode"], envelope["data"]) == (False, answer.status, None)
    assert envelope["errors"]
    assert len(answer.body) <= 1024


def request(
    *headers: bytes, line: bytes = b"GET /ok HTTP/1.1", host: bytes = b"Host: localhost", body: bytes = b""
) -> bytes:
    return b"\r\n".join([line, *([host] if host else []), *headers, b"", body])


POST = b"POST /ok HTTP/1.1"
CHUNKED = b"Transfer-Encoding: chunked"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"

ATTACKS = {
    "content length and chunked": request(b"Content-Length: 5", CHUNKED, line=POST, body=b"0\r\n\r\n" + SMUGGLED),
    "chunked and content length": request(CHUNKED, b"Content-Length: 5", line=POST, body=b"0\r\n\r\n" + SMUGGLED),
    "two content lengths": request(b"Content-Length: 5", b"Content-Length: 6", line=POST, body=b"12345" + SMUGGLED),
    "the same content length twice": request(b"Content-Length: 5", b"Content-Length: 5", line=POST, body=b"12345"),
    "a list of content lengths": request(b"Content-Length: 5, 5", line=POST, body=b"12345"),
    "content length +5": request(b"Content-Length: +5", line=POST, body=b"12345"),
    "content length -1": request(b"Content-Length: -1", line=POST, body=b"12345"),
    "content length 1_0": request(b"Content-Length: 1_0", line=POST, body=b"1234567890"),
    "content length 0x5": request(b"Content-Length: 0x5", line=POST, body=b"12345"),
    "a content length beyond 64 bits": request(b"Content-Length: 99999999999999999999", line=POST),
    "an obfuscated transfer coding": request(b"Transfer-Encoding: xchunked", line=POST, body=b"0\r\n\r\n"),
    "a vertical tab in the transfer coding": request(b"Transfer-Encoding:\x0bchunked", line=POST, body=b"0\r\n\r\n"),
    "chunked not last": request(b"Transfer-Encoding: chunked, identity", line=POST, body=b"0\r\n\r\n"),
    "chunked after gzip": request(b"Transfer-Encoding: gzip, chunked", line=POST, body=b"0\r\n\r\n"),
    "chunked twice": request(CHUNKED, CHUNKED, line=POST, body=b"0\r\n\r\n"),
    "chunked twice in one line": request(b"Transfer-Encoding: chunked, chunked", line=POST, body=b"0\r\n\r\n"),
    "a blank before the colon": request(b"Transfer-Encoding : chunked", line=POST, body=b"0\r\n\r\n"),
    "a chunk that is longer than it says": request(CHUNKED, line=POST, body=b"2\r\nabcd\r\n0\r\n\r\n"),
    "a chunk size that is no number": request(CHUNKED, line=POST, body=b"zz\r\nab\r\n0\r\n\r\n"),
    "a line feed in a chunk extension": request(CHUNKED, line=POST, body=b"2;a\nb\r\nab\r\n0\r\n\r\n"),
    "bare line feeds": GOOD.replace(b"\r\n", b"\n"),
    "one bare line feed": request(b"X-A: b\nX-C: d"),
    "a folded header": request(b"X-A: b", b" c"),
    "no host": request(host=b""),
    "no host in HTTP/1.0": request(line=b"GET /ok HTTP/1.0", host=b""),
    "two hosts": request(b"Host: localhost"),
    "two different hosts": request(b"Host: evil"),
    "an empty host": request(host=b"Host: "),
    "a host with a path": request(host=b"Host: x/evil?"),
    "a host with a user": request(host=b"Host: localhost@evil"),
    "a host with a list": request(host=b"Host: localhost, evil"),
    "a host with a bad port": request(host=b"Host: localhost:80a"),
    "a NUL in a header": request(b"X-A: b\x00c"),
    "a carriage return in a header": request(b"X-A: b\rc"),
    "an empty header name": request(b": b"),
    "a header without a colon": request(b"X-A"),
    "a NUL in the path": request(line=b"GET /a\x00b HTTP/1.1"),
    "an encoded NUL": request(line=b"GET /a%00b HTTP/1.1"),
    "an encoded line feed": request(line=b"GET /a%0ab HTTP/1.1"),
    "a parent segment": request(line=b"GET /a/../b HTTP/1.1"),
    "a parent segment at the end": request(line=b"GET /a/.. HTTP/1.1"),
    "an encoded parent segment": request(line=b"GET /a/%2e%2e/b HTTP/1.1"),
    "a half encoded parent segment": request(line=b"GET /a/.%2E/b HTTP/1.1"),
    "a dot segment": request(line=b"GET /a/./b HTTP/1.1"),
    "an encoded slash": request(line=b"GET /a%2fb HTTP/1.1"),
    "a backslash": request(line=b"GET /a\\b HTTP/1.1"),
    "an encoded backslash": request(line=b"GET /a%5Cb HTTP/1.1"),
    "a broken escape": request(line=b"GET /a%zz HTTP/1.1"),
    "an escape that is not UTF-8": request(line=b"GET /a%c0%af HTTP/1.1"),
    "a path of another host": request(line=b"GET //evil/ok HTTP/1.1"),
    "bytes beyond ASCII in the path": request(line="GET /ş HTTP/1.1".encode()),
    "bytes beyond ASCII in the query": request(line="GET /ok?ş HTTP/1.1".encode()),
    "a fragment": request(line=b"GET /ok#f HTTP/1.1"),
    "absolute form": request(line=b"GET http://localhost/ok HTTP/1.1"),
    "absolute form of another host": request(line=b"GET http://evil/ok HTTP/1.1"),
    "absolute form without a path": request(line=b"GET http://evil HTTP/1.1"),
    "authority form": request(line=b"GET localhost:443 HTTP/1.1"),
    "asterisk form": request(line=b"OPTIONS * HTTP/1.1"),
    "an unknown method": request(line=b"FETCH /ok HTTP/1.1"),
    "a lower-case method": request(line=b"get /ok HTTP/1.1"),
    "HTTP/0.9": b"GET /ok\r\n\r\n",
    "HTTP/1.2": request(line=b"GET /ok HTTP/1.2"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "noise": b"\xff\xfe\xfd\xfc\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
async def test_an_ambiguous_request_is_refused_in_the_envelope_and_the_connection_closed(
    running: Running, attack: bytes
) -> None:
    """A proxy and the app would take such a request for different ones (request smuggling, cache poisoning)."""
    peer = await running.peer()
    refused(await peer.ask(attack), 400)
    assert await peer.closed() == b""
    assert running.app.requests == []


TOO_LONG = {
    "a header of 100 kB": (431, request(b"X-A: " + bytes(b"b" * 100_000))),
    "headers of 20 kB": (431, request(*(b"X-%d: " % n + b"b" * 2000 for n in range(10)))),
    "2,000 headers": (431, request(*(b"X-%d: b" % n for n in range(2_000)))),
    "one header too many": (431, request(*(b"X-%d: b" % n for n in range(MAX_HEADERS)))),
    "a path of 9 kB": (414, request(line=b"GET /" + b"a" * 9_000 + b" HTTP/1.1")),
    "a query of 9 kB": (414, request(line=b"GET /ok?" + b"a" * 9_000 + b" HTTP/1.1")),
}


@pytest.mark.parametrize(("status", "attack"), TOO_LONG.values(), ids=TOO_LONG)
async def test_a_head_that_is_too_long_is_refused(running: Running, status: int, attack: bytes) -> None:
    """Heads are kept in memory, so their size times the number of connections must be bounded."""
    peer = await running.peer()
    refused(await peer.ask(attack), status)
    await peer.closed()
    assert running.app.requests == []


async def test_a_header_that_never_ends_is_refused_while_it_arrives(running: Running) -> None:
    """The parser keeps a header until it is whole: without a bound a peer fills the memory at will."""
    at_once, in_pieces = await running.peer(), await running.peer()
    start = b"GET /ok HTTP/1.1\r\nHost: localhost\r\nX-A: "
    refused(await at_once.ask(start + b"b" * 50_000), 431)
    await in_pieces.send(start)
    assert b" 431 " in await in_pieces.drip(b"b" * 1000)


async def test_headers_at_the_limit_are_fine(running: Running) -> None:
    """The limits are what they say: 64 headers, the Host among them, are served."""
    peer = await running.peer()
    answer = await peer.ask(request(*(b"X-%d: b" % n for n in range(MAX_HEADERS - 1))))
    assert (answer.status, answer.body) == (200, b"/ok 0")


async def test_a_head_in_many_small_pieces_is_fine(running: Running) -> None:
    """A slow network may cut a request anywhere."""
    peer = await running.peer()
    for byte in request(b"Content-Length: 3", b"X-A: " + b"b" * 50, line=POST, body=b"abc"):
        await peer.send(bytes([byte]))
        await asyncio.sleep(0)
    assert (await peer.answer()).body == b"/ok 3"


@pytest.mark.parametrize("method", ["TRACE", "PROPFIND"])
async def test_a_method_that_no_api_has_is_refused_with_those_that_are_allowed(running: Running, method: str) -> None:
    """TRACE would echo credentials; the parser knows dozens of methods that nobody here answers."""
    answer = await (await running.peer()).ask(request(line=f"{method} /ok HTTP/1.1".encode()))
    refused(answer, 405)
    assert "GET" in answer.headers["allow"]


CONNECTS = [
    request(line=b"CONNECT / HTTP/1.1"),
    request(line=b"CONNECT /ok HTTP/1.1"),
    request(line=b"CONNECT / HTTP/1.0", host=b""),
    request(line=b"CONNECT localhost:443 HTTP/1.1"),
    request(b"Connection: upgrade", b"Upgrade: websocket", line=b"CONNECT /ok HTTP/1.1"),
    request(b"Content-Length: 5", line=b"CONNECT /ok HTTP/1.1", body=b"12345"),
]


@pytest.mark.parametrize("attack", CONNECTS)
async def test_a_tunnel_is_refused_and_the_connection_closed(running: Running, attack: bytes) -> None:
    """The parser takes every CONNECT for an upgrade; read again as if it were none, it would be read for ever."""
    peer = await running.peer()
    answer = await peer.ask(attack)
    refused(answer, 405)
    assert "CONNECT" not in answer.headers["allow"]
    assert await peer.closed() == b""
    assert (await (await running.peer()).ask(GOOD)).status == 200


async def test_a_connection_is_kept_for_the_next_request(running: Running) -> None:
    """Without keep-alive every call would pay for a handshake."""
    peer = await running.peer()
    for _ in range(3):
        assert (await peer.ask(GOOD)).body == b"/ok 0"
    assert (await peer.ask(request(b"Connection: close"))).headers["connection"] == "close"
    assert await peer.closed() == b""


async def test_pipelined_requests_are_answered_in_order(running: Running) -> None:
    """A client matches answers to requests by their order and nothing else."""
    peer = await running.peer()
    paths = [b"/wait", *(b"/%d" % n for n in range(MAX_PIPELINED))]
    await peer.send(b"".join(request(line=b"GET %b HTTP/1.1" % path) for path in paths))
    await running.app.waiting.wait()
    running.app.go.set()
    assert [(await peer.answer()).body for _ in paths] == [path + b" 0" for path in paths]


async def test_garbage_behind_a_whole_request_does_not_take_its_answer(running: Running) -> None:
    """A refusal in its place would say that a request failed which may have taken effect."""
    peer = await running.peer()
    await peer.send(request(line=b"GET /wait HTTP/1.1") + b"\x00garbage\r\n\r\n")
    await running.app.waiting.wait()
    running.app.go.set()
    answer = await peer.answer()
    assert (answer.status, answer.body, answer.headers["connection"]) == (200, b"/wait 0", "close")
    assert await peer.closed() == b""


async def test_a_broken_body_behind_a_whole_request_does_not_take_its_answer(running: Running) -> None:
    """The connection was closed without a word to either: a client would repeat what was done."""
    peer = await running.peer()
    await peer.send(GOOD + request(line=b"GET /wait HTTP/1.1") + request(CHUNKED, line=POST, body=b"zz\r\nab\r\n"))
    assert (await peer.answer()).status == 200
    await running.app.waiting.wait()
    await peer.send(b"more")
    running.app.go.set()
    assert (await peer.answer()).status == 200
    refused(await peer.answer(), 400)
    assert await peer.closed() == b""
    assert [path for _, path, _ in running.app.requests] == ["/ok", "/wait"]


async def test_too_many_pipelined_requests_end_the_connection(running: Running) -> None:
    """Requests that wait for their turn are memory that costs their sender some bytes each."""
    peer = await running.peer()
    await peer.send(request(line=b"GET /wait HTTP/1.1") + GOOD * 1000)
    await running.app.waiting.wait()
    running.app.go.set()
    assert (await peer.closed()).count(b"HTTP/1.1 200 OK") == MAX_PIPELINED + 1


@pytest.mark.parametrize("connection", [b"Upgrade, HTTP2-Settings", b"close, Upgrade, HTTP2-Settings"])
async def test_an_offer_to_upgrade_is_ignored_and_the_body_kept(running: Running, connection: bytes) -> None:
    """Java's HTTP client offers h2c with every POST. The parser skips the body, and would run it as the next request."""
    peer = await running.peer()
    offer = (b"Connection: " + connection, b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")
    length = b"Content-Length: %d" % len(SMUGGLED)
    await peer.send(request(*offer, length, line=POST, body=SMUGGLED) + request(b"Connection: close"))
    assert (await peer.answer()).body == b"/ok %d" % len(SMUGGLED)
    if not connection.startswith(b"close"):
        assert (await peer.answer()).body == b"/ok 0"
    assert await peer.closed() == b""
    assert running.app.requests[0] == ("POST", "/ok", SMUGGLED)
    assert "/smuggled" not in {path for _, path, _ in running.app.requests}


async def test_a_websocket_handshake_is_answered_like_any_request(running: Running) -> None:
    """There are no websockets here; the offer is ignored."""
    offer = (
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    )
    assert (await (await running.peer()).ask(request(*offer))).status == 200


async def test_trailers_do_not_join_the_headers(running: Running) -> None:
    """A trailer arrives after the head was judged, past every proxy that strips headers: it must not count as one."""
    peer = await running.peer()
    body = b"3\r\nabc\r\n0\r\nX-User-Id: evil\r\nHost: evil\r\n\r\n"
    assert (await peer.ask(request(CHUNKED, line=POST, body=body))).body == b"/ok 3"
    assert [name for name, _ in running.app.headers] == [b"host", b"transfer-encoding"]
    assert (await peer.ask(GOOD)).body == b"/ok 0"


async def test_a_client_that_goes_away_is_reported_to_the_app(running: Running) -> None:
    """Work for nobody should stop."""
    peer = await running.peer()
    await peer.send(request(line=b"GET /until-disconnect HTTP/1.1"))
    async with asyncio.timeout(WAIT):
        await running.app.waiting.wait()
        peer.writer.close()
        await running.app.disconnected.wait()


PROBES = [b"%b %b HTTP/1.1" % (verb, path) for verb in (b"GET",) for path in (b"/healthz", b"/readyz?verbose")]


async def busy_peer(running: Running) -> Peer:
    """A peer whose request is being answered until `go` is set."""
    peer = await running.peer()
    running.app.waiting.clear()
    await peer.send(request(line=b"GET /wait HTTP/1.1"))
    async with asyncio.timeout(WAIT):
        await running.app.waiting.wait()
    return peer


LATE = {
    "nothing at all": b"",
    "half a line": b"GET /o",
    "half a head": b"GET /ok HTTP/1.1\r\nHost: local",
    "half a body": request(b"Content-Length: 10", line=POST, body=b"12345"),
    "half a chunk": request(CHUNKED, line=POST, body=b"5\r\n12"),
    "half the second request": GOOD + b"GET /ok HTTP/1.1\r\nHost",
    "empty lines": b"\r\n\r\n",
}


@pytest.mark.parametrize("start", LATE.values(), ids=LATE)
async def test_a_request_that_does_not_arrive_in_time_ends_its_connection(start: bytes) -> None:
    """Slow clients (slowloris) would hold every connection; an honest one is served meanwhile (promise P21)."""
    async with serving(request_timeout_seconds=0.3) as running:
        late, honest = await running.peer(), await running.peer()
        await late.send(start)
        if start.startswith(GOOD):
            assert (await late.answer()).status == 200
        closed = asyncio.create_task(late.closed())
        while not closed.done():
            assert (await honest.ask(GOOD)).status == 200
            await asyncio.sleep(0.05)
        if start.strip():
            head, _, body = closed.result().partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 408 Request Timeout")
            assert orjson.loads(body)["statusCode"] == 408
        else:
            assert closed.result() == b""


@pytest.mark.parametrize("start", [b"GET /ok HTTP/1.1\r\nX-A: ", request(b"Content-Length: 1000000", line=POST)])
async def test_one_byte_at_a_time_does_not_extend_the_time(start: bytes) -> None:
    """The time is for the whole request: a byte now and then must not renew it."""
    async with serving(request_timeout_seconds=0.3) as running:
        peer = await running.peer()
        await peer.send(start)
        assert b" 408 " in await peer.drip(b"b")
        assert running.app.requests == []


async def test_the_app_learns_that_a_body_will_not_come() -> None:
    """A handler that waits for the body must not wait for ever."""
    async with serving(request_timeout_seconds=0.3) as running:
        await (await running.peer()).send(LATE["half a body"])
        async with asyncio.timeout(WAIT):
            await running.app.disconnected.wait()


async def test_a_body_that_stays_away_after_the_answer_gets_no_second_answer() -> None:
    """A 408 then would be taken for the answer to the next request."""
    async with serving(request_timeout_seconds=0.3) as running:
        peer = await running.peer()
        assert (await peer.ask(request(b"Content-Length: 10", line=b"POST /early HTTP/1.1"))).status == 200
        assert await peer.closed() == b""


@pytest.mark.parametrize("tail", [b"", b"\r\n"], ids=["silent", "empty lines"])
async def test_an_idle_connection_is_closed_without_a_word(tail: bytes) -> None:
    """Connections are limited; one that waits for nothing should not keep others out, whatever it mumbles."""
    async with serving(idle_timeout_seconds=0.3) as running:
        peer = await running.peer()
        assert (await peer.ask(GOOD)).status == 200
        await peer.send(tail)
        assert await peer.closed() == b""


async def test_the_time_for_a_request_does_not_run_while_it_is_answered() -> None:
    """The limits are for the peer: how long the app may take is the app's business."""
    async with serving(request_timeout_seconds=0.3, idle_timeout_seconds=0.3) as running:
        peer = await running.peer()
        assert (await peer.ask(GOOD)).status == 200
        await peer.send(request(line=b"GET /wait HTTP/1.1"))
        await running.app.waiting.wait()
        await asyncio.sleep(1.5)
        running.app.go.set()
        assert (await peer.answer()).body == b"/wait 0"


@pytest.mark.parametrize(
    ("start", "rest", "answers"),
    [
        (
            request(line=b"GET /wait HTTP/1.1") + request(b"Content-Length: 3", line=POST, body=b"a"),
            b"bc",
            [b"/wait 0", b"/ok 3"],
        ),
        (
            request(b"Content-Length: 200000", line=b"POST /read-late HTTP/1.1", body=bytes(150_000)),
            bytes(50_000),
            [b"/read-late 200000"],
        ),
    ],
    ids=["pipelined", "not read yet"],
)
async def test_the_time_for_a_request_does_not_run_out_through_us(
    start: bytes, rest: bytes, answers: list[bytes]
) -> None:
    """A request that has to wait for an earlier answer, or for the app to read it, is not late."""
    async with serving(request_timeout_seconds=0.3) as running:
        peer = await running.peer()
        await peer.send(start)
        await running.app.waiting.wait()
        await asyncio.sleep(1)
        running.app.go.set()
        await peer.send(rest)
        assert [(await peer.answer()).body for _ in answers] == answers


@pytest.mark.parametrize(
    ("headers", "limit"), [([], 65536), ([b"Connection: close"], 2**30)], ids=["being written", "being closed"]
)
async def test_a_peer_that_does_not_read_its_answer_is_cut_off(headers: list[bytes], limit: int) -> None:
    """What a peer does not read stays in our memory, and its connection stays open, closed or not."""
    async with serving(request_timeout_seconds=0.3) as running:
        peer = await running.peer()
        assert (await peer.ask(GOOD)).status == 200
        (connection,) = connections = running.server._server.server_state.connections
        connection.transport.set_write_buffer_limits(limit)
        peer.writer.transport.pause_reading()
        await peer.send(request(*headers, line=b"GET /big HTTP/1.1"))
        async with asyncio.timeout(WAIT):
            while connections:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.05)
        assert running.app.requests[-1] == ("GET", "/big", b"")


async def test_an_answer_before_the_body_reaches_a_peer_that_is_still_sending(running: Running) -> None:
    """Closing at once would reset the connection: most clients then report a broken pipe, and never see the 413."""
    peer = await running.peer()
    async with asyncio.timeout(WAIT):
        await peer.send(request(b"Content-Length: 20000000", line=b"POST /early HTTP/1.1", body=bytes(20_000_000)))
        assert (await peer.answer()).status == 200
        assert (await peer.ask(GOOD)).status == 200


async def test_a_peer_that_reads_slowly_but_surely_gets_its_answer() -> None:
    """A slow line is no attack: an answer may take longer than the timeout, as long as it moves."""
    async with serving(request_timeout_seconds=0.3) as running:
        peer = await running.peer()
        await peer.send(request(line=b"GET /big HTTP/1.1"))
        received = 0
        async with asyncio.timeout(WAIT):
            while received < 32 * 1024 * 1024:
                data = await peer.reader.read(4 * 1024 * 1024)
                assert data
                received += len(data)
                await asyncio.sleep(0.01)
        await asyncio.sleep(1)
        await peer.send(request(b"Connection: close"))
        assert (await peer.closed()).endswith(b"/ok 0")


async def test_a_connection_too_many_is_refused_and_the_others_served() -> None:
    """A flood of connections must not take the process's files and memory, nor its clients' connections."""
    async with serving(max_connections=2) as running:
        first, second = [await busy_peer(running) for _ in range(2)]
        third = await running.peer()
        answer = await third.ask(GOOD)
        refused(answer, 503)
        assert int(answer.headers["retry-after"]) > 0
        assert await third.closed() == b""
        running.app.go.set()
        assert (await first.answer()).status == (await second.answer()).status == 200
        assert (await first.ask(GOOD)).status == 200
        second.writer.close()
        await second.writer.wait_closed()
        assert (await (await running.peer()).ask(GOOD)).status == 200


async def test_beyond_the_limit_probes_are_answered_and_the_connection_closed() -> None:
    """An orchestrator must not restart a process because it has many users."""
    async with serving(max_connections=2) as running:
        for _ in range(2):
            await busy_peer(running)
        for line in PROBES:
            peer = await running.peer()
            answer = await peer.ask(request(line=line))
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert await peer.closed() == b""


@pytest.mark.parametrize("path", [b"/healthz", b"/readyz?from=balancer"])
async def test_a_probe_by_http_1_0_needs_no_host(path: bytes) -> None:
    """Balancers send none there (RFC 9112, 3.2, asks for one from HTTP/1.1 on)."""
    async with serving() as running:
        for version, path_asked, status in ((b"1.0", path, 200), (b"1.1", path, 400), (b"1.0", b"/ok", 400)):
            answer = await (await running.peer()).ask(b"GET %b HTTP/%b\r\n\r\n" % (path_asked, version))
            assert answer.status == status


async def test_a_flood_beyond_the_limit_keeps_no_probe_out() -> None:
    """Strangers can take the places that are left for probes, but each only until others come."""
    async with serving(max_connections=2) as running:
        for _ in range(2):
            await busy_peer(running)
        flood = [await running.peer() for _ in range(3 * RESERVED_FOR_PROBES)]
        assert (await (await running.peer()).ask(request(line=PROBES[0]))).status == 200
        open_now = running.server._server.server_state.connections
        assert len(open_now) <= 2 + RESERVED_FOR_PROBES
        assert await flood[0].closed() == b""


async def test_a_new_connection_takes_the_place_of_the_one_that_was_idle_longest() -> None:
    """Whoever asks goes before whoever might ask again."""
    async with serving(max_connections=3) as running:
        first, second = await running.peer(), await running.peer()
        await busy_peer(running)
        assert (await second.ask(GOOD)).status == (await first.ask(GOOD)).status == 200
        assert (await (await running.peer()).ask(GOOD)).status == 200
        assert await second.closed() == b""
        assert (await first.ask(GOOD)).status == 200


@pytest.mark.parametrize(
    "begun",
    [
        b"GET /ok HT",
        request(b"Content-Length: 9", line=POST, body=b"{"),
        request(b"Transfer-Encoding: chunked", line=POST, body=b"1\r\n{\r\n"),
        GOOD + b"GET /ok HT",
        GOOD + request(b"Content-Length: 9", line=POST, body=b"{"),
    ],
)
async def test_requests_that_nobody_ends_keep_nobody_out(begun: bytes) -> None:
    """What is being answered stays, and so does whoever has been let in to send much."""
    async with serving(max_connections=4) as running:
        busy = await busy_peer(running)
        sender = await running.peer()
        await sender.send(request(b"Content-Length: 100000", line=POST, body=bytes(90_000)))
        flood = [await running.peer() for _ in range(8)]
        for each in flood:
            await each.send(begun)
            await asyncio.sleep(0.01)
        assert (await (await running.peer()).ask(GOOD)).status == 200
        await sender.send(bytes(10_000))
        assert (await sender.answer()).status == 200
        running.app.go.set()
        assert (await busy.answer()).status == 200


async def test_a_body_in_too_many_chunks_is_refused(running: Running) -> None:
    """A byte in a chunk of its own costs more work than a kilobyte in one; whoever writes small pieces may do so."""
    head = request(b"Transfer-Encoding: chunked", line=POST)
    assert (await (await running.peer()).ask(head + MAX_SMALL_PIECES * b"1\r\nx\r\n" + b"0\r\n\r\n")).status == 200
    assert (await (await running.peer()).ask(head + 6000 * (b"64\r\n%b\r\n" % bytes(100)) + b"0\r\n\r\n")).status == 200
    peer = await running.peer()
    refused(await peer.ask(head + 20_000 * b"1\r\nx\r\n"), 400)
    assert await peer.closed() == b""


async def test_above_three_quarters_idle_connections_are_closed_and_busy_ones_kept() -> None:
    """So that there is room before there is none."""
    async with serving(max_connections=8) as running:
        busy = [await busy_peer(running) for _ in range(4)]
        idle = [await running.peer() for _ in range(4)]
        for each in idle:
            assert (await each.ask(GOOD)).status == 200
        assert [await each.closed() for each in idle[:2]] == [b"", b""]
        assert [(await each.ask(GOOD)).status for each in idle[2:]] == [200, 200]
        running.app.go.set()
        assert [(await each.answer()).status for each in busy] == [200] * 4


async def test_stopping_finishes_what_is_in_flight_and_takes_nothing_new() -> None:
    """A deployment must not break calls (promise P11)."""
    async with serving() as running:
        busy, idle = await running.peer(), await running.peer()
        assert (await idle.ask(GOOD)).status == 200
        await busy.send(request(line=b"GET /wait HTTP/1.1"))
        await running.app.waiting.wait()
        stopping = asyncio.create_task(running.server.stop(WAIT))
        assert await idle.closed() == b""
        with pytest.raises(OSError, match="Connect call failed"):
            await running.peer()
        assert not stopping.done()
        running.app.go.set()
        answer = await busy.answer()
        assert (answer.body, answer.headers["connection"]) == (b"/wait 0", "close")
        assert await busy.closed() == b""
        async with asyncio.timeout(WAIT):
            await stopping


async def test_stopping_ends_what_outlives_the_grace() -> None:
    """A handler that hangs must not keep the process from ending."""
    async with serving() as running:
        peer = await running.peer()
        await peer.send(request(line=b"GET /wait HTTP/1.1"))
        await running.app.waiting.wait()
        async with asyncio.timeout(WAIT):
            await running.server.stop(0.1)
        assert not running.server._server.server_state.tasks
        assert await peer.closed() == b""


async def test_two_sockets_may_share_a_port() -> None:
    """Worker processes listen on the same port."""
    with listen("127.0.0.1", 0, reuse_port=True) as first:
        listen("127.0.0.1", first.getsockname()[1], reuse_port=True).close()
        with pytest.raises(OSError, match="in use"):
            listen("127.0.0.1", first.getsockname()[1], reuse_port=False)


@pytest.mark.parametrize(
    ("proxies", "headers", "client"),
    [
        ((), ["198.51.100.1, 203.0.113.7"], "127.0.0.1"),
        (("10.0.0.0/8",), ["203.0.113.7"], "127.0.0.1"),
        (("127.0.0.0/8",), ["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        (("127.0.0.1", "10.0.0.0/8"), ["198.51.100.1,203.0.113.7 , 10.1.2.3"], "203.0.113.7"),
        (("127.0.0.0/8",), ["198.51.100.1", "203.0.113.7"], "203.0.113.7"),
        (("127.0.0.0/8",), ["[2001:DB8::7]:443"], "2001:db8::7"),
        (("127.0.0.0/8",), ["::ffff:203.0.113.7"], "203.0.113.7"),
        (("127.0.0.0/8",), ["203.0.113.7, unknown"], "127.0.0.1"),
        (("127.0.0.0/8",), [""], "127.0.0.1"),
    ],
)
async def test_a_forwarded_address_is_believed_from_trusted_proxies_only(
    proxies: tuple[str, ...], headers: list[str], client: str
) -> None:
    """Anybody can write X-Forwarded-For; limits per address and audit lines rest on who really called."""
    async with serving(trusted_proxies=proxies) as running:
        await (await running.peer()).ask(request(*(f"X-Forwarded-For: {each}".encode() for each in headers)))
        assert running.app.client == client


def test_no_host_is_every_interface() -> None:
    """`--http :8080` is how a container is started."""
    with listen("", 0, reuse_port=False) as sock:
        assert sock.getsockname()[0] in ("0.0.0.0", "::")


EXPECT = b"Expect: 100-continue"
LARGE = b"Content-Length: 7000000"


async def test_who_waits_for_a_word_gets_the_refusal_instead_and_the_connection_is_closed(running: Running) -> None:
    """`100 Continue` would invite 7 MB in vain. What came next could be that body or a request, so nothing may."""
    peer = await running.peer()
    answer = await peer.ask(request(EXPECT, LARGE, line=b"POST /early HTTP/1.1"))
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await peer.closed() == b""
    await peer.send(GOOD)
    assert [path for _, path, _ in running.app.requests] == ["/early"]


async def test_who_does_not_wait_for_the_word_can_read_the_refusal_all_the_same(running: Running) -> None:
    """Most clients send the body after a second without a word; a reset would take the answer from them."""
    peer = await running.peer()
    async with asyncio.timeout(WAIT):
        await peer.send(request(EXPECT, LARGE, line=b"POST /early HTTP/1.1", body=bytes(7_000_000)))
        assert (await peer.answer()).status == 200
        assert await peer.closed() == b""


@pytest.mark.parametrize(
    "attack", [request(b"Host: evil", LARGE, line=POST), request(LARGE, line=b"CONNECT / HTTP/1.1")]
)
async def test_a_refusal_that_closes_reaches_a_peer_that_is_still_sending(running: Running, attack: bytes) -> None:
    """What stays unread when a connection is closed makes the peer's system throw our answer away."""
    peer = await running.peer()
    async with asyncio.timeout(WAIT):
        await peer.send(attack + bytes(7_000_000))
        refused(await peer.answer(), 400, 405)
        assert await peer.closed() == b""


async def test_who_waits_for_the_word_gets_it_when_the_body_is_wanted(running: Running) -> None:
    """Else the client waits for a second before each upload."""
    peer = await running.peer()
    await peer.send(request(EXPECT, b"Content-Length: 3", line=POST))
    async with asyncio.timeout(WAIT):
        assert await peer.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert (await peer.ask(b"abc")).body == b"/ok 3"


async def test_an_old_client_hears_no_word_that_it_does_not_know(running: Running) -> None:
    """HTTP/1.0 knows no interim answers (RFC 9110, section 10.1.1): it would take this one for the answer."""
    answer = await (await running.peer()).ask(
        request(EXPECT, b"Content-Length: 3", line=b"POST /ok HTTP/1.0", body=b"abc")
    )
    assert answer.body == b"/ok 3"


async def test_what_comes_after_an_answer_is_bounded() -> None:
    """Discarding costs as much as reading."""
    async with serving() as running:
        peer = await running.peer()
        assert (await peer.ask(request(CHUNKED, line=b"POST /early HTTP/1.1"))).status == 200
        chunk = b"%x\r\n%b\r\n" % (1 << 20, bytes(1 << 20))
        sent = 0
        with pytest.raises(ConnectionError):  # noqa: PT012 - it is reset while one of the chunks is sent
            for _ in range(2 * MAX_DISCARDED_BYTES >> 20):
                await peer.send(chunk)
                sent += len(chunk)
        assert sent >= MAX_DISCARDED_BYTES


async def test_a_peer_that_goes_on_after_a_last_answer_is_cut_off() -> None:
    """To wait for it for ever would be as good as not to close."""
    async with serving(request_timeout_seconds=0.3) as running:
        peer = await running.peer()
        await peer.send(request(b"Host: evil", LARGE, line=POST))
        assert b" 400 " in await peer.closed()
        open_now = running.server._server.server_state.connections
        async with asyncio.timeout(WAIT):
            while open_now:
                peer.writer.write(b"a")
                await asyncio.sleep(0.02)


async def test_a_kept_connection_holds_nothing_of_an_answered_body(running: Running) -> None:
    """A thousand idle connections would hold a thousand bodies."""
    peer = await running.peer()
    await peer.ask(request(b"Content-Length: 60000", line=b"POST /early HTTP/1.1", body=bytes(60_000)))
    bodies = [each.cycle.body for each in running.server._server.server_state.connections if each.cycle]
    assert b"" in bodies
    assert not any(map(len, bodies))

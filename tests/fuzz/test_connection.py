"""Whatever bytes arrive, in whatever pieces, the connection does a bounded amount of work, and answers or refuses."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from livestream_gateway.connection import MAX_HEADER_BYTES, MAX_TARGET_BYTES
from tests.fuzz.conversation import converse

# Every method that llhttp knows (llhttp.h, HTTP_ALL_METHOD_MAP), and some that it does not.
METHODS = [
    *b"DELETE GET HEAD POST PUT CONNECT OPTIONS TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK BIND".split(),
    *b"REBIND UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PATCH PURGE".split(),
    *b"MKCALENDAR LINK UNLINK SOURCE PRI DESCRIBE ANNOUNCE SETUP PLAY PAUSE TEARDOWN GET_PARAMETER".split(),
    *b"SET_PARAMETER REDIRECT RECORD FLUSH QUERY FETCH get".split(),
]
PLAIN_TARGETS = [b"/", b"/ok?a=b", b"*", b"http://localhost/ok", b"localhost:443"]
TARGETS = [
    *PLAIN_TARGETS,
    b"/ok", b"http://localhost", b"[::1]:443", b"//ok",
    b"?a", b"/#a", b"/%zz", b"", b"/" + b"a" * MAX_TARGET_BYTES,
]  # fmt: skip
VERSIONS = [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.2", b"RTSP/1.0", b"ICE/1.0"]
UPGRADES = [
    (b"Connection: Upgrade", b"Upgrade: websocket"),
    (b"Connection: keep-alive, Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"),
    (b"Upgrade: TLS/1.0, HTTP/1.1", b"Connection: upgrade, close"),
    (b"Connection: upgrade", b"Connection: upgrade", b"Upgrade: a", b"upgrade:b", b"UPGRADE:\tc"),
    (b"Connection: upgrade", b"Upgrade:"),
    (b"Upgrade: websocket",),
]
HEADERS = [
    *UPGRADES,
    (b"Connection: close",), (b"Connection: keep-alive",), (b"Proxy-Connection: upgrade",), (b"Protocol: websocket",),
    (b"Content-Length: 5",), (b"Content-Length: 0",), (b"Transfer-Encoding: chunked",), (b"Transfer-Encoding: gzip",),
    (b"Expect: 100-continue",), (b"TE: trailers",), (b"X-A: b\r\n c",), (b"X-A",), (b": b",), (b"X-A: " + b"a" * 20_000,),
    (b"a:",) * 65,
]  # fmt: skip
BODIES = [b"", b"12345", b"0\r\n\r\n", b"5;a=b\r\n12345\r\n0\r\nUpgrade: a\r\n\r\n", b"SM\r\n\r\n", b"zz\r\n"]
LIMIT = MAX_TARGET_BYTES + MAX_HEADER_BYTES


def written(
    method: bytes, target: bytes, version: bytes, headers: Sequence[tuple[bytes, ...]], body: bytes, host: bytes
) -> bytes:
    lines = [b"%b %b %b" % (method, target, version), host, *(line for each in headers for line in each)]
    return b"".join(b"%b\r\n" % line for line in lines if line) + b"\r\n" + body


requests = st.builds(
    written,
    st.sampled_from(METHODS),
    st.sampled_from(TARGETS),
    st.sampled_from(VERSIONS),
    st.lists(st.sampled_from(HEADERS), max_size=3),
    st.sampled_from(BODIES),
    st.sampled_from([b"Host: localhost", b""]),
)
streams = st.lists(requests | st.sampled_from([b"\r\n", b"\n"]) | st.binary(max_size=20), max_size=25).map(b"".join)


def cut(stream: bytes, size: int) -> list[bytes]:
    return [stream[at : at + size] for at in range(0, len(stream), size)]


@given(stream=streams, sizes=st.lists(st.sampled_from([1, 2, 3, 7, 20, 50, 100, 1000, 65_536]), min_size=1, max_size=5))
@settings(max_examples=400)
@example(b"CONNECT / HTTP/1.1\r\nHost: x\r\n\r\n", [65_536])
@example(b"CONNECT / HTTP/1.0\r\n\r\n", [1])
@example(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [65_536])
def test_any_stream_in_any_pieces_is_answered_or_refused(stream: bytes, sizes: list[int]) -> None:
    """One request would stop the event loop, and with it REST and gRPC, for ever."""
    pieces = []
    while stream:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(stream[:size])
        stream = stream[size:]
    converse(pieces)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("upgrade", [(), *UPGRADES], ids=lambda lines: b", ".join(lines).decode() or "no upgrade")
def test_every_method_is_answered_or_refused(version: bytes, upgrade: tuple[bytes, ...]) -> None:
    """CONNECT was one of them: each method, target and version must be tried, not drawn."""
    for method in METHODS:
        for target in PLAIN_TARGETS:
            converse([written(method, target, version, [upgrade], b"12345", b"Host: localhost")])


@pytest.mark.parametrize("count", [2, 16, 17, 5000])
@pytest.mark.parametrize("upgrade", UPGRADES, ids=lambda lines: b", ".join(lines).decode())
def test_a_piece_full_of_upgrades_costs_no_more_than_its_length(upgrade: tuple[bytes, ...], count: int) -> None:
    """What follows a head was copied for each of them."""
    request = written(b"POST", b"/ok", b"HTTP/1.1", [upgrade, (b"Content-Length: 1",)], b"1", b"Host: localhost")
    answers = converse([request * count])
    assert answers.count(b"HTTP/1.1 200") <= count


ENDLESS = {
    "empty lines": (b"", b"\r\n" * 50),
    "a request line": (b"GET /", b"a" * 100),
    "a header's name": (b"GET / HTTP/1.1\r\n", b"a" * 100),
    "a header's value": (b"GET / HTTP/1.1\r\nX-A: ", b"a" * 100),
    "headers": (b"GET / HTTP/1.1\r\n", b"a: b\r\n" * 20),
    "a chunk's extension": (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5;", b"a" * 100),
    "a trailer's name": (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"a" * 100),
    "a trailer's value": (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na: ",
        b"a" * 100,
    ),
    "trailers": (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        b"a: b\r\n" * 20,
    ),
}


@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"], ids=["first", "second"])
@pytest.mark.parametrize("kind", ENDLESS)
def test_what_never_ends_is_refused_while_it_arrives(kind: str, start: bytes) -> None:
    """The parser keeps a header until it ends, and joins its pieces anew each time: the work grows with the square."""
    head, more = ENDLESS[kind]
    taken = 0

    def pieces() -> Iterator[bytes]:
        nonlocal taken
        yield start + head
        while taken < 100 * LIMIT:
            taken += len(more)
            yield more

    answer = converse(pieces())
    assert taken <= LIMIT + len(more)
    assert b"HTTP/1.1 431" in answer

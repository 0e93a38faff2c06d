"""The guard alone: which heads it lets through. `test_server` shows the refusals on the wire."""

from urllib.parse import unquote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from livestream_gateway.guard import Guard, is_allowed
from livestream_gateway.settings import GatewaySettings


async def nothing_to_receive() -> Message:
    raise AssertionError


async def judge(
    path: bytes = b"/ok", *headers: tuple[bytes, bytes], hosts: str = "*", kind: str = "http"
) -> list[Message] | None:
    """What the guard answers, or None if it let the request through."""
    let_through: list[Scope] = []
    sent: list[Message] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        let_through.append(scope)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": kind,
        "method": "GET",
        "raw_path": path,
        "path": unquote(path),
        "headers": headers or ((b"host", b"localhost"),),
    }
    await Guard(app, GatewaySettings(allowed_hosts=hosts))(scope, nothing_to_receive, send)
    assert bool(let_through) != bool(sent)
    return sent or None


@pytest.mark.parametrize(
    "path",
    [
        b"/",
        b"/api/v1/live-stream/0123456789abcdef01234567/join-as-creator",
        b"/media/thumbnails/4f.webp",
        b"/.well-known/openapi.json",
        b"/a/...",
        b"/a..b",
        b"/a/",
        b"/a//b",
        b"/%C5%9Fark%C4%B1",
        b"/a%20b;c=d,e@f!$&'()*+~",
        b"/%252e%252e",
    ],
)
async def test_an_ordinary_path_passes(path: bytes) -> None:
    """A guard that refuses honest paths costs more than the attacks that it stops."""
    assert await judge(path) is None


@given(st.text(alphabet="/.%2eEfFcC5018ab\\\x00;é", max_size=12).map(lambda text: b"/" + text.encode()))
async def test_no_path_that_passes_means_another_one_when_decoded(path: bytes) -> None:
    """Whoever decodes, splits or normalises the path after us must end where we did."""
    if await judge(path) is None:
        decoded = unquote(path, errors="strict")
        assert decoded.isprintable() or "\xa0" in decoded
        assert "\\" not in decoded
        assert decoded.count("/") == path.count(b"/")
        assert not {".", ".."} & set(decoded.split("/"))
        assert not decoded.startswith("//")


async def test_a_refusal_wears_the_envelope_and_ends_the_connection() -> None:
    """Clients parse one shape of failure; what follows an ambiguous head must not be parsed at all."""
    answer = await judge(b"/a/../b")
    assert answer is not None
    start, body = answer
    assert start["status"] == 400
    assert (b"connection", b"close") in start["headers"]
    assert b"x-request-id" in dict(start["headers"])
    assert orjson.loads(body["body"])["errors"][0] == "Validation failed"


@pytest.mark.parametrize(
    ("hosts", "host", "allowed"),
    [
        ("*", b"anything.example", True),
        ("*", b"127.0.0.1:8080", True),
        ("*", b"[::1]:8080", True),
        ("*", b"live_gateway:80", True),
        ("*", b"example.com.", True),
        ("*", b"", False),
        ("*", b":80", False),
        ("*", b"a..b", False),
        ("*", b"a b", False),
        ("*", b"a\tb", False),
        ("*", b"x/evil?", False),
        ("*", b"x#evil", False),
        ("*", b"user@x", False),
        ("*", b"a,b", False),
        ("*", b"a:80:80", False),
        ("*", b"a:", False),
        ("*", b"[::1", False),
        ("*", b"::1", False),
        ("*", "é.example".encode(), False),
        ("*", b"a\n", False),
        ("*", b"a." * 130 + b"com", False),
        ("api.example.com", b"API.example.com:443", True),
        ("api.example.com", b"example.com", False),
        ("api.example.com", b"api.example.com.evil", False),
        ("api.example.com,localhost", b"localhost", True),
        ("*.example.com", b"a.b.example.com", True),
        ("*.example.com", b"example.com", False),
        ("*.example.com", b"evilexample.com", False),
        ("[::1]", b"[::1]:8080", True),
    ],
)
async def test_only_the_hosts_of_the_settings_are_served(hosts: str, host: bytes, allowed: bool) -> None:
    """Links and caches are built from the Host header; a stranger's name must not get into them."""
    names = frozenset(GatewaySettings(allowed_hosts=hosts).allowed_hosts)
    assert is_allowed(host, names) is allowed
    assert (await judge(b"/ok", (b"host", host), hosts=hosts) is None) is allowed


async def test_host_names_in_the_settings_may_be_in_any_case() -> None:
    """Names of hosts have no case; an operator should not have to know that we compare lower case."""
    assert await judge(b"/ok", (b"host", b"api.example.com"), hosts="API.Example.com") is None


@pytest.mark.parametrize("codings", [[b"chunked"], [b"Chunked"]])
async def test_a_chunked_body_passes(codings: list[bytes]) -> None:
    """Clients that stream do not know the length of what they send."""
    assert await judge(b"/ok", (b"host", b"x"), *((b"transfer-encoding", each) for each in codings)) is None


@pytest.mark.parametrize("codings", [[b"chunked", b"chunked"], [b"gzip, chunked"], [b"identity"], [b""]])
async def test_another_transfer_coding_is_refused(codings: list[bytes]) -> None:
    """Two programs that disagree on where a body ends disagree on where the next request begins."""
    assert await judge(b"/ok", (b"host", b"x"), *((b"transfer-encoding", each) for each in codings)) is not None


async def test_a_websocket_is_closed() -> None:
    """Nothing here speaks it; an open one would wait for ever."""
    assert await judge(kind="websocket") == [{"type": "websocket.close"}]


async def test_the_lifespan_is_the_apps_business() -> None:
    """Only requests are judged."""
    assert await judge(kind="lifespan") is None

"""Refuses requests that a proxy and the app could understand differently (request smuggling, path traversal).

It checks complete heads. `connection`, which sees the bytes arrive, limits how long a head or a body may be, and how
long it may take.
"""

import re
from functools import lru_cache

from starlette.types import ASGIApp, Receive, Scope, Send

from livestream_gateway.connection_limit import PROBE_PATHS
from livestream_gateway.envelope import Refusal
from livestream_gateway.exchange import RequestHeaders, respond
from livestream_gateway.settings import GatewaySettings

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ALLOW = (b"allow", ", ".join(METHODS).encode())
_CLOSE = (b"connection", b"close")

# RFC 9110, 7.2: uri-host [ ":" port ]. Underscores are no host name's, but the names of containers have them.
_HOST = re.compile(
    rb"(?P<name> [a-z0-9_-]{1,63} (?:\.[a-z0-9_-]{1,63})* \.? | \[[0-9a-f:.]{2,45}\] ) (?: :[0-9]{1,5} )?",
    re.IGNORECASE | re.VERBOSE,
)
MAX_HOST_BYTES = 253 + len(":65535")

# RFC 3986, 3.3, less what decodes to a control character, a slash or a backslash, less the segments `.` and `..`,
# and less two slashes in front, which begin the name of another host.
_PATH = re.compile(
    rb"""
    (?! // )
    (?:
        / (?! (?: \. | %2e ){1,2} (?: / | \Z ) )
        (?: [a-z0-9._~!$&'()*+,;=:@-] | % (?! [01] | 2f | 5c | 7f ) [0-9a-f]{2} )*+
    )++
    """,
    re.IGNORECASE | re.VERBOSE,
)


class Guard:
    """An ASGI app around `app` that lets only unambiguous HTTP requests through."""

    def __init__(self, app: ASGIApp, settings: GatewaySettings) -> None:
        self._app = app
        names = frozenset(name.lower() for name in settings.allowed_hosts)
        self._allowed = lru_cache(maxsize=256)(lambda host: is_allowed(host, names))
        self._well_formed = lru_cache(maxsize=16)(lambda host: is_allowed(host, frozenset("*")))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if scope["type"] == "http":
            try:
                self._check(scope)
            except Refusal as refusal:
                await respond(scope, send, refusal.answer, RequestHeaders(scope["headers"]).request_id)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        if scope["method"] not in METHODS:
            raise Refusal(405, headers=(_CLOSE, ALLOW))
        if not _PATH.fullmatch(scope["raw_path"]) or "\ufffd" in scope["path"]:  # U+FFFD: it was not UTF-8
            raise _build_refusal("the path must be plain: no control characters, dot segments, or encoded slashes")
        hosts = codings = 0
        host = coding = b""
        for name, value in scope["headers"]:
            if name == b"host":
                hosts, host = hosts + 1, value
            elif name == b"transfer-encoding":
                codings, coding = codings + 1, value
        # A probe names the address of this process as its host, which no operator can list.
        is_probe = scope["raw_path"] in PROBE_PATHS
        allowed = self._well_formed if is_probe else self._allowed
        # Balancers still probe by HTTP/1.0, which needs no Host (HAProxy's `option httpchk` by itself sends none).
        unnamed = is_probe and not hosts and scope["http_version"] == "1.0"
        if not unnamed and (hosts != 1 or not allowed(host)):
            raise _build_refusal("there must be one Host header, with a name that is served here")
        if codings and (codings > 1 or coding.lower() != b"chunked"):
            raise _build_refusal("the only transfer coding is chunked")


def is_allowed(host: bytes, names: frozenset[str]) -> bool:
    """Whether a Host header is well-formed and its name, whatever the port, is one of `names`.

    `names` are in lower case; `*` stands for any name, `*.example.com` for any below example.com.
    """
    if len(host) > MAX_HOST_BYTES or not (match := _HOST.fullmatch(host)):
        return False
    name = match["name"].decode().lower().removesuffix(".")
    return bool(names & {"*", name}) or any(name.endswith(each[1:]) for each in names if each.startswith("*."))


def _build_refusal(detail: str) -> Refusal:
    return Refusal(400, detail, headers=(_CLOSE,))

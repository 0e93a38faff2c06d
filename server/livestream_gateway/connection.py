"""One HTTP/1.1 connection: uvicorn's httptools protocol, with bounds on the time and the bytes that a peer may take.

uvicorn alone gives a peer unlimited time to send a request or to read an answer, buffers whatever arrives, and
refuses in plain text. Here every connection knows by when its peer must have sent or read more; the server's
tick asks each one to `enforce` that, which costs less than a timer per request.
"""

from asyncio import AbstractEventLoop, Transport
from collections.abc import Callable
from enum import Enum, auto
from itertools import chain
from math import ceil, inf
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from livestream_gateway.connection_limit import PROBE_PATHS, ConnectionLimit
from livestream_gateway.discarding import DiscardBudget
from livestream_gateway.envelope import Answer, Refusal
from livestream_gateway.exchange import respond
from livestream_gateway.guard import ALLOW
from livestream_gateway.proxies import TrustedProxies
from livestream_gateway.settings import GatewaySettings
from livestream_gateway.uploads import LARGE_BODY_BYTES

MAX_TARGET_BYTES = 8 * 1024
MAX_HEADERS = 64
MAX_HEADER_BYTES = 16 * 1024
MAX_PIPELINED = 16
MAX_DISCARDED_BYTES = 32 * 1024 * 1024  # of what a peer sends after it was answered
MAX_SMALL_PIECES = 2048
SMALL_PIECE_BYTES = 64
"""A body comes in so many pieces, and in one more for so many bytes of it: each chunk costs us more than its sender."""

LINGER_SECONDS = 2.0
SLOWEST_READ_BYTES = 16 * 1024  # of what we hold for a peer, it must read so much in every request timeout


_HEADERS_LIMIT = f"there may be at most {MAX_HEADERS} headers, of {MAX_HEADER_BYTES} bytes in all"


class ConnectionConfig(Config):
    """uvicorn's configuration, fixed to what the gateway needs."""

    def __init__(self, app: ASGIApp, settings: GatewaySettings) -> None:
        super().__init__(
            TrustedProxies(app, settings.trusted_proxies) if settings.trusted_proxies else app,
            http=Connection,
            ws="none",
            loop="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # uvicorn's own takes text for an address, and knows no IPv4 in the form of IPv6
            timeout_keep_alive=ceil(settings.idle_timeout_seconds),
        )
        self.settings = settings
        self.connection_limit = ConnectionLimit(settings.max_connections)
        self.discard_budget = DiscardBudget()


class Arriving(Enum):
    """What of a request the peer is sending."""

    NOTHING = auto()
    HEAD = auto()
    BODY = auto()
    REST = auto()
    """Whatever comes after our last answer; it is discarded."""


_NOTHING, _HEAD, _BODY, _REST = (
    Arriving  # Python 3.11 takes its time over `Arriving.HEAD`, and a request asks a dozen times
)


class _CycleTransport:
    """The transport as a request's cycle knows it: to close is to close when the peer can have read the answer."""

    def __init__(self, transport: Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close


class Connection(HttpToolsProtocol):
    """Bounds what `HttpToolsProtocol` leaves open.

    Times are of the loop's clock, infinity means never. `_arrive_by` is when the rest of a request must be here, or
    on an idle connection the first byte of the next one; `_read_by` is when the peer must have read more of our answer.
    """

    config: ConnectionConfig

    def __init__(
        self,
        config: ConnectionConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._request_timeout = config.settings.request_timeout_seconds
        self._idle_timeout = config.settings.idle_timeout_seconds
        self._arriving = _NOTHING
        self._arrive_by = self._read_by = inf
        self._unfinished = self._unread = self._discarded = self._body_size = self._pieces = 0
        self._finished_something = self._refused = self._only_probes = False

    def enforce(self, now: float) -> None:
        """Refuse or close if the peer is late; called several times per second."""
        if now >= self._arrive_by:
            if self._is_discarding():
                self.transport.abort()
            elif self.pipeline or self.flow.read_paused:  # we are late: an earlier answer, or the app's reading
                self._arrive_by = now + self._request_timeout
            elif self._arriving is _NOTHING:
                self.transport.close()
            else:
                self._refuse(Refusal(408, "the request took too long to arrive"))
        if now >= self._read_by and self._unread - self.transport.get_write_buffer_size() < SLOWEST_READ_BYTES:
            self.transport.abort()
        elif now >= self._read_by or (self._read_by == inf and self.transport.is_closing()):
            self._await_reading(now)

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._cycle_transport = _CycleTransport(transport, self._close)
        now = self.loop.time()
        self._arrive_by = now + self._request_timeout
        self._only_probes = not self.config.connection_limit.add(self, now)

    def connection_lost(self, exc: Exception | None) -> None:
        self.config.connection_limit.discard(self)
        self.config.discard_budget.forget(self)
        super().connection_lost(exc)

    def drop(self) -> None:
        """Close at once, to make room for others."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            self._discard(len(data))
            return
        self._unset_keepalive_if_required()
        self._finished_something = False
        try:
            self._parse(data)
        except HttpParserError as error:
            match error.__context__:
                case Refusal() as refusal:  # raised below, in a callback of the parser's
                    self._refuse(refusal)
                case _:
                    self._refuse(Refusal(400, "the request must be well-formed HTTP/1.1"))
            return
        # The parser keeps what belongs to one head, or to the trailers of a body, until that is whole; and what it
        # skips (empty lines before a request, extensions of a chunk) is of no use to anyone.
        self._unfinished = 0 if self._finished_something else self._unfinished + len(data)
        if self._unfinished > MAX_TARGET_BYTES + MAX_HEADER_BYTES:
            self._refuse(Refusal(431, _HEADERS_LIMIT))

    def _parse(self, data: bytes) -> None:
        rest = memoryview(data)  # its slices copy nothing, however many requests there are
        while rest:
            try:
                self.parser.feed_data(rest)
            except HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
            else:
                return
            self._read_head_again()

    def _read_head_again(self) -> None:
        """Read the head that offers another protocol once more, without that offer.

        Nothing else is spoken here, so the offer is ignored (RFC 9110, 7.8). But the parser has skipped the body and
        would take it for the next request. Raises HttpParserError if the head is an offer still: never twice.
        """
        head = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        head += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as in uvicorn
        try:
            self.parser.feed_data(b"\r\n".join([*head, b"", b""]))
        except HttpParserUpgrade:
            raise HttpParserError from None

    # What the parser calls.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._arriving = _HEAD
        self._arrive_by = self.loop.time() + self._request_timeout
        self._discarded = self._body_size = self._pieces = 0
        if self.cycle is None or self.cycle.response_complete:
            self.config.connection_limit.mark_arriving(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._arriving is _HEAD:
            super().on_header(name, value)
        # Else it is a trailer. Nobody would check it, so it does not join the headers (RFC 9110, 6.5.1).

    def on_headers_complete(self) -> None:
        self._finished_something = True
        if self.parser.get_method() == b"CONNECT":  # the parser takes it for an upgrade, whatever its headers say
            raise Refusal(405, headers=(ALLOW,))
        if len(self.url) > MAX_TARGET_BYTES:
            raise Refusal(414, f"the path and query must be at most {MAX_TARGET_BYTES} bytes")
        if self.url[:1] != b"/" or b"#" in self.url:
            raise Refusal(400, "the request target must be a path with an optional query")
        count = len(self.headers)
        if count > MAX_HEADERS or sum(map(len, chain.from_iterable(self.headers))) + 4 * count > MAX_HEADER_BYTES:
            raise Refusal(431, _HEADERS_LIMIT)
        if len(self.pipeline) == MAX_PIPELINED:
            raise Refusal(429, f"at most {MAX_PIPELINED} requests may wait for their turn on a connection")
        if self._only_probes and not self._is_probe():
            raise Refusal(503, "too many connections are open", headers=((b"retry-after", b"1"),))
        if not self.parser.should_upgrade():  # see `_read_head_again`
            if self.parser.get_http_version() == "1.0":
                self.expect_100_continue = False  # RFC 9110, 10.1.1
            super().on_headers_complete()
            self._arriving = _BODY
            self.cycle.transport = self._cycle_transport  # type: ignore[assignment]  # all of one that it needs
            if self._only_probes or self.expect_100_continue:
                # A client that was refused before it sent its body may send it or not, so what comes next on this
                # connection could be a body or a request.
                self.cycle.keep_alive = False

    def _is_probe(self) -> bool:
        return self.url.partition(b"?")[0] in PROBE_PATHS and self.parser.get_method() in (b"GET", b"HEAD")

    def on_body(self, body: bytes) -> None:
        self._finished_something = True
        self._body_size += len(body)
        self._pieces += 1
        if self._pieces > MAX_SMALL_PIECES + self._body_size // SMALL_PIECE_BYTES:
            raise Refusal(400, "the chunks of the body are too small")
        if self.cycle.response_complete:
            self._discard(len(body))
        elif self._body_size > LARGE_BODY_BYTES:  # whose sender is let in, or refused and so answered
            self.config.connection_limit.mark_busy(self)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._finished_something = True
        if self._arriving is _BODY:
            super().on_message_complete()
            self._arriving = _NOTHING
            self.config.connection_limit.mark_busy(self)
            if self.cycle.response_complete:
                self.discard_on()
                self._await_request()
            else:
                self._arrive_by = inf

    # What the request's cycle and the transport call.

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:  # else it is the cycle of a pipelined request
            self.cycle.body = bytearray()  # the next request may be long in coming
            if self._arriving is _NOTHING:
                self._await_request()
        if not self.pipeline and (
            self._arriving is _BODY or (self._arriving is _HEAD and self.cycle.response_complete)
        ):
            self.config.connection_limit.mark_arriving(self)

    def _await_request(self) -> None:
        now = self.loop.time()
        self._arrive_by = now + self._idle_timeout
        self.config.connection_limit.mark_idle(self, now)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reading(self.loop.time())

    def resume_writing(self) -> None:
        super().resume_writing()
        self._read_by = inf

    def _await_reading(self, now: float) -> None:
        self._unread = self.transport.get_write_buffer_size()
        self._read_by = now + self._request_timeout

    def _refuse(self, refusal: Refusal) -> None:
        """Answer in the app's place, and close; but requests before this one still get their answers."""
        self._refused = True
        cycle = self.cycle
        if self.pipeline and self._arriving is _BODY:

            async def respond_in_turn(scope: Scope, _receive: Receive, send: Send) -> None:
                await respond(scope, send, refusal.answer)

            cycle.keep_alive = False
            # The last to come is the first in there.
            self.pipeline[0] = cycle, respond_in_turn  # type: ignore[assignment]  # Starlette's types and uvicorn's
            return
        if self._arriving is _BODY:
            if not cycle.response_started:
                self._answer(refusal.answer)
        elif cycle is None or cycle.response_complete:
            self._answer(refusal.answer)
        else:
            self._arrive_by = inf
            cycle.keep_alive = False
            return
        self._linger()

    def _close(self) -> None:
        """Close after an answer."""
        if self._arriving is _BODY:
            self._linger()
        else:
            self.transport.close()

    def _linger(self) -> None:
        """Close, but read on for a while: for what we leave unread the peer's system discards our answer (RST)."""
        self._arriving = _REST
        self._arrive_by = self.loop.time() + LINGER_SECONDS
        cycle = self.cycle
        if cycle and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self.flow.resume_reading()
        self.transport.write_eof()

    def _is_discarding(self) -> bool:
        return self._arriving is _REST or (self._arriving is _BODY and self.cycle.response_complete)

    def _discard(self, count: int) -> None:
        """Bound what a peer sends for nothing, and how fast it is read."""
        self._discarded += count
        if self._discarded > MAX_DISCARDED_BYTES:
            self.transport.abort()
        elif not self.config.discard_budget.spend(self, count):
            self.flow.pause_reading()

    def discard_on(self) -> None:
        """Read on, after others had their turn."""
        self.config.discard_budget.forget(self)
        self.flow.resume_reading()

    def _answer(self, answer: Answer) -> None:
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(answer.body)),
            (b"connection", b"close"),
            *answer.headers,
        ]
        lines = [b"%b: %b\r\n" % header for header in headers]
        self.transport.write(b"".join([STATUS_LINE[answer.status], *lines, b"\r\n", answer.body]))

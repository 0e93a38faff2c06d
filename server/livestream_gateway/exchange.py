"""One HTTP exchange over ASGI: its headers, its body, whether the client is still there, and the answer."""

import asyncio
import re
from collections.abc import Iterable
from random import getrandbits
from types import TracebackType
from typing import Self

from starlette.types import Receive, Scope, Send

from livestream_gateway.contract import every_route
from livestream_gateway.envelope import Answer, Refusal, refuse_unauthenticated
from livestream_gateway.uploads import LARGE_BODY_BYTES, Upload

_METADATA_VALUE = re.compile(rb"[ -~]{1,8192}")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}(?:-[0-9a-f]{1,32}){3}")  # W3C Trace Context, section 3.2
REQUEST_ID = re.compile(rb"[!-~]{1,64}")
_KNOWN = frozenset(
    {
        b"authorization",
        b"content-length",
        b"content-type",
        b"expect",
        b"traceparent",
        b"x-request-id",
        *(name.lower().encode() for route in every_route() for name in route.headers.values()),
    }
)
COMMON_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
)


class ClientGone(Exception):
    """There is nobody left to answer."""


class RequestHeaders:
    """The headers that mean something here. One that comes twice could be read in two ways and is refused."""

    def __init__(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._values: dict[bytes, bytes] = {}
        self._repeated: bytes | None = None
        for name, value in headers:
            if name in _KNOWN:
                if name in self._values:
                    self._repeated = name
                self._values[name] = value
        given = self._values.get(b"x-request-id", b"")
        self.request_id = given if REQUEST_ID.fullmatch(given) else b"%016x" % getrandbits(64)

    def build_metadata(self, *, needs_token: bool) -> list[tuple[str, str]]:
        """The metadata of a call. Raises Refusal if a header came twice, or if there is no token that could be good."""
        if self._repeated == b"authorization":
            raise refuse_unauthenticated("the header authorization must be sent once")
        if self._repeated:
            raise Refusal(400, f"the header {self._repeated.decode()} must be sent once")
        metadata = [("x-request-id", self.request_id.decode("ascii"))]
        authorization = self._values.get(b"authorization")
        if authorization is not None:
            # The documentation's playground sends the bare token.
            token = authorization if authorization[:7].lower() == b"bearer " else b"Bearer " + authorization
            if not _METADATA_VALUE.fullmatch(token):
                raise refuse_unauthenticated("a valid bearer token is required")
            metadata.append(("authorization", token.decode("ascii")))
        elif needs_token:
            # The service would say the same, but only after the body was read.
            raise refuse_unauthenticated("a valid bearer token is required")
        traceparent = self._values.get(b"traceparent")
        if traceparent and _TRACEPARENT.fullmatch(traceparent):
            metadata.append(("traceparent", traceparent.decode("ascii")))
        return metadata

    def get(self, name: bytes) -> bytes | None:
        """The value of a header, named in lower case."""
        return self._values.get(name)


async def read_body(receive: Receive, limit: int, headers: RequestHeaders, upload: Upload) -> bytes:
    """The whole body, of at most `limit` bytes.

    `upload` is asked before more than LARGE_BODY_BYTES are read, and before anything is read if the client waits for
    a word (`Expect: 100-continue`, RFC 9110, 10.1.1), which the first `receive` gives.

    Raises Refusal (413; 400 for a length that is none; whatever `upload` raises) or ClientGone.
    """
    expected = limit
    if (declared := headers.get(b"content-length")) is not None:
        if not declared.isdigit():
            raise Refusal(400, "the header content-length must be a whole number")
        if len(declared) > len(str(limit)) or int(declared) > limit:
            raise _refuse_size(limit)
        expected = int(declared)
    if headers.get(b"expect") or (declared and expected > LARGE_BODY_BYTES):
        await upload.admit(expected)
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        if size > LARGE_BODY_BYTES:  # a chunked one, whose size nobody knows
            await upload.admit(expected)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise _refuse_size(limit)
        more = message.get("more_body", False)
    return b"".join(chunks)


def _refuse_size(limit: int) -> Refusal:
    # The connection stays: the server discards the rest, because a client that is still sending would miss the answer.
    return Refusal(413, f"the body must be at most {limit} bytes")


async def respond(scope: Scope, send: Send, answer: Answer, request_id: bytes | None = None) -> None:
    """Send `answer`; to HEAD without its body. The request's own id is the default."""
    headers = [
        *COMMON_HEADERS,
        (b"content-type", b"application/json"),
        (b"content-length", str(len(answer.body)).encode()),
        (b"x-request-id", request_id or RequestHeaders(scope["headers"]).request_id),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})


class WhileConnected:
    """Cancels what runs inside when the client goes away, and raises ClientGone instead.

    Listening costs a task, so it begins only when the work has taken `PATIENCE` seconds. The request's body has
    been read before.
    """

    PATIENCE = 0.02

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gone = False
        self._listener: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._work = asyncio.current_task(self._loop)
        self._timer = self._loop.call_later(self.PATIENCE, self._begin)
        return self

    def _begin(self) -> None:
        self._listener = self._loop.create_task(self._listen())

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        if self._work:
            self._work.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._listener:
            self._listener.cancel()
        if self._gone and self._work:
            # A cancellation of ours ends here, one by anybody else goes on.
            left = self._work.uncancel()
            if kind is asyncio.CancelledError and not left:
                raise ClientGone from None

"""Server-Sent Events (HTML Living Standard, section 9.2) for any server stream of the contract.

An answer's set field of the declared oneof is the event: its name, and its value as `data`; the declared id is the
event's id, which a client sends back as `Last-Event-ID`. An answer without an event is a comment, which keeps the
connection alive. A stream that ends before its first answer has nothing to tell: 204, upon which browsers stop asking.
"""

from collections.abc import AsyncGenerator
from http import HTTPStatus

import orjson
from google.protobuf.message import Message
from starlette.types import Scope, Send

from livestream_gateway.contract import Rpc
from livestream_gateway.envelope import to_refusal
from livestream_gateway.exchange import COMMON_HEADERS
from livestream_gateway.invoker import RpcError
from livestream_gateway.transcoding.render import build_renderer

CONTENT_TYPE = b"text/event-stream"
FAILURE = b"failure"
"""The event that ends a stream which could not go on; `error` is what browsers call a connection that was lost."""

RETRY_MILLISECONDS = 1000

_HEADERS = (
    *COMMON_HEADERS,
    (b"x-accel-buffering", b"no"),  # proxies that collect an answer before they pass it on would keep events back
)


class EventStream:
    """Writes the answers of one RPC as events."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        answer, declared = rpc.method.output_type, rpc.access.events
        self._kind, self._id = declared.kind, declared.id
        self._events = {
            field.name: (field.json_name.encode(), build_renderer(answer, field.name))
            for field in answer.oneofs_by_name[declared.kind].fields
        }

    def to_event(self, answer: Message) -> bytes:
        """One event, or a comment."""
        field = answer.WhichOneof(self._kind)
        if field is None:
            return b":\n\n"
        name, render = self._events[field]
        return b"id: %d\nevent: %b\ndata: %b\n\n" % (getattr(answer, self._id), name, orjson.dumps(render(answer)))

    async def respond(
        self, scope: Scope, send: Send, answers: AsyncGenerator[Message, None], request_id: bytes
    ) -> None:
        """Send `answers` as they come. Raises Refusal if there is a failure before the first one."""
        try:
            first = await anext(answers, None)
        except RpcError as error:
            # Whoever has opened too many is not to keep their connections, either.
            raise to_refusal(error, self._rpc.method.input_type, (b"connection", b"close")) from None
        if first is None:
            await _start(send, HTTPStatus.NO_CONTENT, request_id)
            await send({"type": "http.response.body"})
            return
        await _start(send, HTTPStatus.OK, request_id)
        if scope["method"] != "HEAD":
            await _send(send, b"retry: %d\n%b" % (RETRY_MILLISECONDS, self.to_event(first)))
            try:
                async for each in answers:
                    await _send(send, self.to_event(each))
            except RpcError as error:
                answer = to_refusal(error, self._rpc.method.input_type).answer
                await _send(send, b"event: %b\ndata: %b\n\n" % (FAILURE, answer.body))
        await send({"type": "http.response.body"})


async def _start(send: Send, status: HTTPStatus, request_id: bytes) -> None:
    headers = [*_HEADERS, (b"x-request-id", request_id)]
    if status is HTTPStatus.OK:
        headers.append((b"content-type", CONTENT_TYPE))
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})

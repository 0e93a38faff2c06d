"""The floor of HTTP: an ASGI application that answers everything with the same envelope, without looking at anything.

Served by uvicorn as the gateway is: uvloop and httptools, no access log.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]

BODY = (
    b'{"isSuccess":false,"statusCode":401,"data":null,'
    b'"errors":["Authentication required","a valid bearer token is required"],"timestamp":"2026-01-01T00:00:00.000Z"}'
)
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]


async def app(scope: Message, _receive: Any, send: Callable[[Message], Awaitable[None]]) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 401, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": BODY})

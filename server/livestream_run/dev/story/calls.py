"""Calls the instance as its users do: REST over one HTTP connection, gRPC through the client library."""

import asyncio
import io
import json
import secrets
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import Any, Protocol, Self

import grpc
from google.protobuf.json_format import MessageToDict
from PIL import Image

from livestream_client import LiveStreamClient, LiveStreamError
from livestream_run.dev.story.instance import Instance
from livestream_run.dev.story.steps import Answer, Rest, Rpc
from livestream_run.dev.token import dev_token

PATIENCE = 20.0
"""Seconds; longer than any call of the contract may take."""


class NoAnswer(Exception):
    """Nothing came back, or nothing that can be read."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(f"no answer that can be read: {cause or type(cause).__name__}")


class Caller(Protocol):
    """Whoever can make the story's calls."""

    async def answer(self, call: Rest | Rpc, who: str | None) -> Answer:
        """What the call brings back, with a token of the demo person `who`; raises NoAnswer."""


class WireCaller:
    """Calls a running instance."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._http = HTTPConnection(instance.http_address, timeout=PATIENCE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._http.close()

    async def answer(self, call: Rest | Rpc, who: str | None) -> Answer:
        scope = call.scope if isinstance(call, Rpc) else ""
        token = dev_token(self._instance.directory, who, scope) if who else None
        try:
            if isinstance(call, Rpc):
                return await self._over_grpc(call, token)
            return await asyncio.to_thread(self._over_http, call, token)
        except (OSError, HTTPException, ValueError) as error:
            self._http.close()
            raise NoAnswer(error) from error

    def _over_http(self, call: Rest, token: str | None) -> Answer:
        path = call.path.removeprefix(f"http://{self._instance.http_address}")
        headers, body = _headers_and_body(call)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        start = time.perf_counter()
        self._http.request(call.method, path, body, headers)
        response = self._http.getresponse()
        content = response.read()
        seconds = time.perf_counter() - start
        return Answer(response.status, seconds, _read(response.headers.get_content_type(), content))

    async def _over_grpc(self, call: Rpc, token: str | None) -> Answer:
        async with LiveStreamClient(self._instance.grpc_target, token=token) as client:
            async with asyncio.timeout(PATIENCE):
                await client.channel.channel_ready()  # a program connects once, not for each call
            start = time.perf_counter()
            try:
                message = await getattr(client, call.method)(**call.arguments)
                status, body = grpc.StatusCode.OK, MessageToDict(message)
            except LiveStreamError as error:
                status, body = error.code, _refusal(error)
            return Answer(status, time.perf_counter() - start, body)


def _headers_and_body(call: Rest) -> tuple[dict[str, str], bytes | None]:
    headers = {} if call.key is None else {"Idempotency-Key": call.key}
    if call.json is not None:
        return headers | {"Content-Type": "application/json"}, json.dumps(call.json).encode()
    if call.form is not None:
        boundary = secrets.token_hex(16)
        return headers | {"Content-Type": f"multipart/form-data; boundary={boundary}"}, _form(call.form, boundary)
    return headers, None


def _form(fields: Mapping[str, str | bytes], boundary: str) -> bytes:
    parts = []
    for name, value in fields.items():
        filename = '; filename="picture.jpg"' if isinstance(value, bytes) else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n\r\n'
        parts += [head.encode(), value if isinstance(value, bytes) else value.encode(), b"\r\n"]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()])


def _read(content_type: str, content: bytes) -> Any:
    """JSON as it is; of a picture, what it is."""
    if content_type == "application/json":
        return json.loads(content)
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        return {
            "contentType": content_type,
            "format": picture.format,
            "width": picture.width,
            "height": picture.height,
            "bytes": len(content),
        }


def _refusal(error: LiveStreamError) -> dict[str, Any]:
    return {"code": error.code.name, "reason": error.reason, "message": error.message, "metadata": {**error.metadata}}

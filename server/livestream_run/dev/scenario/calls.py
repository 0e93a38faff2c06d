"""Calls the instance as its users do: REST over one HTTP connection, gRPC through the client library."""

import asyncio
import io
import json
import secrets
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack
from http.client import HTTPConnection, HTTPException
from typing import Any, Protocol, Self

import grpc
from google.protobuf.json_format import MessageToDict
from PIL import Image

from livestream.v1.watch_service_pb2 import WatchStreamResponse
from livestream_client import LiveStreamClient, LiveStreamError
from livestream_run.dev.scenario.instance import Instance
from livestream_run.dev.scenario.steps import Answer, Call, Hear, Rest, Rpc, Watch
from livestream_run.dev.users import dev_token

PATIENCE = 20.0
"""Seconds; longer than any call of the contract may take."""


class NoAnswer(Exception):
    """Nothing came back, or nothing that can be read."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(f"no answer that can be read: {cause or type(cause).__name__}")


class Caller(Protocol):
    """Whoever can make the scenario's calls."""

    async def answer(self, call: Call, who: str | None) -> Answer:
        """What the call brings back, with a token of the demo user `who`; raises NoAnswer."""


class WireCaller:
    """Calls a running instance."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._http = HTTPConnection(instance.http_address, timeout=PATIENCE)
        self._watching: dict[tuple[str | None, str], AsyncGenerator[WatchStreamResponse, None]] = {}
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()
        self._http.close()

    async def answer(self, call: Call, who: str | None) -> Answer:
        scope = call.scope if isinstance(call, Rpc) else ""
        token = dev_token(self._instance.directory, who, scope) if who else None
        try:
            match call:
                case Rest():
                    return await asyncio.to_thread(self._over_http, call, token)
                case Rpc():
                    return await self._over_grpc(call, token)
                case Watch():
                    await self._watch(call, who, token)
                    return await self._next_event(who, call.live_stream_id, "snapshot")
                case Hear():
                    return await self._next_event(who, call.live_stream_id, call.kind)
        except (OSError, HTTPException, ValueError) as error:
            self._http.close()
            raise NoAnswer(error) from error

    async def _watch(self, call: Watch, who: str | None, token: str | None) -> None:
        client = await self._open.enter_async_context(LiveStreamClient(self._instance.grpc_target, token=token))
        watch = client.watch_stream(call.live_stream_id)
        self._open.push_async_callback(watch.aclose)
        self._watching[who, call.live_stream_id] = watch

    async def _next_event(self, who: str | None, live_stream_id: str, kind: str) -> Answer:
        """The next event of that kind; raises NoAnswer if there is none."""
        start = time.perf_counter()
        try:
            async with asyncio.timeout(PATIENCE):
                async for told in self._watching[who, live_stream_id]:
                    if told.WhichOneof("event") == kind:
                        return Answer(grpc.StatusCode.OK, time.perf_counter() - start, MessageToDict(told))
        except LiveStreamError as error:
            return Answer(error.code, time.perf_counter() - start, _refusal(error))
        except KeyError:
            raise NoAnswer(LookupError("this user does not watch it")) from None
        raise NoAnswer(LookupError(f"the watching ended before {kind}"))

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
                status, body = grpc.StatusCode.OK, await _call_rpc(client, call)
            except LiveStreamError as error:
                status, body = error.code, _refusal(error)
            return Answer(status, time.perf_counter() - start, body)


async def _call_rpc(client: LiveStreamClient, call: Rpc) -> dict[str, Any]:
    if call.stub is None or call.request is None:
        return MessageToDict(await getattr(client, call.method)(**call.arguments))
    message = await getattr(call.stub(client.channel), call.method)(call.request(**call.arguments))
    return MessageToDict(message, always_print_fields_with_no_presence=True)  # an empty list is an answer, too


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
        filename = '; filename="image.jpg"' if isinstance(value, bytes) else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n\r\n'
        parts += [head.encode(), value if isinstance(value, bytes) else value.encode(), b"\r\n"]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()])


def _read(content_type: str, content: bytes) -> Any:
    """JSON as it is; of an image, what it is."""
    if content_type == "application/json":
        return json.loads(content)
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        return {
            "contentType": content_type,
            "format": image.format,
            "width": image.width,
            "height": image.height,
            "bytes": len(content),
        }


def _refusal(error: LiveStreamError) -> dict[str, Any]:
    return {"code": error.code.name, "reason": error.reason, "message": error.message, "metadata": {**error.metadata}}

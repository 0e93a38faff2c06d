"""One route, compiled: an HTTP request becomes the RPC's message, the RPC's answer becomes `data`."""

import string
from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from starlette.types import Receive

from livestream.strict_json import NotJson, loads
from livestream_gateway.contract import Route
from livestream_gateway.envelope import Refusal, refuse_invalid
from livestream_gateway.events import EventStream
from livestream_gateway.exchange import RequestHeaders, read_body
from livestream_gateway.transcoding.form import NotAForm, read_form
from livestream_gateway.transcoding.read import Reader, Violation
from livestream_gateway.transcoding.render import build_renderer
from livestream_gateway.uploads import LARGE_BODY_BYTES, Upload

JSON, FORM = b"application/json", b"multipart/form-data"

_KIB, _MIB = 1024, 1024 * 1024
BODY_LIMIT = LARGE_BODY_BYTES
BODY_LIMITS_WITH_FILE = {JSON: 7 * _MIB + 64 * _KIB, FORM: 5 * _MIB + 64 * _KIB}
"""Bytes; base64 makes 5 MiB of file nearly 7 MiB of JSON."""

_MAX_QUERY_FIELDS = 100
_BASE64 = string.ascii_letters.encode() + string.digits.encode() + b"+/="


class Endpoint:
    """What the gateway does for one route."""

    def __init__(self, route: Route) -> None:
        self.route = route
        message = route.rpc.method.input_type
        self._request = Reader(message, route.decided)
        self._part = route.body if route.body != "*" else ""
        self._body = self._request.open_field(self._part) if self._part else self._request
        has_file = any(each.type == FieldDescriptor.TYPE_BYTES for each in message.fields)
        self._limits = BODY_LIMITS_WITH_FILE if has_file else dict.fromkeys((JSON, FORM), BODY_LIMIT)
        self._headers = [(field, name.lower().encode()) for field, name in route.headers.items()]
        self.render = build_renderer(route.rpc.method.output_type, route.response_body)
        self.events = EventStream(route.rpc) if route.rpc.method.server_streaming else None
        """How to answer, if the RPC streams its answers."""

    async def read_request(
        self,
        headers: RequestHeaders,
        query: bytes,
        variables: Mapping[str, str],
        receive: Receive,
        upload: Upload,
    ) -> Message:
        """The request. What the path decides is not even looked for elsewhere; a header wins over the body.

        Raises Refusal (400, 413, 415, or what `upload` raises) or ClientGone.
        """
        violations: list[Violation] = []
        fields: dict[str, Any] = {}
        if self.route.body != "*":
            fields |= self._request.read_texts(_parse_query(query), violations)
        if self.route.body:
            fields |= await self._read_body_fields(headers, receive, upload, violations)
        for field, header in self._headers:
            if (value := headers.get(header)) is not None:
                fields[field] = self._request.read_variable(
                    field, value.decode("latin-1"), violations, self.route.headers[field]
                )
        for name, text in variables.items():
            fields[name] = self._request.read_variable(name, text, violations)
        if violations:
            raise refuse_invalid(violations)
        return self.route.rpc.request(**fields, **self.route.fixed)

    async def _read_body_fields(
        self, headers: RequestHeaders, receive: Receive, upload: Upload, violations: list[Violation]
    ) -> dict[str, Any]:
        content_type = headers.get(b"content-type") or b""
        if self.route.takes_raw_body:
            body = await read_body(receive, BODY_LIMIT, headers, upload)
            return {self._part: {"content_type": content_type.decode("latin-1"), "data": body}}
        media_type = content_type.partition(b";")[0].strip().lower()
        if media_type and media_type not in self._limits:
            _refuse_type()
        body = await read_body(receive, self._limits.get(media_type, BODY_LIMIT), headers, upload)
        if body and not media_type:
            _refuse_type()
        if media_type == FORM:
            fields = self._body.read_texts(await _parse_form(content_type, body), violations)
        else:
            fields = self._body.read_json(_parse_object(body), violations)
        return {self._part: fields} if self._part else fields


def _parse_object(body: bytes) -> Mapping[str, Any]:
    """An empty body says nothing about any field, as `{}` does.

    Only a file makes a body long, and a file is base64: without that, JSON for a route that takes a file is as short
    as for any other. Seven megabytes of brackets would keep the event loop busy for seconds.
    """
    if len(body) > BODY_LIMIT and len(body.translate(None, _BASE64)) > BODY_LIMIT:
        raise Refusal(413, f"what is not base64 in the body must be at most {BODY_LIMIT} bytes")
    try:
        value = loads(body or b"{}")
    except NotJson:
        raise Refusal(400, "the body must be valid JSON without repeated keys") from None
    if type(value) is dict:
        return value
    raise Refusal(400, "the body must be a JSON object")


async def _parse_form(content_type: bytes, body: bytes) -> list[tuple[str, str | bytes]]:
    try:
        return await read_form(content_type.decode("latin-1"), body)
    except NotAForm:
        raise Refusal(400, "the body must be a complete form of at most 40 fields and one file") from None


def _parse_query(query: bytes) -> list[tuple[str, str]]:
    if not query:
        return []
    try:
        return parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_QUERY_FIELDS
        )
    except ValueError:
        raise Refusal(400, "the query must be UTF-8 of at most 100 fields") from None


def _refuse_type() -> NoReturn:
    raise Refusal(415, "the content-type must be application/json or multipart/form-data")

"""One function per parser of what strangers send: takes any bytes, and raises if they do what no bytes may do.

`make fuzz` looks for such bytes; the tests run the functions on the files in `corpus/`.
"""

import re
import zlib
from base64 import b64encode
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from livestream.strict_json import NotJson, loads
from livestream.v1.live_stream_service_pb2 import CreateStreamRequest
from livestream_agora import access_token2
from livestream_agora.inspection import inspect
from livestream_agora.packing import TokenFormatError
from livestream_gateway.transcoding.form import MAX_FIELDS, MAX_FILES, NotAForm, read_form
from livestream_gateway.transcoding.read import Reader
from livestream_server.auth.jwt import Authenticator
from livestream_server.errors import InvalidArgument, Unauthenticated
from livestream_server.images.thumbnail import encode_thumbnail
from tests.auth.forging import Clock, settings, signed
from tests.fuzz.conversation import converse

CERTIFICATE = "0123456789abcdef0123456789abcdef"
_READER = Reader(CreateStreamRequest.DESCRIPTOR)
_AUTHENTICATOR = Authenticator(settings(), clock=Clock())


def feed_connection(data: bytes) -> None:
    """The first byte says how long the pieces are in which the rest arrives; 0 is all at once."""
    size, stream = data[0] if data else 0, data[1:]
    converse([stream[at : at + size] for at in range(0, len(stream), size)] if size else [stream])


def read_a_form(data: bytes) -> None:
    """The first line is the content type."""
    content_type, _, body = data.partition(b"\n")
    try:
        pairs = _finish(read_form(content_type.decode("latin-1"), body))
    except NotAForm:
        return
    assert len(pairs) <= MAX_FIELDS + MAX_FILES
    assert sum(len(name) + len(value) for name, value in pairs) <= len(body)
    wrong: list[Any] = []
    fields = _READER.read_texts(pairs, wrong)
    if not wrong:
        CreateStreamRequest(**fields)


def read_json(data: bytes) -> None:
    """A body of JSON, as far as the message that it becomes."""
    try:
        value = loads(data)
    except NotJson:
        return
    if type(value) is not dict:
        return
    wrong: list[Any] = []
    fields = _READER.read_json(value, wrong)
    if not wrong:
        CreateStreamRequest(**fields)


def read_agora_token(data: bytes) -> None:
    """A token as text; and the content of one of either version, wrapped well."""
    content = b64encode(data).decode()
    for text in (
        data.decode("latin-1"),
        f"007{b64encode(zlib.compress(data)).decode()}",
        f"006{CERTIFICATE}{content}",
    ):
        inspect(text, certificate=CERTIFICATE, channel="c", uid=1, user_id="u", publish=True)
        with suppress(TokenFormatError):
            token = access_token2.decode(text)
            access_token2.verify(text, CERTIFICATE)
            if token.services:
                ordered = replace(token, services=tuple(sorted(token.services, key=lambda each: each.TYPE)))
                assert access_token2.decode(access_token2.encode(token, CERTIFICATE)) == ordered


def read_jwt(data: bytes) -> None:
    """An `authorization` entry; and, split at the first line feed, a header and claims that are signed well."""
    header, _, claims = data.partition(b"\n")
    for text in (data.decode("latin-1"), f"Bearer {signed(header, claims)}"):
        try:
            caller = _finish(_AUTHENTICATOR.authenticate(text))
        except Unauthenticated:
            continue
        assert re.fullmatch(r"[0-9a-f]{24}", caller.id)


def open_image(data: bytes) -> None:
    """A thumbnail is made, or refused in words."""
    with suppress(InvalidArgument):
        assert encode_thumbnail(data).startswith(b"RIFF")


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "connection": feed_connection,
    "form": read_a_form,
    "json": read_json,
    "agora_token": read_agora_token,
    "jwt": read_jwt,
    "image": open_image,
}


def _finish(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


_finish(_AUTHENTICATOR.start())

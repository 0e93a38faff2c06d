"""Messages as plain values for orjson, in their public form.

Every field is present, in the order of the contract. An unset `optional` or message is `null`, as is an enum that is
UNSPECIFIED or newer than this program. 64-bit integers are numbers, bytes are base64, map keys are sorted.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from livestream.v1.access_pb2 import inline
from livestream_gateway.transcoding.names import find_public_values

Render = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - UTC by definition; a zone would only be cut off again
_LARGE = 20
"""Fields of a message from which on it pays to remember its JSON. A stream is shown to thousands who join it."""

_CACHE_SIZE = 512  # messages of one type, of about 3 KB each

_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")


def build_renderer(message: Descriptor, field: str = "") -> Render:
    """What writes a whole `message`, or only its `field`."""
    if not field:
        return _Compiler().compile_message(message)
    only = message.fields_by_name[field]
    render = _Compiler().compile_fields([only])
    return lambda value: render(value)[only.json_name]


class _Compiler:
    """Compiles message types, each once; a message may contain its own kind."""

    def __init__(self) -> None:
        self._done: dict[str, Render] = {}

    def compile_message(self, message: Descriptor) -> Render:
        if known := _VALUES.get(message.full_name) or self._done.get(message.full_name):
            return known
        # Stands in while the fields are being compiled.
        self._done[message.full_name] = lambda value: self._done[message.full_name](value)  # noqa: PLW0108 - looked up late
        self._done[message.full_name] = render = self.compile_fields(message.fields)
        return render

    def compile_fields(self, fields: Sequence[FieldDescriptor]) -> Callable[[Message], dict[str, Any]]:
        """Read all fields at once, then convert those whose Python value is not JSON: twice as fast as a loop."""
        names = tuple(each.json_name for each in fields)
        values_of = _build_getter([each.name for each in fields])
        absent_or: list[tuple[int, str, Render | None]] = []
        converted: list[tuple[int, Render]] = []
        inlined = {field.json_name for field in fields if field.GetOptions().Extensions[inline]}
        for index, field in enumerate(fields):
            convert = self._compile_field(field, whole=field.json_name not in inlined)
            if field.has_presence and field.json_name not in inlined:
                absent_or.append((index, field.name, convert))
            elif convert:
                converted.append((index, convert))

        def render(message: Message) -> dict[str, Any]:
            values = list(values_of(message))
            for index, name, convert in absent_or:
                if not message.HasField(name):
                    values[index] = None
                elif convert:
                    values[index] = convert(values[index])
            for index, always in converted:
                values[index] = always(values[index])
            return dict(zip(names, values, strict=True))

        return _flatten(render, inlined) if inlined else render

    def _compile_field(self, field: FieldDescriptor, *, whole: bool) -> Render | None:
        """What turns a field's Python value into its JSON value; None where they are the same.

        A message that is not shown as a `whole` must become a dictionary, of which others take the entries.
        """
        if field.message_type and field.message_type.GetOptions().map_entry:
            return _compile_map(self._compile_single(field.message_type.fields_by_name["value"], whole=whole))
        single = self._compile_single(field, whole=whole)
        if not field.is_repeated:
            return single
        return (lambda values: [single(each) for each in values]) if single else list

    def _compile_single(self, field: FieldDescriptor, *, whole: bool) -> Render | None:
        if field.message_type:
            if whole and len(field.message_type.fields) >= _LARGE:
                return _render_cached(field.message_type)
            return self.compile_message(field.message_type)
        if field.enum_type:
            return {number: name for name, number in find_public_values(field.enum_type).items()}.get
        return _render_base64 if field.type == FieldDescriptor.TYPE_BYTES else None


@cache
def _render_cached(message: Descriptor) -> Render:
    """Render like a compiler, once for all messages of the same bytes: finding the JSON takes a tenth of making it.

    All routes share what is remembered of a type.
    """
    parse = GetMessageClass(message).FromString
    compiled = cache(lambda: _Compiler().compile_message(message))  # at its first use: it may contain its own kind

    @lru_cache(_CACHE_SIZE)
    def render(encoded: bytes) -> orjson.Fragment:
        return orjson.Fragment(orjson.dumps(compiled()(parse(encoded))))

    return lambda value: render(value.SerializeToString())


def _flatten(
    render: Callable[[Message], dict[str, Any]], names: Collection[str]
) -> Callable[[Message], dict[str, Any]]:
    """Render like `render`, with the fields of the messages in `names` in the place of those messages."""

    def flat(message: Message) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in render(message).items():
            found |= value if name in names else {name: value}
        return found

    return flat


def _build_getter(names: Sequence[str]) -> Callable[[Message], Sequence[Any]]:
    # attrgetter answers with a tuple from the second name on.
    return attrgetter(*names) if len(names) > 1 else lambda message: [getattr(message, name) for name in names]


def _compile_map(convert: Render | None) -> Render:
    def render(entries: Mapping[Any, Any]) -> dict[str, Any]:
        ordered = sorted(
            ((str(key), value) for key, value in entries.items()), key=lambda entry: _build_sort_key(entry[0])
        )
        return {key: convert(value) if convert else value for key, value in ordered}

    return render


def _build_sort_key(key: str) -> tuple[bool, int, str]:
    """Numbers by value, then words: `40`, `76`, `100`, `original`."""
    number = key.isascii() and key.isdecimal()
    return not number, len(key) if number else 0, key


def _render_base64(value: bytes) -> str:
    return b64encode(value).decode("ascii")


@lru_cache(4096)
def _render_instant(seconds: int, nanos: int) -> str:
    """RFC 3339 in UTC, cut to milliseconds. The times of a stream are written again for each of its viewers."""
    moment = _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    return moment.isoformat(timespec="milliseconds") + "Z"


def _render_decimal(value: Any) -> orjson.Fragment | None:
    """A number with its very digits, never through a float; None if the text is no JSON number."""
    return orjson.Fragment(value.value) if _JSON_NUMBER.fullmatch(value.value) else None


# Messages that are one JSON value.
_VALUES: Mapping[str, Render] = {
    "google.protobuf.Timestamp": lambda value: _render_instant(value.seconds, value.nanos),
    "google.type.Decimal": _render_decimal,
}

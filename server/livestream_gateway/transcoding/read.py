"""Public values as fields of messages: JSON, and the texts of queries, paths and forms.

Unknown names are ignored, so that old and new clients both work; `null` is the same as absent. Whatever is ill-typed
is reported under its public name, all of it at once. What a value means is the service's to judge.
"""

import math
import re
from base64 import b64decode
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, TypeAlias

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.rpc.error_details_pb2 import BadRequest

from livestream.strict_json import Fraction, NotJson, loads
from livestream.v1.access_pb2 import lenient
from livestream_gateway.transcoding.names import find_public_values

Violation: TypeAlias = BadRequest.FieldViolation
"""A field under its public path (`guests[1]`), and what it must be (`must be a string`)."""

Read = Callable[[Any, str, list[Violation]], Any]
"""Turns a value, which stands at a path, into what a message's constructor takes; reports what is wrong."""

_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})", re.IGNORECASE
)
_DECIMAL = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?")


class Reader:
    """Takes in one kind of message. The results are keyword arguments for its constructor.

    The fields of `decided`, named as in the proto, are as unknown to JSON and texts as a name that does not exist.
    """

    def __init__(self, message: Descriptor, decided: Collection[str] = ()) -> None:
        self._all = {each.name: _Field(each) for each in message.fields}
        self._open = {each.public: each for name, each in self._all.items() if name not in decided}

    def read_json(self, value: Mapping[str, Any], violations: list[Violation], at: str = "") -> dict[str, Any]:
        """The fields that a JSON object sets."""
        found = {}
        for name, given in value.items():
            field = self._open.get(name)
            if field and given is not None:
                found[field.name] = field.read_json(given, f"{at}.{name}" if at else name, violations)
        return found

    def read_texts(self, pairs: Iterable[tuple[str, str | bytes]], violations: list[Violation]) -> dict[str, Any]:
        """The fields that a query or a form sets. Bytes are a file's.

        A field that is repeated may be given several times or as one JSON array; a message is given as JSON. An empty
        text is what forms send for a field that was left blank: it is absent.
        """
        given: dict[str, list[str | bytes]] = {}
        for name, value in pairs:
            if name in self._open and value != "":
                given.setdefault(name, []).append(value)
        found = {}
        for name, values in given.items():
            field = self._open[name]
            value = field.read_texts(values, name, [] if field.lenient else violations)
            if value is not None:
                found[field.name] = value
        return found

    def open_field(self, name: str) -> "Reader":
        """The reader of a field, named as in the proto, that is a message."""
        message = self._all[name].descriptor.message_type
        if message is None:
            raise ValueError(f"{name} is not a message")
        return Reader(message)

    def read_variable(self, name: str, text: str, violations: list[Violation], at: str = "") -> Any:
        """The value of one field, named as in the proto, from a path, or from the header `at`."""
        field = self._all[name]
        return field.read_texts([text], at or field.public, violations)


class _Field:
    """One field of a message, compiled at its first use, because a message may contain its own kind."""

    def __init__(self, field: FieldDescriptor) -> None:
        self.name = field.name
        self.public = field.json_name
        self.descriptor = field
        self.lenient = field.GetOptions().Extensions[lenient]
        self._repeated = field.is_repeated and not _is_map(field)
        self._is_text = field.cpp_type == FieldDescriptor.CPPTYPE_STRING or field.enum_type is not None
        if field.message_type:
            self._is_text = field.message_type.full_name == "google.protobuf.Timestamp"

    @cached_property
    def read_json(self) -> Read:
        return _build_reader(self.descriptor)

    def read_texts(self, values: list[str | bytes], at: str, violations: list[Violation]) -> Any:
        first = values[0]
        if self._repeated:
            as_json = len(values) == 1 and isinstance(first, str) and first.lstrip().startswith("[")
            given = _parse_literal(first) if as_json else [self._read_value(each) for each in values]
        elif len(values) > 1:
            violations.append(Violation(field=at, description="must be given once"))
            return None
        else:
            given = self._read_value(first)
        return None if given is None else self.read_json(given, at, violations)

    def _read_value(self, text: str | bytes) -> Any:
        return text if self._is_text or isinstance(text, bytes) else _parse_literal(text)


def _parse_literal(text: str | bytes) -> Any:
    """The JSON value that a text spells; the text itself, which no number, boolean, array or object is, if none."""
    try:
        return loads(text)
    except NotJson:
        return text


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _build_reader(field: FieldDescriptor) -> Read:
    if field.message_type and _is_map(field):
        return _build_map(_build_single(field.message_type.fields_by_name["value"]))
    single = _build_single(field)
    return _build_list(single) if field.is_repeated else single


def _build_single(field: FieldDescriptor) -> Read:
    if field.message_type:
        return _VALUES.get(field.message_type.full_name) or _build_message(field.message_type)
    if field.enum_type:
        return _build_enum(field.enum_type)
    if field.cpp_type in _INTEGERS:
        return _build_integer(*_INTEGERS[field.cpp_type])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _read_bytes
    return {FieldDescriptor.CPPTYPE_STRING: _read_string, FieldDescriptor.CPPTYPE_BOOL: _read_boolean}.get(
        field.cpp_type, _read_float
    )


def _build_message(message: Descriptor) -> Read:
    reader = Reader(message)

    def read(value: Any, at: str, violations: list[Violation]) -> Any:
        if type(value) is dict:
            return reader.read_json(value, violations, at)
        return _refuse(at, "must be an object", violations)

    return read


def _build_list(single: Read) -> Read:
    def read(values: Any, at: str, violations: list[Violation]) -> Any:
        if type(values) is list:
            return [single(each, f"{at}[{index}]", violations) for index, each in enumerate(values)]
        return _refuse(at, "must be an array", violations)

    return read


def _build_map(single: Read) -> Read:
    def read(entries: Any, at: str, violations: list[Violation]) -> Any:
        if type(entries) is dict:
            # The keys are the caller's, so they are not repeated in an answer.
            return {_read_string(key, at, violations): single(each, at, violations) for key, each in entries.items()}
        return _refuse(at, "must be an object", violations)

    return read


def _build_enum(enum: EnumDescriptor) -> Read:
    public = find_public_values(enum)
    numbers = {each.name: each.number for each in enum.values if each.number} | public
    allowed = f"must be one of: {', '.join(public)}"

    def read(value: Any, at: str, violations: list[Violation]) -> Any:
        number = numbers.get(value) if type(value) is str else None
        return _refuse(at, allowed, violations) if number is None else number

    return read


def _build_integer(low: int, high: int) -> Read:
    def read(value: Any, at: str, violations: list[Violation]) -> Any:
        if type(value) is not int:
            return _refuse(at, "must be a whole number", violations)
        return value if low <= value <= high else _refuse(at, f"must be {low} to {high}", violations)

    return read


def _read_string(value: Any, at: str, violations: list[Violation]) -> Any:
    if type(value) is not str:
        return _refuse(at, "must be a string", violations)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:  # half of a surrogate pair, which no message can carry
            return _refuse(at, "must be valid Unicode", violations)
    return value


def _read_boolean(value: Any, at: str, violations: list[Violation]) -> Any:
    return value if type(value) is bool else _refuse(at, "must be true or false", violations)


def _read_float(value: Any, at: str, violations: list[Violation]) -> Any:
    try:
        number = float(value.digits if type(value) is Fraction else value if type(value) is int else "nan")
    except OverflowError:
        number = math.inf
    return number if math.isfinite(number) else _refuse(at, "must be a number", violations)


def _read_bytes(value: Any, at: str, violations: list[Violation]) -> Any:
    if value == b"":
        return _refuse(at, "must not be empty", violations)
    if type(value) is bytes:
        return value
    try:
        return b64decode(value, validate=True)
    except (TypeError, ValueError):
        return _refuse(at, "must be base64", violations)


def _read_decimal(value: Any, at: str, violations: list[Violation]) -> Any:
    digits = value.digits if type(value) is Fraction else str(value) if type(value) is int else ""
    return {"value": digits} if _DECIMAL.fullmatch(digits) else _refuse(at, "must be a decimal number", violations)


def _read_instant(value: Any, at: str, violations: list[Violation]) -> Any:
    """RFC 3339, cut to milliseconds as everything that this API stores."""
    if type(value) is str and _RFC_3339.fullmatch(value):
        try:
            since = datetime.fromisoformat(value.upper()).astimezone(UTC) - _EPOCH
        except (ValueError, OverflowError):  # the 30th of February, or the year 10000 in UTC
            pass
        else:
            milliseconds = since // timedelta(milliseconds=1)
            return {"seconds": milliseconds // 1000, "nanos": milliseconds % 1000 * 1_000_000}
    return _refuse(at, "must be a time such as 2026-01-15T10:30:00.000Z", violations)


def _refuse(at: str, description: str, violations: list[Violation]) -> None:
    violations.append(Violation(field=at, description=description))


# Messages that are one JSON value.
_VALUES: Mapping[str, Read] = {"google.protobuf.Timestamp": _read_instant, "google.type.Decimal": _read_decimal}

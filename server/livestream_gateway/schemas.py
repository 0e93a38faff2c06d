"""JSON Schemas (2020-12, as OpenAPI 3.1 has them) of the contract's messages, as the gateway writes them.

What callers send and what we answer differ: a request must contain what the contract calls REQUIRED and may leave
out the rest; an answer has every field, and `null` stands for what is absent.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import Any, TypeAlias

import orjson
from google.api import field_behavior_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from livestream.v1.access_pb2 import inline
from livestream_gateway.comments import read_comments
from livestream_gateway.transcoding.names import find_public_values

Schema: TypeAlias = dict[str, Any]

INSTANT: Schema = {"type": "string", "format": "date-time", "examples": ["2026-01-15T10:30:00.000Z"]}

# Messages that the transcoding writes as one JSON value.
_VALUES: dict[str, Schema] = {
    "google.protobuf.Timestamp": INSTANT,
    "google.type.Decimal": {"type": "number", "examples": [9.99]},
}
_INT32, _INT64 = {"type": "integer", "format": "int32"}, {"type": "integer", "format": "int64"}
_SCALARS: dict[int, Schema] = {
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptor.TYPE_INT32: _INT32,
    FieldDescriptor.TYPE_INT64: _INT64,
    FieldDescriptor.TYPE_STRING: {"type": "string"},
    FieldDescriptor.TYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    FieldDescriptor.TYPE_UINT64: {"type": "integer", "minimum": 0},
}
_EXAMPLE = re.compile(r"\bfor example `([^`]+)`", re.IGNORECASE)
_PROTO_NAME = re.compile(r"\b[a-z]+(?:_[a-z0-9]+)+\b")


class Way(Enum):
    """Which way a message travels, and how it is written."""

    ANSWER = "answer"
    JSON = "json"
    FORM = "form"  # multipart/form-data


class Schemas:
    """The schemas of one document. Messages and enums that they mention become its components."""

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}

    def build_message(self, message: Descriptor, way: Way) -> Schema:
        """The schema of a whole message."""
        if value := _VALUES.get(message.full_name):
            if way is Way.ANSWER:
                return value
            return {key: value[key] for key in value if key != "examples"}
        name = message.name if way is Way.ANSWER else f"{message.name}Input"
        return self.refer_to(name, lambda: self.build_object(message, message.fields, way))

    def refer_to(self, name: str, build: Callable[[], Schema]) -> Schema:
        """A reference to the component `name`, which `build` makes at the first mention."""
        if name not in self.components:
            self.components[name] = {}  # a message may mention itself
            self.components[name] = build()
        return {"$ref": f"#/components/schemas/{name}"}

    def build_object(self, message: Descriptor, fields: Iterable[FieldDescriptor], way: Way) -> Schema:
        """An object of some of the fields of `message`."""
        fields = list(_flatten(fields))
        schema: Schema = {
            "type": "object",
            "description": describe(message.full_name),
            "properties": {field.json_name: self.build_field(field, way) for field in fields},
        }
        if required := [field.json_name for field in fields if way is Way.ANSWER or is_required(field)]:
            schema["required"] = required
        return schema

    def build_field(self, field: FieldDescriptor, way: Way) -> Schema:
        """The schema of one field, with its comment."""
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            values = self._build_one(field.message_type.fields_by_name["value"], way)
            schema = {"type": "object", "additionalProperties": values}
        elif field.is_repeated:
            schema = {"type": "array", "items": self._build_one(field, way)}
        elif _may_be_null(field, way):
            schema = make_nullable(self._build_one(field, way))
        else:
            schema = self._build_one(field, way)
        schema = schema | {"description": describe(field.full_name)}
        if (example := find_example(field)) is not None:
            schema["examples"] = [example]
        return schema

    def _build_one(self, field: FieldDescriptor, way: Way) -> Schema:
        if field.message_type is not None:
            return self.build_message(field.message_type, way)
        if (enum := field.enum_type) is not None:
            return self.refer_to(enum.name, lambda: _build_enum(enum))
        if field.type == FieldDescriptor.TYPE_BYTES:
            if way is Way.FORM:  # a file; `format` is what tools of OpenAPI 3.0 look for
                return {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}
            return {"type": "string", "contentEncoding": "base64"}
        return _SCALARS[field.type]


def _flatten(fields: Iterable[FieldDescriptor]) -> Iterator[FieldDescriptor]:
    for field in fields:
        if field.message_type is not None and field.GetOptions().Extensions[inline]:
            yield from _flatten(field.message_type.fields)
        else:
            yield field


def is_required(field: FieldDescriptor) -> bool:
    """Whether the contract marks `field` as REQUIRED."""
    return field_behavior_pb2.REQUIRED in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def find_example(field: FieldDescriptor) -> Any:
    """What the field's comment gives as "for example `…`", in the field's JSON type; None if it gives nothing."""
    if not (found := _EXAMPLE.search(read_comments().get(field.full_name, ""))):
        return None
    plain = field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated
    return found[1] if plain else orjson.loads(found[1])


def describe(full_name: str) -> str:
    """The comment of `full_name`, in which fields are called as the public API calls them."""
    return _PROTO_NAME.sub(_write_as_public, read_comments().get(full_name, ""))


def _write_as_public(word: re.Match[str]) -> str:
    known = any(name.endswith(f".{word[0]}") for name in read_comments())
    return re.sub("_(.)", lambda letter: letter[1].upper(), word[0]) if known else word[0]


def _may_be_null(field: FieldDescriptor, way: Way) -> bool:
    # An enum's zero value means "not said", which the transcoding writes as null.
    match way:
        case Way.ANSWER:
            return (field.has_presence or field.enum_type is not None) and not is_required(field)
        case Way.JSON:
            return not is_required(field)
        case Way.FORM:
            return False


def make_nullable(schema: Schema) -> Schema:
    """The schema of a value that may also be `null`."""
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return schema | {"type": [schema["type"], "null"]}


def _build_enum(enum: EnumDescriptor) -> Schema:
    values = find_public_values(enum)
    lines = [describe(enum.full_name), ""]
    for name, number in values.items():
        lines.append(f"* `{name}`: {describe(f'{enum.full_name}.{enum.values_by_number[number].name}')}")
    return {"type": "string", "enum": list(values), "description": "\n".join(lines)}

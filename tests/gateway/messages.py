"""Arbitrary messages of the contract, built from its descriptors."""

from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

from livestream_gateway.contract import every_route, every_service

_TIMESTAMPS = st.builds(
    lambda seconds, milliseconds: {"seconds": seconds, "nanos": milliseconds * 1_000_000},
    st.integers(-62_135_596_800, 253_402_300_799),  # the years 1 to 9999
    st.integers(0, 999),
)
_DECIMALS = st.decimals(min_value=0, max_value=9_999_999, places=2).map(lambda value: {"value": str(value)})
_TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
_RAW_BODIES = st.fixed_dictionaries({"content_type": _TEXTS, "data": st.binary(max_size=20)})
_WHOLE = {
    "google.api.HttpBody": _RAW_BODIES,
    "google.protobuf.Timestamp": _TIMESTAMPS,
    "google.type.Decimal": _DECIMALS,
}
_SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_DOUBLE: st.floats(allow_nan=False, allow_infinity=False),
    FieldDescriptor.CPPTYPE_STRING: _TEXTS,
}


def every_message() -> list[type[Message]]:
    """Requests and answers of all RPCs, and whatever they contain."""
    found: dict[str, Descriptor] = {}

    def visit(message: Descriptor) -> None:
        if message.full_name.startswith("livestream.") and message.full_name not in found:
            found[message.full_name] = message
            for field in message.fields:
                if field.message_type:
                    visit(field.message_type)

    for service in every_service():
        for method in service.methods:
            visit(method.input_type)
            visit(method.output_type)
    return [GetMessageClass(each) for each in found.values() if not each.GetOptions().map_entry]


def public_requests() -> list[type[Message]]:
    """The requests of the RPCs that have a public path."""
    return list({route.rpc.request: None for route in every_route()})


def messages(kind: type[Message]) -> st.SearchStrategy[Any]:
    """Messages in which each field may be unset or anything that fits its type."""
    return _fields(kind.DESCRIPTOR).map(lambda fields: kind(**fields))


@cache
def _fields(message: Descriptor) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={field.name: _field(field) for field in message.fields})


def _field(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.message_type and field.message_type.GetOptions().map_entry:
        return st.dictionaries(_TEXTS, _single(field.message_type.fields_by_name["value"]), max_size=3)
    return st.lists(_single(field), max_size=2) if field.is_repeated else _single(field)


def _single(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.message_type:
        name = field.message_type.full_name
        return _WHOLE[name] if name in _WHOLE else _fields(field.message_type)
    if field.enum_type:
        return st.sampled_from([each.number for each in field.enum_type.values if each.number])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=20)
    return _SCALARS[field.cpp_type]

"""What the contract says of a method, read once from its descriptor: access, required fields, size, timeout."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter, methodcaller
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from livestream.service_config import timeouts
from livestream.v1.access_pb2 import Access, access
from livestream_server.errors import InvalidArgument, Violation

SMALL_REQUEST_BYTES = 68 * 1024  # a REST body of 64 KiB, even a raw one, and what surrounds it
LARGE_REQUEST_BYTES = 6 * 1024 * 1024  # a thumbnail of 5 MiB and what surrounds it


@dataclass(frozen=True, slots=True)
class Method:
    """One method of `livestream.v1`."""

    service: str
    name: str
    response: type[Message]
    path: str
    """The name on the wire: `/livestream.v1.LiveStreamService/JoinStream`."""
    level: "Access.Level.ValueType"
    scope: str
    rate: "Access.Rate.ValueType"
    """Which of a caller's rates a call counts against."""
    file: str
    """The field that holds a file; empty if there is none."""
    required: Mapping[str, Callable[[Message], Any]]
    """The fields that must be there, each with what tells whether it is, and not empty."""
    max_request_bytes: int
    timeout: float
    event_id: str
    """The field of a stream's answers from which a caller resumes; empty if there is none."""
    watched: str
    """The field of a stream's request that names what is watched; empty if there is none."""

    def check_required(self, request: Message) -> None:
        """Raise InvalidArgument with one violation for each REQUIRED field that is absent or empty."""
        missing = [Violation(name, "is required") for name, given in self.required.items() if not given(request)]
        if missing:
            raise InvalidArgument(*missing)


def find_method(service: str, name: str) -> Method:
    """The method's facts.

    Raises KeyError if service_config.json has no timeout for it, or the pool does not know it.
    """
    descriptor: MethodDescriptor = Default().FindServiceByName(service).methods_by_name[name]
    option: Access = descriptor.GetOptions().Extensions[access]
    fields = descriptor.input_type.fields
    path = f"/{service}/{name}"
    file = next((each.name for each in fields if each.type == each.TYPE_BYTES), "")
    return Method(
        service=service,
        name=name,
        response=GetMessageClass(descriptor.output_type),
        path=path,
        level=option.level or Access.LEVEL_REQUIRED,
        scope=option.scope,
        rate=option.rate,
        file=file,
        required={each.name: _build_presence_check(each) for each in fields if _is_required(each)},
        max_request_bytes=LARGE_REQUEST_BYTES if file else SMALL_REQUEST_BYTES,
        timeout=timeouts()[path],
        event_id=option.events.id,
        watched=option.events.watched,
    )


def _is_required(field: FieldDescriptor) -> bool:
    return field_behavior_pb2.REQUIRED in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def _build_presence_check(field: FieldDescriptor) -> Callable[[Message], Any]:
    return methodcaller("HasField", field.name) if field.has_presence else attrgetter(field.name)

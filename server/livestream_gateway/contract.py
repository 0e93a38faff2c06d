"""The contract as values: every RPC with a public path, read from the descriptors of `livestream.v1`.

What a path is, which part of a message its body fills, what it fixes and how long it may take all stand in the
proto files and in `service_config.json`. A new RPC needs no line here.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

import livestream.v1
from livestream.service_config import timeouts
from livestream.v1.access_pb2 import Access, access, grpc_only, header

IDEMPOTENCY_FIELD = "request_id"
"""The field of a request that the header `Idempotency-Key` fills."""

RAW_BODY = "google.api.HttpBody"
"""A body of this type is taken as it comes, byte for byte (googleapis/google/api/httpbody.proto)."""


@dataclass(frozen=True, slots=True, eq=False)
class Rpc:
    """One method of the contract, unary or a server stream."""

    name: str
    """As on the wire: `/livestream.v1.LiveStreamService/JoinStream`."""

    method: MethodDescriptor
    request: type[Message]
    response: type[Message]
    access: Access
    timeout: float
    """Seconds, from `service_config.json`."""


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One way to call an RPC over HTTP: a verb and a path."""

    rpc: Rpc
    verb: str
    """Upper case, as in a request line."""

    path: str
    """As in google.api.http; `{live_stream_id}` stands for one segment, which becomes that field."""

    body: str
    """What the HTTP body fills: `*` the whole message, or a field. The query fills the rest; empty = the query only."""

    takes_raw_body: bool
    """Whether the body is taken as it comes."""

    response_body: str
    """The field of the answer that becomes `data`; empty = the whole message."""

    fixed: Mapping[str, int]
    """Enum fields of the request that this path decides."""

    headers: Mapping[str, str]
    """The request's fields that a header fills, each with the header's name."""

    status: int
    """The HTTP status of success."""

    needs_token: bool
    """Whether an anonymous caller has no chance."""

    @property
    def decided(self) -> set[str]:
        """The request's fields that neither query nor body may fill: the path or a header does, or only gRPC can."""
        hidden = {each.name for each in self.rpc.method.input_type.fields if each.GetOptions().Extensions[grpc_only]}
        return {*self.fixed, *self.variables, *hidden, *(self.headers.keys() - {IDEMPOTENCY_FIELD})}

    @property
    def variables(self) -> list[str]:
        """The request's fields that stand in the path."""
        return re.findall(r"\{(\w+)\}", self.path)


def every_route() -> Iterator[Route]:
    """All public ways into the contract, in the order of its files."""
    for service in every_service():
        for method in service.methods:
            rule = method.GetOptions().Extensions[annotations_pb2.http]
            # HTTP/1.1 has no form for a stream of requests.
            if rule.WhichOneof("pattern") and not method.client_streaming:
                rpc = build_rpc(method)
                for binding in (rule, *rule.additional_bindings):
                    yield _build_route(rpc, binding)


def every_service() -> Iterator[ServiceDescriptor]:
    """All services of the package, in the order of their files' names."""
    for module in sorted(each.name for each in pkgutil.iter_modules(livestream.v1.__path__)):
        if module.endswith("_pb2"):
            file = importlib.import_module(f"livestream.v1.{module}").DESCRIPTOR
            yield from file.services_by_name.values()


def build_rpc(method: MethodDescriptor) -> Rpc:
    """What the contract says of a method. Raises KeyError if `service_config.json` has no timeout for it."""
    name = f"/{method.containing_service.full_name}/{method.name}"
    return Rpc(
        name=name,
        method=method,
        request=GetMessageClass(method.input_type),
        response=GetMessageClass(method.output_type),
        access=method.GetOptions().Extensions[access],
        timeout=timeouts()[name],
    )


def _build_route(rpc: Rpc, rule: HttpRule) -> Route:
    verb = rule.WhichOneof("pattern")
    path: str = getattr(rule, verb)
    part = rpc.method.input_type.fields_by_name.get(rule.body)
    enums = {each.name: each.enum_type for each in rpc.method.input_type.fields if each.enum_type}
    return Route(
        rpc=rpc,
        verb=verb.upper(),
        path=path,
        body=rule.body,
        takes_raw_body=part is not None and part.message_type is not None and part.message_type.full_name == RAW_BODY,
        response_body=rule.response_body,
        fixed={
            fixed.field: enums[fixed.field].values_by_name[fixed.value].number
            for fixed in rpc.access.fixed
            if fixed.path == path
        },
        headers=_find_headers(rpc.method),
        status=rpc.access.http_status or 200,
        needs_token=rpc.access.level not in (Access.LEVEL_OPTIONAL, Access.LEVEL_PUBLIC)
        or path in rpc.access.required_paths,
    )


def _find_headers(method: MethodDescriptor) -> Mapping[str, str]:
    declared = {field.name: field.GetOptions().Extensions[header] for field in method.input_type.fields}
    if IDEMPOTENCY_FIELD in declared:
        declared[IDEMPOTENCY_FIELD] = "Idempotency-Key"
    return {field: name for field, name in declared.items() if name}

"""The public API as an OpenAPI 3.1 document, made from the contract alone: descriptors, options and comments.

`python -m livestream_gateway.openapi` prints it without a running server.
"""

import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from typing import Any

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor, ServiceDescriptor

from livestream.v1.access_pb2 import Access
from livestream_gateway.contract import IDEMPOTENCY_FIELD, RAW_BODY, Route, every_route
from livestream_gateway.envelope import FIXED
from livestream_gateway.schemas import INSTANT, Schema, Schemas, Way, describe, find_example, is_required, make_nullable
from livestream_gateway.transcoding.names import find_public_values

_SCHEME = "JWT-auth"
_VISIBLE = "^[!-~]{1,64}$"
_HEADERS: dict[str, Schema] = {
    "X-Request-Id": {
        "description": "Names this request in our logs: the caller's own name for it, or one that was made up here.",
        "schema": {"type": "string", "pattern": _VISIBLE},
    },
    "Retry-After": {
        "description": "Seconds to wait before the next attempt.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": "How to authenticate (RFC 9110, section 11.6.1).",
        "schema": {"type": "string", "const": "Bearer"},
    },
}
_FURTHER_HEADERS = {401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}


@cache
def render_openapi() -> bytes:
    """The document as it is served."""
    return orjson.dumps(build_openapi(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


@cache
def build_openapi() -> dict[str, Any]:
    """The document as JSON values. Every caller gets the same object, so change nothing in it."""
    project = metadata.metadata("livestream")
    schemas = Schemas()
    tags: dict[str, Schema] = {}
    paths: dict[str, Schema] = {}
    first_paths: dict[str, str] = {}
    failures: set[int] = set()
    for route in every_route():
        if route.path.endswith("/"):  # another spelling of the operation without the slash
            continue
        failures.update(_list_failures(route))
        further = _find_further_words(first_paths.setdefault(route.rpc.name, route.path), route.path)
        service = route.rpc.method.containing_service
        tags[service.name] = {"name": _build_tag(service), "description": describe(service.full_name)}
        paths.setdefault(_build_path(route), {})[route.verb.lower()] = _build_operation(route, further, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": project["Name"],
            "summary": project["Summary"],
            "version": project["Version"],
            "license": {"name": project["License-Expression"], "identifier": project["License-Expression"]},
        },
        "servers": [{"url": "/"}],
        "tags": list(tags.values()),
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR} | schemas.components,
            "responses": {_name_error(status): _build_error(status) for status in sorted(failures)},
            "parameters": {"X-Request-Id": {"name": "X-Request-Id", "in": "header"} | _HEADERS["X-Request-Id"]},
            "headers": _HEADERS,
            "securitySchemes": {
                _SCHEME: {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "Paste the JWT access token without the Bearer prefix.",
                }
            },
        },
    }


def _build_operation(route: Route, further: list[str], schemas: Schemas) -> Schema:
    """One operation; `further` words tell it apart from the RPC's first one."""
    method = route.rpc.method
    summary, _, description = describe(method.full_name).partition("\n\n")
    operation_id = method.name[0].lower() + method.name[1:] + "".join(map(str.capitalize, further))
    operation: Schema = {
        "tags": [_build_tag(method.containing_service)],
        "summary": " ".join((summary, *further)),
        "description": " ".join((description, *_describe_fixed(route))),
        "operationId": operation_id,
        "security": _build_security(route),
        "parameters": list(_build_parameters(route, schemas)),
    }
    message, fields = _find_body(route)
    if message.full_name == RAW_BODY:
        operation["requestBody"] = _build_raw_body(route)
    elif fields:
        name = operation_id[0].upper() + operation_id[1:] + "Request"
        operation["requestBody"] = _build_request_body(name, message, fields, schemas)
    operation["responses"] = (
        {str(route.status): _build_success(route, schemas)}
        | _build_no_content(route)
        | {str(status): {"$ref": f"#/components/responses/{_name_error(status)}"} for status in _list_failures(route)}
    )
    return operation


def _find_further_words(first_path: str, path: str) -> list[str]:
    """The words that the first path has not: `as`, `guest` for `/join-as-guest` beyond `/join`."""
    return [word for word in re.findall(r"\w+", path) if word not in re.findall(r"\w+", first_path)]


def _describe_fixed(route: Route) -> Iterator[str]:
    for field in route.rpc.method.input_type.fields:
        if field.enum_type and field.name in route.fixed:
            names = {number: name for name, number in find_public_values(field.enum_type).items()}
            yield f"On this path `{field.json_name}` is `{names[route.fixed[field.name]]}`, whatever the body says."


def _build_tag(service: ServiceDescriptor) -> str:
    return service.name.removesuffix("Service")


def _build_path(route: Route) -> str:
    names = {field.name: field.json_name for field in route.rpc.method.input_type.fields}
    return re.sub(r"\w+(?=})", lambda found: names[found[0]], route.path)


def _build_security(route: Route) -> list[Schema]:
    if route.needs_token:
        return [{_SCHEME: []}]
    return [] if route.rpc.access.level == Access.LEVEL_PUBLIC else [{_SCHEME: []}, {}]


def _find_open_fields(route: Route) -> list[FieldDescriptor]:
    """The fields of the request that neither the path nor a header decides."""
    decided = {*route.decided, *route.headers}
    return [field for field in route.rpc.method.input_type.fields if field.name not in decided]


def _find_body(route: Route) -> tuple[Descriptor, list[FieldDescriptor]]:
    """The message that the body fills, and which of its fields."""
    if route.body == "*":
        return route.rpc.method.input_type, _find_open_fields(route)
    part = route.rpc.method.input_type.fields_by_name.get(route.body)
    if part and part.message_type:
        return part.message_type, list(part.message_type.fields)
    return route.rpc.method.input_type, []


def _build_parameters(route: Route, schemas: Schemas) -> Iterator[Schema]:
    fields = route.rpc.method.input_type.fields_by_name
    for name in route.variables:
        yield _build_parameter(fields[name], "path", schemas) | {"required": True}
    if route.body != "*":
        for field in _find_open_fields(route):
            if field.name != route.body:
                yield _build_parameter(field, "query", schemas) | {"required": is_required(field)}
    for name, header in route.headers.items():
        parameter = _build_parameter(fields[name], "header", schemas) | {"name": header}
        if name == IDEMPOTENCY_FIELD:
            parameter["schema"] = {"type": "string", "pattern": _VISIBLE}
        yield parameter
    yield {"$ref": "#/components/parameters/X-Request-Id"}


def _build_parameter(field: FieldDescriptor, place: str, schemas: Schemas) -> Schema:
    schema = schemas.build_field(field, Way.FORM)
    return {"name": field.json_name, "in": place, "description": schema.pop("description"), "schema": schema}


def _build_request_body(name: str, message: Descriptor, fields: list[FieldDescriptor], schemas: Schemas) -> Schema:
    as_json = schemas.refer_to(name, lambda: schemas.build_object(message, fields, Way.JSON))
    content: Schema = {"application/json": {"schema": as_json}}
    # A body that can be sent as it stands, unlike what tools make up of every optional field.
    example = {field.json_name: find_example(field) for field in fields if find_example(field) is not None}
    if all(field.json_name in example for field in fields if is_required(field)):
        content["application/json"]["example"] = example
    if any(field.type == FieldDescriptor.TYPE_BYTES for field in fields):
        content = {"multipart/form-data": {"schema": schemas.build_object(message, fields, Way.FORM)}} | content
    return {"required": any(map(is_required, fields)), "content": content}


def _build_raw_body(route: Route) -> Schema:
    description = describe(route.rpc.method.input_type.fields_by_name[route.body].full_name)
    return {"description": description, "required": True, "content": {"*/*": {}}}


def _build_success(route: Route, schemas: Schemas) -> Schema:
    answer = route.rpc.method.output_type
    if route.rpc.method.server_streaming:
        return _build_events(route, schemas)
    part = answer.fields_by_name.get(route.response_body)
    if part is None:
        data = schemas.build_message(answer, Way.ANSWER)
    elif part.message_type and not part.is_repeated:
        data = schemas.build_message(part.message_type, Way.ANSWER)
        if part.containing_oneof:  # declared as `optional`: its absence means something
            data = make_nullable(data)
    else:
        data = schemas.build_field(part, Way.ANSWER)
    envelope = {
        "type": "object",
        "properties": {
            "isSuccess": {"type": "boolean", "const": True},
            "statusCode": {"type": "integer", "const": route.status},
            "data": data,
            "errors": {"type": "array", "items": {"type": "string"}, "maxItems": 0},
            "timestamp": INSTANT,
        },
        "required": ["isSuccess", "statusCode", "data", "errors", "timestamp"],
    }
    return {
        "description": describe(answer.full_name),
        "headers": _refer_to_headers("X-Request-Id"),
        "content": {"application/json": {"schema": envelope}},
    }


def _build_no_content(route: Route) -> Schema:
    if not route.rpc.method.server_streaming:
        return {}
    return {
        "204": {
            "description": "There is nothing to tell, and there will not be.",
            "headers": _refer_to_headers("X-Request-Id"),
        }
    }


def _build_events(route: Route, schemas: Schemas) -> Schema:
    """OpenAPI 3.1 has no words for a sequence of events, so an extension gives the schema of each event's `data`."""
    answer = route.rpc.method.output_type
    events = {each.json_name: each for each in answer.oneofs_by_name[route.rpc.access.events.kind].fields}
    names = "\n".join(f"* `{name}`: {describe(each.full_name)}" for name, each in events.items())
    text = {"type": "string", "description": f"Server-Sent Events. Every `data` is one line of JSON.\n\n{names}"}
    data = {
        name: schemas.build_message(each.message_type, Way.ANSWER) for name, each in events.items() if each.message_type
    }
    return {
        "description": describe(answer.full_name),
        "headers": _refer_to_headers("X-Request-Id"),
        "content": {"text/event-stream": {"schema": text, "x-events": data | {"failure": _ERROR_REFERENCE}}},
    }


def _list_failures(route: Route) -> list[int]:
    """The statuses of failure that this route can answer with."""
    changes_something, has_body = route.verb != "GET", bool(route.body)
    possible = {
        400: True,
        401: True,  # a bad token fails on public routes, too
        403: route.rpc.access.level != Access.LEVEL_PUBLIC,
        404: changes_something or bool(route.variables),
        409: changes_something,
        413: has_body,
        415: has_body and not route.takes_raw_body,
        429: True,
        500: True,
        503: True,
        504: True,
    }
    return [status for status, can_be in possible.items() if can_be]


_ERROR_REFERENCE: Schema = {"$ref": "#/components/schemas/Error"}
_ERROR: Schema = {
    "type": "object",
    "description": "Every failure. The first of `errors` is fixed per status; further ones say what is wrong.",
    "properties": {
        "isSuccess": {"type": "boolean", "const": False},
        "statusCode": {"type": "integer", "minimum": 400, "maximum": 599},
        "data": {"type": "null"},
        "errors": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "timestamp": INSTANT,
    },
    "required": ["isSuccess", "statusCode", "data", "errors", "timestamp"],
}


def _name_error(status: int) -> str:
    return f"Error{status}"


def _build_error(status: int) -> Schema:
    example = {
        "isSuccess": False,
        "statusCode": status,
        "data": None,
        "errors": [FIXED[status]],
        "timestamp": INSTANT["examples"][0],
    }
    return {
        "description": FIXED[status],
        "headers": _refer_to_headers("X-Request-Id", *_FURTHER_HEADERS.get(status, ())),
        "content": {"application/json": {"schema": _ERROR_REFERENCE, "example": example}},
    }


def _refer_to_headers(*names: str) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


if __name__ == "__main__":
    sys.stdout.buffer.write(render_openapi())

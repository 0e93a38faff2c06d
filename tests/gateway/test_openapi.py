"""The published description of the API, against the contract that it is made from."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from livestream.v1.access_pb2 import Access, grpc_only, inline
from livestream_gateway.contract import Route, every_route
from livestream_gateway.envelope import FIXED
from livestream_gateway.openapi import build_openapi, render_openapi

GOLDEN = Path(__file__).parent / "golden" / "openapi.json"
ENVELOPE = {"isSuccess", "statusCode", "data", "errors", "timestamp"}
JOIN = "/api/v1/live-stream/join"

# A path with a slash at its end is another spelling of an operation, not another one.
DOCUMENTED = [route for route in every_route() if not route.path.endswith("/")]

routes = pytest.mark.parametrize("route", DOCUMENTED, ids=lambda route: f"{route.verb} {route.path}")
unary_routes, streams = (
    pytest.mark.parametrize(
        "route",
        [route for route in DOCUMENTED if route.rpc.method.server_streaming == streams],
        ids=lambda route: f"{route.verb} {route.path}",
    )
    for streams in (False, True)
)


def operation_of(route: Route) -> dict[str, Any]:
    """Found by shape: the names of a path's variables are the document's own."""
    shape = re.sub(r"\{\w+}", "{}", route.path)
    paths = build_openapi()["paths"].items()
    found = [operations for path, operations in paths if re.sub(r"\{\w+}", "{}", path) == shape]
    assert len(found) == 1
    operation: dict[str, Any] = found[0][route.verb.lower()]
    return operation


def public_names(message: Descriptor) -> Iterator[str]:
    for field in message.fields:
        if field.GetOptions().Extensions[inline]:
            assert field.message_type
            yield from public_names(field.message_type)
        else:
            yield field.json_name


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        node: Any = build_openapi()
        for step in schema["$ref"].removeprefix("#/").split("/"):
            node = node[step]
        schema = node
    return schema


def test_the_document_is_valid_openapi() -> None:
    """Client generators and test tools refuse, or misread, an invalid document."""
    validate(build_openapi(), cls=OpenAPIV31SpecValidator)


def test_the_document_is_the_one_that_was_reviewed() -> None:
    """A change of the public contract must be seen in a diff.

    After a wanted change: python -m livestream_gateway.openapi > tests/gateway/golden/openapi.json
    """
    assert render_openapi().decode() == GOLDEN.read_text()


def test_the_document_has_nothing_but_the_contracts_routes() -> None:
    """An internal RPC must not appear, and every operation needs a name of its own to become a function."""
    operations = [operation for path in build_openapi()["paths"].values() for operation in path.values()]
    assert len(operations) == len(DOCUMENTED)
    assert len({operation["operationId"] for operation in operations}) == len(operations)


@routes
def test_every_route_is_described(route: Route) -> None:
    """Whoever reads only this page must learn what a call does and what it takes."""
    operation = operation_of(route)
    assert operation["summary"]
    assert operation["description"]
    assert operation["tags"][0] in {tag["name"] for tag in build_openapi()["tags"]}
    for parameter in map(resolved, operation["parameters"]):
        assert parameter["description"]


@streams
def test_every_stream_shows_its_events(route: Route) -> None:
    """A client's developer needs the name and the shape of every event, and how to resume."""
    successes = {status: found for status, found in operation_of(route)["responses"].items() if int(status) < 400}
    assert list(successes) == ["200", "204"]
    assert "content" not in successes["204"]
    events = successes["200"]["content"]["text/event-stream"]["x-events"]
    kinds = route.rpc.method.output_type.oneofs_by_name[route.rpc.access.events.kind].fields
    assert set(events) == {each.json_name for each in kinds} | {"failure"}
    for each in kinds:
        assert resolved(events[each.json_name])["required"] == [field.json_name for field in each.message_type.fields]


@unary_routes
def test_every_route_shows_its_success_in_the_envelope(route: Route) -> None:
    """A client generated from the document must unwrap the same envelope that the gateway wraps."""
    successes = {status: found for status, found in operation_of(route)["responses"].items() if int(status) < 400}
    assert list(successes) == [str(route.status)]
    schema = successes[str(route.status)]["content"]["application/json"]["schema"]
    assert set(schema["required"]) == set(schema["properties"]) == ENVELOPE
    assert schema["properties"]["statusCode"]["const"] == route.status
    data = schema["properties"]["data"]
    answer = route.rpc.method.output_type
    if route.response_body:
        part = answer.fields_by_name[route.response_body]
        answer = part.message_type
        if part.is_repeated:
            assert data["type"] == "array"
            data = data["items"]
        elif part.containing_oneof:  # what is `optional` in the contract may be null
            data, null = data["anyOf"]
            assert null == {"type": "null"}
    data = resolved(data)
    assert list(data["properties"]) == data["required"] == list(public_names(answer))


@routes
def test_every_route_shows_its_failures_with_their_fixed_words(route: Route) -> None:
    """Client developers write their error handling from these examples."""
    failures = {int(status): found for status, found in operation_of(route)["responses"].items() if int(status) >= 400}
    assert failures.keys() >= {400, 401, 429, 500, 503, 504}
    assert (413 in failures) == bool(route.body)
    assert (415 in failures) == (bool(route.body) and not route.takes_raw_body)
    assert (403 in failures) == (route.rpc.access.level != Access.LEVEL_PUBLIC)
    if route.verb == "POST":
        assert failures.keys() >= {404, 409}
    for status, failure in failures.items():
        response = resolved(failure)
        example = response["content"]["application/json"]["example"]
        assert set(example) == ENVELOPE
        assert example["statusCode"] == status
        assert example["errors"] == [FIXED[status]]
        assert ("Retry-After" in response["headers"]) == (status in (429, 503))
        assert "X-Request-Id" in response["headers"]


@routes
def test_every_route_says_whether_it_needs_a_token(route: Route) -> None:
    """The page's Authorize dialog, and generated clients, send a token only where this asks for it."""
    security = operation_of(route)["security"]
    assert ({"JWT-auth": []} in security and {} not in security) == route.needs_token


@routes
def test_every_field_that_a_caller_decides_is_somewhere_in_the_request(route: Route) -> None:
    """A field that is missing here is a feature that nobody finds; one that a path fixes would be a lie."""
    operation = operation_of(route)
    places = {parameter["name"] for parameter in map(resolved, operation["parameters"])}
    for content in operation.get("requestBody", {"content": {}})["content"].values():
        places |= set(resolved(content["schema"])["properties"]) if content else {route.body}
    fields = route.rpc.method.input_type.fields
    elsewhere = {
        *route.fixed,
        *route.headers,
        *({each.name for each in fields if each.GetOptions().Extensions[grpc_only]} - {*route.variables}),
    }
    asked = {field.json_name for field in fields if field.name not in elsewhere}
    asked.update(route.headers.values())
    assert ("Idempotency-Key" in asked) == ("request_id" in route.rpc.method.input_type.fields_by_name)
    assert places == asked | {"X-Request-Id"}


@routes
def test_every_example_of_a_body_is_a_valid_one(route: Route) -> None:
    """The page offers the example for sending, so it must not be refused for its shape."""
    for content in operation_of(route).get("requestBody", {"content": {}})["content"].values():
        schema = resolved(content.get("schema", {}))
        if "example" in content:
            assert set(schema.get("required", ())) <= set(content["example"]) <= set(schema["properties"])
    components = build_openapi()["components"]
    for schema in components["schemas"].values():
        for described in schema.get("properties", {}).values():
            for example in described.get("examples", ()):
                OAS31Validator(described | {"components": components}).validate(example)


def test_every_schema_and_property_has_words() -> None:
    """The proto comments are the documentation; one that is missing leaves a hole here."""
    for name, schema in build_openapi()["components"]["schemas"].items():
        assert schema["description"], name
        for field, described in schema.get("properties", {}).items() if name != "Error" else ():
            assert described["description"], f"{name}.{field}"


def test_what_may_be_absent_is_nullable_and_what_is_required_is_not() -> None:
    """OpenAPI 3.1 writes null as a type; a generated client crashes on a null that was not announced."""
    schemas = build_openapi()["components"]["schemas"]
    stream = schemas["LiveStream"]["properties"]
    assert stream["recordingUrl"]["type"] == ["string", "null"]
    assert stream["price"]["type"] == ["number", "null"]
    assert stream["creator"]["anyOf"] == [{"$ref": "#/components/schemas/UserSummary"}, {"type": "null"}]
    assert stream["title"]["type"] == "string"
    assert schemas["Media"]["properties"]["variants"]["additionalProperties"] == {"type": "string"}
    assert schemas["CreateStreamRequest"]["required"] == ["title"]
    assert schemas["Role"]["enum"] == ["host", "guest", "audience"]


def test_a_image_is_a_file_in_a_form_and_base64_in_json() -> None:
    """Pages and generators offer an upload only for what is marked as a file."""
    content = build_openapi()["paths"]["/api/v1/live-stream/create"]["post"]["requestBody"]["content"]
    in_form = resolved(content["multipart/form-data"]["schema"])["properties"]["thumbnail"]
    in_json = resolved(content["application/json"]["schema"])["properties"]["thumbnail"]
    assert in_form["format"] == "binary"
    assert in_json["contentEncoding"] == "base64"


def test_paths_of_one_rpc_are_named_apart_by_their_words() -> None:
    """Operation ids are function names in generated clients, so they must not change when a path is added."""
    paths = build_openapi()["paths"]
    ids = [paths[f"{JOIN}{rest}"]["post"]["operationId"] for rest in ("", "-as-creator", "-as-guest")]
    assert ids == ["joinStream", "joinStreamAsCreator", "joinStreamAsGuest"]


def test_fields_are_called_by_their_public_names_in_every_text() -> None:
    """A reader of the public API has never seen the proto's names."""
    text = json.dumps(build_openapi())
    for route in every_route():
        for field in route.rpc.method.input_type.fields:
            assert field.name == field.json_name or field.name not in text

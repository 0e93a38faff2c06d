import json
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest

from livestream.v1.live_stream_service_pb2 import CreateStreamRequest
from livestream_gateway.envelope import (
    FIXED,
    MAX_VIOLATIONS,
    Refusal,
    build_failure,
    build_success,
    refuse_invalid,
    to_refusal,
)
from livestream_gateway.invoker import RpcError
from livestream_gateway.transcoding.read import Violation

Code = grpc.StatusCode
CONFLICT = "Resource already exists or cannot be changed in its current state"
TABLE = {
    Code.INVALID_ARGUMENT: (400, "Validation failed"),
    Code.UNAUTHENTICATED: (401, "Authentication required"),
    Code.PERMISSION_DENIED: (403, "Insufficient permissions"),
    Code.NOT_FOUND: (404, "Resource not found"),
    Code.ALREADY_EXISTS: (409, CONFLICT),
    Code.FAILED_PRECONDITION: (409, CONFLICT),
    Code.ABORTED: (409, CONFLICT),
    Code.RESOURCE_EXHAUSTED: (429, "Too many requests"),
    Code.UNAVAILABLE: (503, "Service unavailable"),
    Code.CANCELLED: (503, "Service unavailable"),
    Code.DEADLINE_EXCEEDED: (504, "Deadline exceeded"),
    Code.INTERNAL: (500, "Internal server error"),
    Code.UNKNOWN: (500, "Internal server error"),
    Code.UNIMPLEMENTED: (500, "Internal server error"),
    Code.DATA_LOSS: (500, "Internal server error"),
    Code.OUT_OF_RANGE: (500, "Internal server error"),
}


def refusal_of(error: RpcError) -> Refusal:
    return to_refusal(error, CreateStreamRequest.DESCRIPTOR)


@pytest.mark.parametrize("code", [each for each in Code if each is not Code.OK], ids=lambda code: code.name)
def test_every_status_has_its_fixed_string(code: grpc.StatusCode) -> None:
    """Clients compare `errors[0]` with the contract's words."""
    answer = refusal_of(RpcError(code, "the stream is ended")).answer
    status, fixed = TABLE[code]
    envelope = json.loads(answer.body)
    assert answer.status == envelope["statusCode"] == status
    assert envelope["errors"] == ([fixed] if status == 500 else [fixed, "the stream is ended"])
    assert list(envelope) == ["isSuccess", "statusCode", "data", "errors", "timestamp"]
    assert (envelope["isSuccess"], envelope["data"]) == (False, None)


def test_a_success_carries_the_time() -> None:
    """In UTC and milliseconds, as all times of the API."""
    envelope = json.loads(build_success(201, {"a": 1}).body)
    assert list(envelope) == ["isSuccess", "statusCode", "data", "errors", "timestamp"]
    assert envelope["isSuccess"] is True
    assert (envelope["statusCode"], envelope["data"], envelope["errors"]) == (201, {"a": 1}, [])
    assert len(envelope["timestamp"]) == len("2026-01-15T10:30:00.000Z")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(envelope["timestamp"])) < timedelta(minutes=1)


def test_violations_are_named_in_public() -> None:
    """The caller wrote `plannedStartDate`, and never saw `planned_start_date`."""
    violations = [
        BadRequest.FieldViolation(field="planned_start_date", description="must be in the future"),
        BadRequest.FieldViolation(field="guests[1]", description="must be 24 hexadecimal digits"),
    ]
    answer = refusal_of(RpcError(Code.INVALID_ARGUMENT, "as a whole", violations=violations)).answer
    assert json.loads(answer.body)["errors"] == [
        "Validation failed",
        "plannedStartDate: must be in the future",
        "guests[1]: must be 24 hexadecimal digits",
    ]


def test_many_violations_do_not_make_a_long_answer() -> None:
    """A small request must not buy a large answer."""
    violations = [Violation(field=f"guests[{index}]", description="must be a string") for index in range(10_000)]
    answer = refuse_invalid(violations).answer
    errors = json.loads(answer.body)["errors"]
    assert len(errors) == 1 + MAX_VIOLATIONS + 1
    assert errors[-1] == f"and {10_000 - MAX_VIOLATIONS} more"
    assert len(answer.body) <= 1024


def test_what_the_service_left_out_is_counted() -> None:
    """A caller would mend twenty fields and believe that those were all."""
    violations = [BadRequest.FieldViolation(field="title", description="is required")]
    answer = refusal_of(RpcError(Code.INVALID_ARGUMENT, violations=violations, more_violations=7)).answer
    assert json.loads(answer.body)["errors"][1:] == ["title: is required", "and 7 more"]


@pytest.mark.parametrize("code", [Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE])
@pytest.mark.parametrize(("asked", "told"), [(None, b"1"), (0.2, b"1"), (1.0, b"1"), (2.1, b"3"), (60.0, b"60")])
def test_a_client_is_told_when_to_come_back(code: grpc.StatusCode, asked: float | None, told: bytes) -> None:
    """Whole seconds, never 0: that would be an invitation to hammer."""
    answer = refusal_of(RpcError(code, retry_after=asked)).answer
    assert dict(answer.headers)[b"retry-after"] == told


def test_a_401_challenges() -> None:
    """RFC 9110 asks for it, and clients of the kind that read it know what to send."""
    assert dict(refusal_of(RpcError(Code.UNAUTHENTICATED)).answer.headers) == {b"www-authenticate": b"Bearer"}


@pytest.mark.parametrize("status", FIXED)
def test_the_gateways_own_refusals_wear_the_envelope(status: int) -> None:
    """Whoever refuses, clients parse one shape."""
    assert json.loads(build_failure(status, "more"))["errors"] == [FIXED[status], "more"]

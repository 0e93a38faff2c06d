"""The envelope of every answer: `{isSuccess, statusCode, data, errors, timestamp}`, and what each failure says in it.

`errors[0]` is the contract's fixed string for the status; what follows says what is wrong, in words that the service
or this gateway wrote for callers.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, NamedTuple

import grpc
import orjson
from google.protobuf.descriptor import Descriptor

from livestream_gateway.invoker import RpcError
from livestream_gateway.transcoding.names import to_public_path
from livestream_gateway.transcoding.read import Violation

Header = tuple[bytes, bytes]

FIXED = {
    400: "Validation failed",
    401: "Authentication required",
    403: "Insufficient permissions",
    404: "Resource not found",
    405: "Method not allowed",
    408: "Request timeout",
    409: "Resource already exists or cannot be changed in its current state",
    413: "Payload too large",
    414: "URI too long",
    415: "Unsupported media type",
    429: "Too many requests",
    431: "Request header fields too large",
    500: "Internal server error",
    503: "Service unavailable",
    504: "Deadline exceeded",
}
STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.CANCELLED: 503,  # not by our client, which is gone then: by a service that is stopping
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
"""Whatever is not listed is 500."""

MAX_VIOLATIONS = 20


class Answer(NamedTuple):
    """What goes back to the client: the status, the whole envelope, and headers that this answer alone has."""

    status: int
    body: bytes
    headers: tuple[Header, ...] = ()


class Refusal(Exception):
    """The gateway will not or cannot answer with data; raised wherever that turns out."""

    def __init__(self, status: int, *errors: str, headers: tuple[Header, ...] = ()) -> None:
        super().__init__(status, *errors)
        self.answer = Answer(status, build_failure(status, *errors), headers)


def build_success(status: int, data: Any) -> Answer:
    """The answer that carries `data`: plain values, or fragments of JSON."""
    return Answer(status, _render_envelope(status, data, []))


def build_failure(status: int, *errors: str) -> bytes:
    """The envelope of a failure: the fixed string of `status`, one of FIXED, then `errors`."""
    return _render_envelope(status, None, [FIXED[status], *errors])


def refuse_invalid(violations: Sequence[Violation], more: int = 0) -> Refusal:
    """400, with at most 20 of the fields that are wrong, and how many others there are.

    `more` counts those which the service left out of `violations`.
    """
    told = [f"{each.field}: {each.description}" for each in violations[:MAX_VIOLATIONS]]
    more += len(violations) - len(told)
    return Refusal(400, *told, *([f"and {more} more"] if more else []))


def refuse_unauthenticated(*errors: str) -> Refusal:
    """401, with the challenge that RFC 9110 (section 11.6.1) asks for."""
    return Refusal(401, *errors, headers=((b"www-authenticate", b"Bearer"),))


def to_refusal(error: RpcError, request: Descriptor, *headers: Header) -> Refusal:
    """The answer to a failed call of the RPC that takes `request`; `headers` go with one that may pass."""
    status = STATUSES.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR)
    if error.violations:
        public = [
            Violation(field=to_public_path(request, each.field), description=each.description)
            for each in error.violations
        ]
        return refuse_invalid(public, error.more_violations)
    said = [error.message] if error.message and status != HTTPStatus.INTERNAL_SERVER_ERROR else []
    if status == HTTPStatus.UNAUTHORIZED:
        return refuse_unauthenticated(*said)
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        seconds = max(1, math.ceil(error.retry_after or 1))
        return Refusal(status, *said, headers=((b"retry-after", str(seconds).encode()), *headers))
    return Refusal(status, *said)


def _render_envelope(status: int, data: Any, errors: list[str]) -> bytes:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return orjson.dumps(
        {
            "isSuccess": not errors,
            "statusCode": status,
            "data": data,
            "errors": errors,
            "timestamp": now.removesuffix("+00:00") + "Z",
        }
    )

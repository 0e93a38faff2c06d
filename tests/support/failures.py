"""What a failed call tells its caller."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_status import rpc_status


@dataclass(frozen=True, slots=True)
class Failure:
    """Code, words and details of a refusal."""

    code: grpc.StatusCode
    message: str
    reason: str
    domain: str
    metadata: Mapping[str, str]
    violations: Sequence[BadRequest.FieldViolation]
    retry_after: float | None
    request_id: str


async def failure(call: Awaitable[Any]) -> Failure:
    """The failure that the call ends with; an AssertionError if it succeeds."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return _read(error)
    raise AssertionError(f"the call succeeded: {answer}")


def _read(error: grpc.aio.AioRpcError) -> Failure:
    info, bad_request, retry = ErrorInfo(), BadRequest(), RetryInfo()
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it has all that is read
    assert status is not None, f"{error.code()} {error.details()} carries no details"
    for detail in status.details:
        assert any(detail.Unpack(each) for each in (info, bad_request, retry) if detail.Is(each.DESCRIPTOR))
    trailing = dict(error.trailing_metadata() or ())
    return Failure(
        error.code(),
        error.details() or "",
        info.reason,
        info.domain,
        dict(info.metadata),
        list(bad_request.field_violations),
        retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9 if retry.HasField("retry_delay") else None,
        str(trailing.get("x-request-id", "")),
    )

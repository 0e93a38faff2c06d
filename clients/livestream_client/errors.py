"""Why a call failed: one exception per kind, with all that the service said about it.

Catch the kind, or compare `error.reason`: reasons do not change, messages may.
"""

from collections.abc import Mapping
from typing import TypeAlias, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

Detail = TypeVar("Detail", bound=Message)


Violation: TypeAlias = BadRequest.FieldViolation
"""One field that is wrong: `field` is its path in proto names (`guests[1]`), `description` says what it must be."""


class LiveStreamError(Exception):
    """A call that failed. Rare codes without a kind of their own (CANCELLED, UNIMPLEMENTED) are raised as this class.

    Attributes:
        code: The gRPC status code.
        message: What is wrong, in words for a developer.
        reason: UPPER_SNAKE word that a program may rely on; empty if the answer is not the service's own, as when
            nobody could be reached.
        metadata: What varies in the message, by name.
        violations: The fields that are wrong, 20 at most; `metadata["more_violations"]` counts further ones.
        request_id: Under which the service logged the call; None if the call never got there.
        retry_after: Seconds after which the same call may work; None if nothing was said about that.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: tuple[Violation, ...] = (),
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.metadata = metadata or {}
        self.violations = violations
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        """What is wrong, the reason, and what to search the service's log for."""
        wrong = "; ".join(f"{each.field}: {each.description}" for each in self.violations) or self.message
        if more := self.metadata.get("more_violations"):
            wrong += f"; and {more} more"
        found_under = f", request id {self.request_id}" if self.request_id else ""
        return f"{wrong} ({self.reason or self.code.name}{found_under})"


class InvalidArgument(LiveStreamError):
    """The request can never work; `violations` names the fields."""


class Unauthenticated(LiveStreamError):
    """The token is missing, expired or not accepted."""


class PermissionDenied(LiveStreamError):
    """The caller may not do this, whatever the state."""


class NotFound(LiveStreamError):
    """It does not exist, or not for this caller."""


class AlreadyExists(LiveStreamError):
    """What should be new is there already."""


class FailedPrecondition(LiveStreamError):
    """The present state forbids the call; message and metadata name it."""


class Aborted(LiveStreamError):
    """The call lost a race with another one; begin anew with what stands now."""


class ResourceExhausted(LiveStreamError):
    """A limit is reached; try again after `retry_after` seconds."""


class Unavailable(LiveStreamError):
    """The service, or a part that it needs, did not answer. The call may have taken effect."""


class DeadlineExceeded(LiveStreamError):
    """Time ran out. The call may have taken effect."""


class Internal(LiveStreamError):
    """The service failed; its log has the rest, under `request_id`."""


_KINDS = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.ABORTED: Aborted,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.INTERNAL: Internal,
    grpc.StatusCode.UNKNOWN: Internal,
    grpc.StatusCode.DATA_LOSS: Internal,
}


def to_error(failure: grpc.aio.AioRpcError) -> LiveStreamError:
    """The typed error that says the same as gRPC's own."""
    status = _read_status(failure)
    info = _find_detail(status, ErrorInfo())
    retry = _find_detail(status, RetryInfo())
    bad = _find_detail(status, BadRequest())
    request_id = failure.trailing_metadata().get("x-request-id")
    return _KINDS.get(failure.code(), LiveStreamError)(
        failure.code(),
        failure.details() or failure.code().name,
        reason=info.reason if info else "",
        metadata=dict(info.metadata) if info else None,
        violations=tuple(bad.field_violations) if bad else (),
        request_id=str(request_id) if request_id else None,
        retry_after=retry.retry_delay.ToTimedelta().total_seconds() if retry else None,
    )


def _read_status(failure: grpc.aio.AioRpcError) -> Status:
    try:
        return rpc_status.from_call(failure) or Status()
    except (ValueError, DecodeError):  # something between us and the service rewrote the answer: its code still counts
        return Status()


def _find_detail(status: Status, wanted: Detail) -> Detail | None:
    return next((wanted for each in status.details if each.Unpack(wanted)), None)

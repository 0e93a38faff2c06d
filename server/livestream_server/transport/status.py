"""The one place where a failure becomes a gRPC status (AIP-193: google.rpc.Status with one ErrorInfo)."""

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from livestream_server import errors

STATUS_DETAILS = "grpc-status-details-bin"

_CODES: dict[type[errors.ServiceError], grpc.StatusCode] = {
    errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Malformed: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Aborted: grpc.StatusCode.ABORTED,
    errors.ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Internal: grpc.StatusCode.INTERNAL,
}


def to_status_code(kind: type[errors.ServiceError]) -> grpc.StatusCode:
    """The gRPC code of an error class: that of the nearest kind above it."""
    return next(_CODES[each] for each in kind.__mro__ if each in _CODES)


def build_trailing_metadata(error: errors.ServiceError, request_id: str) -> tuple[tuple[str, str | bytes], ...]:
    """What travels beside code and message: the details, and the id under which the log knows the call."""
    status = Status(code=to_status_code(type(error)).value[0], message=str(error))
    status.details.add().Pack(ErrorInfo(reason=error.reason, domain=errors.DOMAIN, metadata=error.metadata))
    if isinstance(error, errors.InvalidArgument):
        violations = (
            BadRequest.FieldViolation(field=each.field, description=each.description) for each in error.violations
        )
        status.details.append(_pack(BadRequest(field_violations=violations)))
    if isinstance(error, errors.ResourceExhausted | errors.Unavailable):
        status.details.append(_pack(RetryInfo(retry_delay=_to_duration(error.retry_after))))
    return ("x-request-id", request_id), (STATUS_DETAILS, status.SerializeToString())


def _pack(detail: BadRequest | RetryInfo) -> Any:
    packed = Any()
    packed.Pack(detail)
    return packed


def _to_duration(seconds: float) -> Duration:
    whole = int(seconds)
    return Duration(seconds=whole, nanos=round((seconds - whole) * 1e9))

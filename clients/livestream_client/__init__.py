"""The live stream service for other Python programs: `LiveStreamClient`, and the errors that it raises."""

from livestream.v1.live_stream_pb2 import LiveStream, LiveStreamType, Role
from livestream.v1.user_pb2 import Media, UserSummary
from livestream.v1.watch_service_pb2 import WatchStreamResponse
from livestream_client.channel import TlsFiles, Token
from livestream_client.client import LiveStreamClient
from livestream_client.errors import (
    Aborted,
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    LiveStreamError,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Violation,
)

__all__ = [
    "Aborted",
    "AlreadyExists",
    "DeadlineExceeded",
    "FailedPrecondition",
    "Internal",
    "InvalidArgument",
    "LiveStream",
    "LiveStreamClient",
    "LiveStreamError",
    "LiveStreamType",
    "Media",
    "NotFound",
    "PermissionDenied",
    "ResourceExhausted",
    "Role",
    "TlsFiles",
    "Token",
    "Unauthenticated",
    "Unavailable",
    "UserSummary",
    "Violation",
    "WatchStreamResponse",
]

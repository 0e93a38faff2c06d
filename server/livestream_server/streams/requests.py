"""The requests of LiveStreamService as values of the domain; InvalidArgument for what has no meaning."""

from typing import NamedTuple

from livestream.v1.live_stream_pb2 import LIVE_STREAM_TYPE_UNSPECIFIED
from livestream.v1.live_stream_service_pb2 import (
    CreateStreamRequest,
    JoinStreamRequest,
    LeaveStreamRequest,
    RenewTokensRequest,
)
from livestream_server.errors import InvalidArgument, Violation
from livestream_server.streams import presenter
from livestream_server.streams.drafting import StreamDraft
from livestream_server.transport.parsing import parse_instant, parse_object_id
from livestream_server.vocabulary import Role, StreamType

_TYPES: dict[int, StreamType] = {number: each for each, number in presenter.TYPES.items()}
_TYPES[LIVE_STREAM_TYPE_UNSPECIFIED] = StreamType.SOLO
_ROLES: dict[int, Role] = {number: each for each, number in presenter.ROLES.items()}


def parse_draft(request: CreateStreamRequest) -> StreamDraft:
    """The draft that the request describes, unchecked."""
    has = request.HasField
    return StreamDraft(
        title=request.title,
        guests=list(request.guests),
        type=_TYPES.get(request.live_stream_type),
        price=request.price.value if has("price") else None,
        interest=request.interest if has("interest") else None,
        duration_goal=request.duration_goal if has("duration_goal") else None,
        motivation=request.motivation if has("motivation") else None,
        planned_start=(
            parse_instant("planned_start_date", request.planned_start_date) if has("planned_start_date") else None
        ),
        thumbnail=request.thumbnail,
    )


def parse_role(request: JoinStreamRequest | RenewTokensRequest | LeaveStreamRequest) -> Role | None:
    """The role that the request names, if any; raises InvalidArgument if there is no such role."""
    if request.role and request.role not in _ROLES:
        raise InvalidArgument(Violation("role", "must be host, guest or audience"))
    return _ROLES.get(request.role)


class Join(NamedTuple):
    """Which stream to enter, and in which role."""

    stream_id: str
    role: Role


def parse_join(request: JoinStreamRequest) -> Join:
    """The stream and the role. The fields of the device are ignored: nothing reads them."""
    role = parse_role(request)
    if role is None:
        raise InvalidArgument(Violation("role", "is required"))
    return Join(parse_object_id("live_stream_id", request.live_stream_id), role)

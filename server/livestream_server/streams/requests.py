"""What callers send to LiveStreamService, as values of this room; raises Invalid for what can have no meaning."""

from typing import NamedTuple

from livestream.v1.live_stream_pb2 import LIVE_STREAM_TYPE_UNSPECIFIED
from livestream.v1.live_stream_service_pb2 import (
    CreateStreamRequest,
    JoinStreamRequest,
    LeaveStreamRequest,
    RenewTokensRequest,
)
from livestream_server.errors import Invalid, Violation
from livestream_server.streams import view
from livestream_server.streams.drafting import Draft
from livestream_server.streams.model import Role, StreamType
from livestream_server.transport.values import moment, object_id

_TYPES: dict[int, StreamType] = {number: each for each, number in view.TYPES.items()}
_TYPES[LIVE_STREAM_TYPE_UNSPECIFIED] = StreamType.SOLO
_ROLES: dict[int, Role] = {number: each for each, number in view.ROLES.items()}


def draft_of(request: CreateStreamRequest) -> Draft:
    """The draft that the request describes; its rules are checked elsewhere."""
    has = request.HasField
    return Draft(
        title=request.title,
        guests=list(request.guests),
        type=_TYPES.get(request.live_stream_type),
        price=request.price.value if has("price") else None,
        interest=request.interest if has("interest") else None,
        duration_goal=request.duration_goal if has("duration_goal") else None,
        motivation=request.motivation if has("motivation") else None,
        planned_start=(moment("planned_start_date", request.planned_start_date) if has("planned_start_date") else None),
    )


def role_of(request: JoinStreamRequest | RenewTokensRequest | LeaveStreamRequest) -> Role | None:
    """The role that the request names, if any; raises Invalid if there is no such role."""
    if request.role and request.role not in _ROLES:
        raise Invalid(Violation("role", "must be host, guest or audience"))
    return _ROLES.get(request.role)


class Wish(NamedTuple):
    """Who wants to enter what, as what."""

    stream_id: str
    role: Role


def wish_of(request: JoinStreamRequest) -> Wish:
    """The wish. What the request says of the device is dropped: nothing reads it."""
    role = role_of(request)
    if role is None:
        raise Invalid(Violation("role", "is required"))
    return Wish(object_id("live_stream_id", request.live_stream_id), role)

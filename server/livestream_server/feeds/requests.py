"""What callers send to FeedService, as values; raises InvalidArgument for what can have no meaning."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from google.protobuf.message import Message

from livestream.v1 import feed_service_pb2 as rpc
from livestream.v1.live_stream_pb2 import LiveStreamStatus
from livestream_server.errors import InvalidArgument, Violation
from livestream_server.feeds.listings import Listing, with_guest
from livestream_server.feeds.model import Position, Selection, clamp_window, parse_cursor, parse_span
from livestream_server.transport.paging import MAX_LIMIT, MAX_PAGE, Page, parse_page

USUAL_PAGE = 10

PagedRequest: TypeAlias = (
    rpc.ListStreamsLiveNowRequest
    | rpc.ListStreamsForYouRequest
    | rpc.ListGuestStreamsRequest
    | rpc.ListMyBroadcastedStreamsRequest
    | rpc.ListMyWatchedStreamsRequest
)
UpcomingRequest: TypeAlias = rpc.ListUpcomingStreamsRequest | rpc.ListMyUpcomingStreamsRequest

_SELECTIONS = {rpc.Selection.Value(f"SELECTION_{each.name}"): each for each in Selection}
_SORTS = {
    rpc.GUEST_STREAM_SORT_UNSPECIFIED: "created_at",
    rpc.GUEST_STREAM_SORT_CREATED_AT: "created_at",
    rpc.GUEST_STREAM_SORT_UPDATED_AT: "updated_at",
    rpc.GUEST_STREAM_SORT_STARTED_AT: "started_at",
    rpc.GUEST_STREAM_SORT_PLANNED_START_DATE: "planned_start",
    rpc.GUEST_STREAM_SORT_ENDED_AT: "ended_at",
    rpc.GUEST_STREAM_SORT_DURATION_GOAL: "duration_goal",
    rpc.GUEST_STREAM_SORT_FUNDING_GOAL: "funding_goal",
}


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which part of a list is asked for: a page by its number, or what follows a position."""

    page: Page
    after: Position | None


def parse_page_request(request: PagedRequest, listing: Listing) -> PageRequest:
    """The part of `listing` that the request asks for; raises InvalidArgument for what is out of range."""
    return _page_request(
        request,
        listing,
        parse_page(read_optional(request, "page"), read_optional(request, "limit"), usual_limit=USUAL_PAGE),
    )


def parse_page_request_leniently(request: PagedRequest, listing: Listing) -> PageRequest:
    """The part of `listing` that the request asks for, where what is out of range is not refused but mended."""
    number, limit = read_optional(request, "page") or 0, read_optional(request, "limit") or 0
    page = Page(
        min(number, MAX_PAGE) if number > 0 else 1,
        min(limit, MAX_LIMIT) if limit > 0 else USUAL_PAGE,
    )
    return _page_request(request, listing, page)


def _page_request(request: PagedRequest, listing: Listing, page: Page) -> PageRequest:
    if request.cursor and request.HasField("page"):
        raise InvalidArgument(Violation("page", "must be absent if a cursor is given"))
    return PageRequest(page, parse_cursor(request.cursor, listing.name))


def parse_limit(request: Message, usual: int, *, cut: bool = False) -> int:
    """How many items are asked for, 1 to 100; raises InvalidArgument, or cuts what is above.

    Lists for which the public contract names no upper bound are cut.
    """
    limit: int = usual if (asked := read_optional(request, "limit")) is None else asked
    if limit < 1 or (limit > MAX_LIMIT and not cut):
        raise InvalidArgument(Violation("limit", "must be 1 or more" if cut else f"must be 1 to {MAX_LIMIT}"))
    return min(limit, MAX_LIMIT)


def parse_selection(request: rpc.ListStreamsForYouRequest) -> Selection:
    """The selection; raises InvalidArgument if there is no such one."""
    if request.selection not in _SELECTIONS:
        raise InvalidArgument(Violation("selection", "must be live, scheduled or crowdfunding"))
    return _SELECTIONS[request.selection]


def parse_guest_listing(request: rpc.ListGuestStreamsRequest, guest: str) -> Listing:
    """The list that the request describes; raises InvalidArgument for a state, key or order that does not exist."""
    if request.status not in LiveStreamStatus.values():
        raise InvalidArgument(Violation("status", "must be a state of a stream"))
    if request.sort_by not in _SORTS:
        raise InvalidArgument(Violation("sort_by", "must be what streams can be ordered by"))
    if request.sort_order not in rpc.SortOrder.values():
        raise InvalidArgument(Violation("sort_order", "must be asc or desc"))
    status = LiveStreamStatus.Name(request.status).removeprefix("LIVE_STREAM_STATUS_").lower()
    return with_guest(
        guest,
        status if request.status else None,
        _SORTS[request.sort_by],
        descending=request.sort_order != rpc.SORT_ORDER_ASC,
    )


def parse_window(request: UpcomingRequest, now: datetime) -> tuple[datetime, datetime]:
    """The window of time that the request describes, in hours or minutes."""
    before, after = (
        parse_span(side, read_optional(request, f"hours_{side}"), read_optional(request, f"minutes_{side}"))
        for side in ("before", "after")
    )
    return clamp_window(now, before, after)


def read_optional(request: Message, field: str) -> Any:
    """The value of an optional field; None if it is absent."""
    return getattr(request, field) if request.HasField(field) else None

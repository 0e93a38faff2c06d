"""What callers send to FeedService, as values; raises InvalidArgument for what can have no meaning."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

from livestream.v1 import feed_service_pb2 as rpc
from livestream.v1.live_stream_pb2 import LiveStreamStatus
from livestream_server.errors import InvalidArgument, Unauthenticated, Violation
from livestream_server.feeds.listings import Listing, with_guest
from livestream_server.feeds.model import Selection, clamp_window, parse_span
from livestream_server.feeds.store import WATCHED
from livestream_server.transport.call import Call
from livestream_server.transport.paging import (
    MAX_LIMIT,
    PageRequest,
    Position,
    encode_page_token,
    parse_page,
    parse_page_request,
    parse_page_size,
    parse_page_token,
    read_limit,
    read_optional,
)
from livestream_server.transport.parsing import parse_object_id
from livestream_server.vocabulary import Status

USUAL_PAGE = 10

PagedRequest: TypeAlias = (
    rpc.ListStreamsLiveNowRequest
    | rpc.ListStreamsForYouRequest
    | rpc.ListGuestStreamsRequest
    | rpc.ListMyBroadcastedStreamsRequest
    | rpc.ListMyWatchedStreamsRequest
)
LimitedRequest: TypeAlias = (
    rpc.ListStreamsRequest | rpc.ListCatchStreamersRequest | rpc.ListUpcomingStreamsRequest | rpc.ListPastStreamsRequest
)
RankedRequest: TypeAlias = rpc.ListFeaturedStreamsRequest | rpc.ListMostWatchedCreatorsRequest
UserRequest: TypeAlias = rpc.ListUpcomingStreamsRequest | rpc.GetActiveStreamRequest | rpc.ListPastStreamsRequest

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


def parse_paged(request: PagedRequest, listing: Listing, *, lenient: bool = False) -> PageRequest:
    """The part of `listing` that is asked for, of a list that REST has by pages; raises InvalidArgument.

    `lenient` mends a page or a limit that is out of range instead.
    """
    return parse_page_request(request, listing.name, usual_limit=USUAL_PAGE, keys=_any_keys(listing), lenient=lenient)


def parse_limited(request: LimitedRequest, listing: Listing, usual_limit: int, *, cut: bool = False) -> PageRequest:
    """The part of `listing` that is asked for, of a list that REST has by a limit alone; raises InvalidArgument.

    Lists for which the public contract names no upper bound are `cut` to 100 items.
    """
    limit = read_limit(request, usual_limit)
    if cut and limit is not None:
        if limit < 1:
            raise InvalidArgument(Violation("limit", "must be 1 or more"))
        limit = min(limit, MAX_LIMIT)
    page = parse_page(None, limit, usual_limit=usual_limit)
    return PageRequest(page, parse_page_token(request.page_token, listing.name, _any_keys(listing)))


def _any_keys(listing: Listing) -> Sequence[type]:
    """What the list is sorted by before the id; a value of another type only begins elsewhere."""
    return [object] * (len(listing.order) - 1)


def parse_watched(request: rpc.ListMyWatchedStreamsRequest) -> PageRequest:
    """The part that is asked for of what the caller watched; raises InvalidArgument."""
    return parse_page_request(request, WATCHED, usual_limit=USUAL_PAGE, keys=[datetime])


def parse_ranked(request: RankedRequest, ranking: str, ids: Sequence[str]) -> tuple[Sequence[str], str]:
    """The part of a ranking that is asked for, and the token of what follows; raises InvalidArgument."""
    after = parse_page_token(request.page_token, ranking, [int])
    rank = after.keys[0] if after else 0
    first = max(0, rank) if isinstance(rank, int) else 0
    end = first + parse_page_size(request.page_size, MAX_LIMIT)
    token = encode_page_token(ranking, Position((end,), ids[end - 1])) if end < len(ids) else ""
    return ids[first:end], token


def parse_user(request: UserRequest, call: Call) -> str:
    """The id of the user whose streams are asked for: the caller, where the request names nobody.

    Raises InvalidArgument for what is no id, and Unauthenticated if there is no caller.
    """
    if request.user_id:
        return parse_object_id("user_id", request.user_id)
    if call.caller is None:
        raise Unauthenticated("missing")
    return call.caller.id


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
    name = LiveStreamStatus.Name(request.status).removeprefix("LIVE_STREAM_STATUS_")
    return with_guest(
        guest,
        Status[name] if request.status else None,
        _SORTS[request.sort_by],
        descending=request.sort_order != rpc.SORT_ORDER_ASC,
    )


def parse_window(request: rpc.ListUpcomingStreamsRequest, now: datetime) -> tuple[datetime, datetime]:
    """The window of time that the request describes, in hours or minutes."""
    before, after = (
        parse_span(side, read_optional(request, f"hours_{side}"), read_optional(request, f"minutes_{side}"))
        for side in ("before", "after")
    )
    return clamp_window(now, before, after)

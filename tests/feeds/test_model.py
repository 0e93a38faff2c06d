from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livestream.v1 import feed_service_pb2 as rpc
from livestream_server.errors import InvalidArgument
from livestream_server.feeds import listings
from livestream_server.feeds.model import clamp_window, parse_span
from livestream_server.feeds.requests import parse_limited, parse_paged, parse_window

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
INT32 = st.integers(-(2**31), 2**31 - 1)


@given(st.none() | INT32, st.none() | INT32)
def test_for_you_never_refuses_a_page(number: int | None, limit: int | None) -> None:
    """The contract mends what is out of range: pages below 1 are the first, limits below 1 are 10, above 100 are 100."""
    request = rpc.ListStreamsForYouRequest(page=number, limit=limit)
    page = parse_paged(request, listings.live(), lenient=True).page
    assert page.number == (1 if number is None or number < 1 else min(number, 1_000_000))
    assert page.limit == (10 if limit is None or limit < 1 else min(limit, 100))


@given(st.none() | INT32, st.none() | INT32)
def test_the_other_lists_refuse_what_is_out_of_range(number: int | None, limit: int | None) -> None:
    """A client that asks for page 0 has a mistake to find."""
    request = rpc.ListMyWatchedStreamsRequest(page=number, limit=limit)
    wrong = (number is not None and not 1 <= number <= 1_000_000) or (limit is not None and not 1 <= limit <= 100)
    if wrong:
        with pytest.raises(InvalidArgument):
            parse_paged(request, listings.live())
    else:
        page = parse_paged(request, listings.live()).page
        assert (page.number, page.limit) == (number or 1, limit or 10)


@given(st.none() | INT32)
def test_a_limit_without_an_upper_bound_is_cut(limit: int | None) -> None:
    """The contract names no bound for some lists, and nobody gets thousands of streams at once."""
    request = rpc.ListCatchStreamersRequest(limit=limit)
    if limit is not None and limit < 1:
        with pytest.raises(InvalidArgument, match="1 or more"):
            parse_limited(request, listings.live(), 20, cut=True)
    else:
        assert parse_limited(request, listings.live(), 20, cut=True).page.limit == min(limit or 20, 100)


@given(st.none() | INT32, st.none() | INT32)
def test_a_window_is_as_long_as_it_is_said(hours: int | None, minutes: int | None) -> None:
    """Hours and minutes are two spellings; both at once contradict each other, and less than nothing is a mistake."""
    both = hours is not None and minutes is not None
    if both or (hours or 0) < 0 or (minutes or 0) < 0:
        with pytest.raises(InvalidArgument):
            parse_span("before", hours, minutes)
        return
    said = timedelta(hours=hours or 0, minutes=minutes or 0) if (hours, minutes) != (None, None) else timedelta(days=1)
    assert parse_span("before", hours, minutes) == said
    since, until = clamp_window(NOW, said, said)
    assert NOW - since == until - NOW == min(said, timedelta(days=732))


@pytest.mark.parametrize(
    ("fields", "before", "after"),
    [
        ({}, 24, 24),
        ({"hours_before": 0}, 0, 24),
        ({"minutes_after": 90}, 24, 1.5),
        ({"hours_before": 2, "minutes_after": 0}, 2, 0),
    ],
)
def test_each_side_of_the_window_has_its_own_length(fields: Any, before: float, after: float) -> None:
    """A user's page asks for what lies ahead, and a little for what was missed."""
    since, until = parse_window(rpc.ListUpcomingStreamsRequest(**fields), NOW)
    assert (NOW - since, until - NOW) == (timedelta(hours=before), timedelta(hours=after))


@given(INT32, st.none() | INT32)
def test_a_page_size_is_coerced_and_excludes_a_limit(size: int, limit: int | None) -> None:
    """AIP-158: 0 means the usual number, too many are cut, and only less than nothing is a mistake."""
    request = rpc.ListPastStreamsRequest(page_size=size, limit=limit)
    if size < 0 or (size and limit is not None) or (limit is not None and not 1 <= limit <= 100):
        with pytest.raises(InvalidArgument, match="limit" if size >= 0 or limit is not None else "page_size"):
            parse_limited(request, listings.live(), 20)
    else:
        usual = 20 if limit is None else limit
        assert parse_limited(request, listings.live(), 20).page.limit == min(size or usual, 100)

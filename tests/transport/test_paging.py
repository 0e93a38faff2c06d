import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livestream_server.errors import InvalidArgument
from livestream_server.transport.paging import Position, encode_page_token, parse_page_size, parse_page_token

LIST = "guest.created_at.desc"
moments = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)).map(  # noqa: DTZ001 - a bound
    lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)
)
keys = st.none() | st.integers(-(2**31), 2**31 - 1) | moments | st.from_regex(r"[a-z_]{1,30}", fullmatch=True)
positions = st.builds(
    Position, st.lists(keys, min_size=1, max_size=3).map(tuple), st.from_regex(r"[0-9a-f]{24}", fullmatch=True)
)


@given(positions)
def test_a_page_token_continues_where_it_was_made(where: Position) -> None:
    """Otherwise items are repeated or lost between two pages."""
    assert parse_page_token(encode_page_token(LIST, where), LIST, [type(each) for each in where.keys]) == where


@given(positions)
def test_a_page_token_continues_its_own_list_only(where: Position) -> None:
    """The position in one order means nothing in another."""
    token = encode_page_token(LIST, where)
    kinds = [type(each) for each in where.keys]
    for listing, expected in (("guest.ended_at.desc", kinds), (LIST, [*kinds, object]), (LIST, [*kinds[:-1], bytes])):
        with pytest.raises(InvalidArgument, match="page_token"):
            parse_page_token(token, listing, expected)


@given(st.text(min_size=1) | st.binary(min_size=1).map(lambda each: base64.urlsafe_b64encode(each).decode()))
def test_whatever_else_is_refused_as_a_page_token(text: str) -> None:
    """An exception of the decoder would be an internal error."""
    with pytest.raises(InvalidArgument, match="page_token"):
        parse_page_token(text, LIST)


@pytest.mark.parametrize(
    "text",
    [
        f"{LIST}|t999999999999999|{'a' * 24}",
        f"{LIST}|t|{'a' * 24}",
        f"{LIST}|n5|{'a' * 24}",
        f"{LIST}|i007|{'a' * 24}",
        f"{LIST}|i٥|{'a' * 24}",
        f"{LIST}|s$where|{'a' * 24}",
        f"{LIST}|i1|{'A' * 24}",
        f"{LIST}|i1|{'a' * 24}\n",
        f"{LIST}|{'a' * 24}",
    ],
)
def test_a_forged_page_token_is_refused(text: str) -> None:
    """Only what we have written ourselves reaches the database."""
    with pytest.raises(InvalidArgument, match="page_token"):
        parse_page_token(base64.urlsafe_b64encode(text.encode()).decode().rstrip("="), LIST)


@pytest.mark.parametrize(("size", "items"), [(0, 20), (1, 1), (100, 100), (101, 100), (2**31 - 1, 100)])
def test_a_page_size_has_a_default_and_a_maximum(size: int, items: int) -> None:
    """AIP-158: a client that asks for more than there may be gets what may be."""
    assert parse_page_size(size, 20) == items


def test_a_negative_page_size_is_a_mistake() -> None:
    """The answer names the field."""
    with pytest.raises(InvalidArgument, match="page_size"):
        parse_page_size(-1, 20)

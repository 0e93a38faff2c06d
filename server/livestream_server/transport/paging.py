"""Pages of lists: which one is asked for, by its number or by a token, and where it lies."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from livestream.v1.paging_pb2 import Pagination
from livestream_server.errors import InvalidArgument, Violation

MAX_LIMIT = 100
MAX_PAGE = 1_000_000  # keeps `skip` within what the database takes

Key: TypeAlias = datetime | int | str | None
"""What a list is sorted by. Text is of lower-case letters and underscores, as the states of a stream are."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KEY = r"n|[it]-?[0-9]{1,15}|s[a-z_]{1,30}"
_TOKEN = re.compile(rf"([a-z0-9_.]+)\|((?:{_KEY})(?:\|(?:{_KEY}))*)\|([0-9a-f]{{24}})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Page:
    """A page by number, from 1, and its length."""

    number: int
    limit: int

    @property
    def skip(self) -> int:
        """How many items come before it."""
        return (self.number - 1) * self.limit

    def of(self, total: int) -> Pagination:
        """Where the page lies in a list of `total` items; it may lie behind the end."""
        pages = -(-total // self.limit)
        return Pagination(
            current_page=self.number,
            total_pages=pages,
            total_items=total,
            items_per_page=self.limit,
            has_next_page=self.number < pages,
            has_prev_page=self.number > 1,
        )


@dataclass(frozen=True, slots=True)
class Position:
    """The last item of a page: what its list is sorted by, and its id, which settles ties."""

    keys: tuple[Key, ...]
    id: str


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which part of a list is asked for: a page by its number, or as many items after a position."""

    page: Page
    after: Position | None


def parse_page_request(
    request: Any, listing: str, *, usual_limit: int, keys: Sequence[type] = (object,), lenient: bool = False
) -> PageRequest:
    """The part of a list that a request asks for with `page` and `limit`, or with `page_size` and `page_token`.

    `listing` and `keys` are as in `parse_page_token`. Raises InvalidArgument for what is out of range, and for two
    answers to one question; `lenient` mends a page or a limit that is out of range instead.
    """
    number, limit = read_optional(request, "page"), read_limit(request, usual_limit)
    if request.page_token and number is not None:
        raise InvalidArgument(Violation("page", "must be absent if a page_token is given"))
    if lenient:
        number = min(number, MAX_PAGE) if number and number > 0 else 1
        limit = min(limit, MAX_LIMIT) if limit and limit > 0 else usual_limit
    page = parse_page(number, limit, usual_limit=usual_limit)
    return PageRequest(page, parse_page_token(request.page_token, listing, keys))


def parse_page(number: int | None, limit: int | None, *, usual_limit: int) -> Page:
    """The page that is asked for; None means not given. Raises InvalidArgument for what is out of range."""
    page = Page(1 if number is None else number, usual_limit if limit is None else limit)
    violations = []
    if not 1 <= page.number <= MAX_PAGE:
        violations.append(Violation("page", f"must be 1 to {MAX_PAGE}"))
    if not 1 <= page.limit <= MAX_LIMIT:
        violations.append(Violation("limit", f"must be 1 to {MAX_LIMIT}"))
    if violations:
        raise InvalidArgument(*violations)
    return page


def read_limit(request: Any, usual_limit: int) -> int | None:
    """How many items `limit` or `page_size` ask for; None if neither does. Raises InvalidArgument if both do."""
    limit: int | None = read_optional(request, "limit")
    if not request.page_size:
        return limit
    if limit is not None:
        raise InvalidArgument(Violation("limit", "must be absent if a page_size is given"))
    return parse_page_size(request.page_size, usual_limit)


def parse_page_size(value: int, default: int) -> int:
    """How many items are asked for: `default` if 0, and at most 100; raises InvalidArgument if negative (AIP-158)."""
    if value < 0:
        raise InvalidArgument(Violation("page_size", "must be 0 or more"))
    return min(value or default, MAX_LIMIT)


def encode_page_token(listing: str, position: Position) -> str:
    """The text that continues the list of that name after a position.

    It is not signed: all that a forged one can do is to begin elsewhere in a list that the caller may read anyway.
    """
    text = "|".join((listing, *map(_encode_key, position.keys), position.id))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def parse_page_token(text: str, listing: str, keys: Sequence[type] = (object,)) -> Position | None:
    """Where the list of that name continues; None for an empty text: it begins.

    `keys` are the types of what the list is sorted by before its id; `object` stands for any. Raises InvalidArgument
    for whatever `encode_page_token` has not written for this list.
    """
    if not text:
        return None
    try:
        found = _TOKEN.fullmatch(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode())
        position = Position(tuple(map(_decode_key, found[2].split("|"))), found[3]) if found else None
    except (ValueError, OverflowError, binascii.Error):
        position = None
    if position and _fits(position, keys) and encode_page_token(listing, position) == text:
        return position
    raise InvalidArgument(Violation("page_token", "must be the next_page_token that this list answered with"))


def _fits(position: Position, keys: Sequence[type]) -> bool:
    return len(position.keys) == len(keys) and all(map(isinstance, position.keys, keys))


def _encode_key(key: Key) -> str:
    match key:
        case None:
            return "n"
        case datetime():
            return f"t{(key - _EPOCH) // timedelta(milliseconds=1)}"
        case int():
            return f"i{key}"
    return f"s{key}"


def _decode_key(text: str) -> Key:
    match text[0]:
        case "n":
            return None
        case "t":
            return _EPOCH + timedelta(milliseconds=int(text[1:]))
        case "i":
            return int(text[1:])
    return text[1:]


def read_optional(request: Any, field: str) -> Any:
    """The value of an optional field; None if it is absent."""
    return getattr(request, field) if request.HasField(field) else None

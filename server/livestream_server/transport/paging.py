"""Pages of lists: which one is asked for, and where it lies."""

from dataclasses import dataclass

from livestream.v1.paging_pb2 import Pagination
from livestream_server.errors import InvalidArgument, Violation

MAX_LIMIT = 100
MAX_PAGE = 1_000_000  # keeps `skip` within what the database takes


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

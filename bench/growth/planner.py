"""Which index serves a query, by MongoDB's rules: equality first, then the sort, then a range.

The rules are written down here, because a question about the year after cannot be put to a small database, and because
the embedded one plans more simply than MongoDB. `tests/bench/test_queries.py` compares them with a real `explain`.

reference: MongoDB's manual, "The ESR (Equality, Sort, Range) Guideline" and "Partial Indexes"
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

RANGES = {"$gt", "$gte", "$lt", "$lte", "$type"}


class Cost(StrEnum):
    """How many documents or index entries a query looks at."""

    ONE = "one"
    ASKED = "those asked for"
    PAGE = "one page"
    MATCHES = "all that match"
    SCAN = "the whole collection"


@dataclass(frozen=True, slots=True)
class Index:
    """An index of one collection, as the database lists it."""

    name: str
    key: Sequence[tuple[str, int]]
    unique: bool = False
    cleans_up: bool = False
    """Whether the database deletes old documents by it."""
    partial: Mapping[str, Any] = field(default_factory=dict)
    sparse: bool = False

    @classmethod
    def listed(cls, document: Mapping[str, Any]) -> "Index":
        """From an entry of `listIndexes`."""
        return cls(
            document["name"],
            [(name, int(direction)) for name, direction in document["key"].items()],
            unique=bool(document.get("unique")) or document["name"] == "_id_",
            cleans_up="expireAfterSeconds" in document,
            partial=document.get("partialFilterExpression", {}),
            sparse=bool(document.get("sparse")),
        )


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of one collection. `filter` has sample values; which ones does not matter, `null` and true do."""

    collection: str
    verb: str
    filter: Mapping[str, Any]
    sort: Sequence[tuple[str, int]] = ()
    limit: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """How a query is answered."""

    index: str
    """Empty if none can be used."""
    bounds: Sequence[str]
    """The fields that narrow what is read of the index."""
    ordered: bool
    """Whether the index gives the order that is asked for."""
    cost: Cost


NONE = Plan("", (), ordered=False, cost=Cost.SCAN)


def plan(query: Query, indexes: Iterable[Index]) -> Plan:
    """The best plan: by the most equalities, then one that need not sort, then by a range."""
    plans = [found for each in indexes if (found := _with(query, each))]

    def merit(each: Plan) -> tuple[bool, int, bool, int]:
        points = sum(is_point(query.filter[name]) for name in each.bounds)
        return each.cost is Cost.ONE, points, each.ordered and bool(query.sort), len(each.bounds)

    return max(plans, key=merit, default=NONE)


def _with(query: Query, index: Index) -> Plan | None:
    if not _has_all(index, query.filter):
        return None
    kinds = {name: _kind(condition) for name, condition in query.filter.items()}
    names = [name for name, _ in index.key]
    bounds = []
    for name in names:
        kind = kinds.get(name, "")
        if not kind:
            break
        bounds.append(name)
        if kind == "range":
            break
    ordered = _gives_order(query, index, kinds)
    if not bounds and not (ordered and query.sort):
        return None
    return Plan(index.name, bounds, ordered, _cost(query, index, kinds, bounds, ordered=ordered))


def is_point(condition: Any) -> bool:
    """Whether a condition leaves one value, or some."""
    return _kind(condition) in ("point", "points")


def _kind(condition: Any) -> str:
    """`point`, `points` or `range`; empty if an index does not narrow by such a condition."""
    if not isinstance(condition, Mapping) or not any(str(each).startswith("$") for each in condition):
        return "point"
    if condition.keys() == {"$in"}:
        return "points"
    if condition.keys() == {"$not"}:  # what is left of a range is one or two
        return "range" if _kind(condition["$not"]) == "range" else ""
    return "range" if condition.keys() <= RANGES else ""


def _has_all(index: Index, filter_: Mapping[str, Any]) -> bool:
    """Whether every document that matches is in the index."""
    if index.sparse and not any(filter_.get(name) is not None for name, _ in index.key):
        return False
    for name, condition in index.partial.items():
        asked = filter_.get(name)
        exists = condition == {"$exists": True} and asked is not None
        if asked != condition and not exists:
            return False
    return True


def _gives_order(query: Query, index: Index, kinds: Mapping[str, str]) -> bool:
    """Fields that are fixed to a point, or to some of them, do not count: their parts can be merged."""
    fixed = {name for name, kind in kinds.items() if kind == "point"}
    wanted = [each for each in query.sort if each[0] not in fixed]
    sorted_by = {name for name, _ in wanted}
    given = [
        each
        for each in index.key
        if each[0] not in fixed and not (kinds.get(each[0]) == "points" and each[0] not in sorted_by)
    ][: len(wanted)]
    same = [direction == other for (_, direction), (_, other) in zip(given, wanted, strict=False)]
    return [name for name, _ in given] == [name for name, _ in wanted] and len(set(same)) <= 1


def _cost(query: Query, index: Index, kinds: Mapping[str, str], bounds: Sequence[str], *, ordered: bool) -> Cost:
    if index.unique and len(bounds) == len(index.key):
        bound = {kinds[each] for each in bounds}
        if bound == {"point"}:
            return Cost.ONE
        if bound <= {"point", "points"}:
            return Cost.ASKED
    return Cost.PAGE if query.limit and ordered else Cost.MATCHES

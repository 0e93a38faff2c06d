"""What we aim at, as ratios within one run, and whether the run got there.

Each goal has the figure that must hold and a further one, which prototypes of the parts show to be possible.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench import table
from bench.catalogue import (
    AGAIN,
    EXPRESS,
    FASTAPI,
    FIRST,
    FLASK,
    FLOOR,
    HOT,
    OVER_GRPC,
    OVER_HTTP,
    OVER_NATIVE,
    OVER_SPLIT,
    RAW,
    REFUSED,
    TOKEN,
)
from bench.rounds import Row, Spread, ratios

Rows = Mapping[tuple[str, str], Row]
_FLOOR = FLOOR.call, FLOOR.over
_JOINS = tuple((AGAIN, over) for over in (OVER_GRPC, OVER_NATIVE, OVER_HTTP))


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure that counts."""

    what: str
    must: float
    reach: float
    measured: Callable[[Rows], Spread]
    """Raises KeyError if a row is missing."""
    at_most: bool = False

    def met(self, figure: float) -> bool:
        return figure <= self.must if self.at_most else figure >= self.must


def _ratio(mine: tuple[str, str], its: tuple[str, str]) -> Callable[[Rows], Spread]:
    return lambda rows: ratios(rows[mine], rows[its])


def _over_fastapi(call: str) -> Callable[[Rows], Spread]:
    """Over the faster of the two."""

    def least(rows: Rows) -> Spread:
        return min((ratios(rows[call, OVER_HTTP], rows[call, peer]) for peer in FASTAPI), key=lambda each: each.median)

    return least


def _worst_tail(rows: Rows) -> Spread:
    found = [Spread.of([each.tail for each in rows[name].slices]) for name in _JOINS if name in rows]
    if not found:
        raise KeyError("no join")
    return max(found, key=lambda tail: tail.median)


def _memory(rows: Rows) -> Spread:
    return Spread.of([rows[AGAIN, OVER_GRPC].mib_after])


GOALS = (
    Goal("JoinStream on grpcio ÷ floor", 0.35, 0.5, _ratio((AGAIN, OVER_GRPC), _FLOOR)),
    Goal("JoinStream on native ÷ floor", 0.65, 1.0, _ratio((AGAIN, OVER_NATIVE), _FLOOR)),
    Goal("one hot stream on native ÷ floor", 2.0, 4.5, _ratio((HOT, OVER_NATIVE), _FLOOR)),
    Goal("token only on native ÷ floor", 2.5, 5.0, _ratio((TOKEN, OVER_NATIVE), _FLOOR)),
    Goal("HTTP join ÷ the same over gRPC on grpcio", 1.0, 1.5, _ratio((AGAIN, OVER_HTTP), (AGAIN, OVER_GRPC))),
    Goal("HTTP join ÷ the same over gRPC on native", 0.65, 1.0, _ratio((AGAIN, OVER_HTTP), (AGAIN, OVER_NATIVE))),
    Goal("one hot stream over HTTP ÷ native", 0.4, 0.6, _ratio((HOT, OVER_HTTP), (HOT, OVER_NATIVE))),
    Goal("HTTP join, split ÷ gRPC on grpcio", 0.45, 0.6, _ratio((AGAIN, OVER_SPLIT), (AGAIN, OVER_GRPC))),
    Goal("HTTP join ÷ FastAPI peer", 2.5, 3.0, _over_fastapi(AGAIN)),
    Goal("one hot stream over HTTP ÷ FastAPI peer", 5.0, 12.0, _over_fastapi(HOT)),
    Goal("HTTP token ÷ Flask peer", 4.0, 8.0, _ratio((TOKEN, OVER_HTTP), (TOKEN, FLASK))),
    Goal("HTTP token ÷ Express peer", 1.7, 2.5, _ratio((TOKEN, OVER_HTTP), (TOKEN, EXPRESS))),
    Goal("refused at the door ÷ raw ASGI", 0.45, 0.75, _ratio((REFUSED, OVER_HTTP), (REFUSED, RAW))),
    Goal("p99 ÷ p50 of JoinStream, the worst way", 5.0, 2.5, _worst_tail, at_most=True),
    Goal("MiB of a worker after the run", 130, 80, _memory, at_most=True),
)


def judged(rows: Sequence[Row], *, missing: bool = True) -> str:
    """A table of the goals, and whether they are met; `missing` shows those as well for which a row is missing."""
    by_name = {(row.call, row.over): row for row in rows}
    lines = [_line(goal, figure) for goal in GOALS if (figure := _figure(goal, by_name)) or missing]
    return table.drawn(("", "must", "reach for", "measured (min-max)", "met"), lines)


def _figure(goal: Goal, rows: Rows) -> Spread | None:
    try:
        return goal.measured(rows)
    except KeyError:
        return None


def _line(goal: Goal, figure: Spread | None) -> tuple[str, ...]:
    sign = "≤" if goal.at_most else "≥"
    wanted = f"{sign} {goal.must:g}", f"{sign} {goal.reach:g}"
    if figure is None:
        return goal.what, *wanted, "", "not measured"
    return goal.what, *wanted, str(figure), "yes" if goal.met(figure.median) else "**no**"


def with_the_write(rows: Sequence[Row]) -> str:
    """What a join costs that writes its participant, beside one that finds it."""
    by_name = {(row.call, row.over): row for row in rows}
    found = [
        f"{over} {ratios(by_name[AGAIN, over], by_name[_FLOOR]).median:.2f} without and "
        f"{ratios(by_name[FIRST, over], by_name[_FLOOR]).median:.2f} with it"
        for over in (OVER_GRPC, OVER_NATIVE, OVER_HTTP)
        if (AGAIN, over) in by_name and (FIRST, over) in by_name
    ]
    return (
        f"The first join of a user writes their participant. JoinStream ÷ floor: {'; '.join(found)}." if found else ""
    )


def memory(rows: Sequence[Row]) -> str:
    """What a worker of the service takes before and after the run."""
    worker = next((row for row in rows if row.over in (OVER_GRPC, OVER_HTTP) and row.call != TOKEN), None)
    if worker is None:
        return ""
    return (
        f"A worker had {worker.mib_before:.0f} MiB before its first call and {worker.mib_after:.0f} MiB after the last."
    )

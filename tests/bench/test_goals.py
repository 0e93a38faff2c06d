"""Whether a run met the goals is computed, and must not flatter."""

import pytest
from bench import goals
from bench.catalogue import AGAIN, FASTAPI, FIRST, OVER_GRPC, OVER_HTTP, OVER_NATIVE, RAW

from tests.support.measured import every_row, floor, row


def verdicts(table: str) -> dict[str, list[str]]:
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {line[0]: line[1:] for line in lines}


def test_every_goal_is_judged_by_rows_that_a_run_measures() -> None:
    """A goal whose row was renamed would be "not measured" for ever."""
    assert "not measured" not in goals.judged(every_row(900.0))


def test_a_goal_is_met_from_its_figure_on() -> None:
    """Not below it, however near."""
    name = "JoinStream on grpcio ÷ floor"
    for rate, met in ((350.0, "yes"), (349.0, "**no**")):
        judged = verdicts(goals.judged([floor(), row(AGAIN, OVER_GRPC, (rate,) * 5)]))
        assert judged[name][0] == "≥ 0.35"
        assert judged[name][-1] == met


def test_the_faster_of_two_peers_counts() -> None:
    """To beat the slower one would prove nothing."""
    peers = [row(AGAIN, over, (rate,) * 5) for over, rate in zip(FASTAPI, (200.0, 300.0), strict=True)]
    judged = verdicts(goals.judged([floor(), row(AGAIN, OVER_HTTP, (600.0,) * 5), *peers]))
    assert judged["HTTP join ÷ FastAPI peer"][2:] == ["2.00", "**no**"]


def test_the_worst_tail_counts_and_must_be_small() -> None:
    """One way to join with long waits is enough for humans to wait."""
    name = "p99 ÷ p50 of JoinStream, the worst way"
    calm, waiting = row(AGAIN, OVER_GRPC, (1,)), row(AGAIN, OVER_HTTP, (1,), tail=6.0)
    assert verdicts(goals.judged([floor(1), calm, waiting]))[name][1:] == ["≤ 2.5", "6.00", "**no**"]
    assert verdicts(goals.judged([floor(1), calm]))[name][-1] == "yes"


def test_a_goal_without_its_rows_is_said_to_be_unmeasured() -> None:
    """An engine or a peer that is not installed is no success."""
    rows = [floor(), row(AGAIN, OVER_GRPC, (500.0,) * 5)]
    assert verdicts(goals.judged(rows))["JoinStream on native ÷ floor"][2:] == ["", "not measured"]
    assert "JoinStream on native ÷ floor" not in goals.judged(rows, missing=False)
    assert RAW not in goals.judged(rows, missing=False)


def test_joins_are_told_with_and_without_their_write() -> None:
    """A join that only reads is half of the truth."""
    rows = [floor(), *(row(call, OVER_NATIVE, (rate,) * 5) for call, rate in ((AGAIN, 600.0), (FIRST, 250.0)))]
    assert "gRPC on native 0.60 without and 0.25 with it" in goals.with_the_write(rows)
    assert goals.with_the_write([floor()]) == ""


@pytest.mark.parametrize(("rows", "words"), [([], ""), ([row(AGAIN, OVER_GRPC, (1,))], "80 MiB before")])
def test_memory_is_told_before_and_after(rows: list[goals.Row], words: str) -> None:
    """What a worker holds at its start says nothing about an evening."""
    assert words in goals.memory(rows)

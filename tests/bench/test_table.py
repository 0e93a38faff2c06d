"""The tables of the benchmark: what they say must be what was measured."""

from bench import table

from tests.support.measured import floor, row


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_row_is_its_medians_over_the_rounds_with_their_spread() -> None:
    """Ratios are of the same round: a slow minute of the machine must not make a server look fast."""
    base = floor(1000, 500, 2000)
    lines = table.of_rows([base, row("GetStream", "HTTP", (300, 200, 400), tail=3.0)], base).splitlines()
    assert cells(lines[2])[:4] == ["hello, grpc.aio", "1,000 (500-2,000)", "1", "1"]
    assert cells(lines[3]) == [
        "GetStream, HTTP",
        "300 (200-400)",
        "0.30 (0.20-0.40)",
        "1.00",
        "200 (200)",
        "10.0",
        "30.0",
        "3.0",
        "1.00 + 0.50",
        "100",
    ]


def test_columns_are_drawn_under_each_other() -> None:
    """It is read in a terminal as often as on a page."""
    lines = table.drawn(("", "long heading"), [("a", "1"), ("longer", "22")]).splitlines()
    assert lines == [
        "|        | long heading |",
        "|--------|-------------:|",
        "| a      |            1 |",
        "| longer |           22 |",
    ]


def test_the_load_says_how_busy_it_was() -> None:
    """Otherwise a slow generator is taken for a slow server."""
    assert table.load_cost([row("GetStream", "HTTP", (1000, 2000))]) == (
        "Load and stub took 10 µs of CPU per call, at most 2% of their core."
    )


def test_wrong_replies_are_told() -> None:
    """A figure that needed a second try is no secret."""
    wrong = row("GetStream", "HTTP", (1000,))
    assert table.repeated([wrong]) == "No reply was wrong."
    wrong.again.append("GetStream, HTTP: 1 of 9 replies were wrong")
    assert table.repeated([wrong]) == "Measured again: GetStream, HTTP: 1 of 9 replies were wrong"

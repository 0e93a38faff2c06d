"""What was measured, as a table that reads well in a terminal and in Markdown."""

from collections.abc import Sequence

from bench.rounds import Row, Spread, ratios, ratios_by_cpu

HEADINGS = (
    "",
    "calls/s (min-max)",
    "of the floor (min-max)",
    "by CPU",
    "CPU µs/call (min)",
    "p50 ms",
    "p99 ms",
    "p99 ÷ p50",
    "reads + writes/call",
    "RSS MiB",
)


def of_rows(rows: Sequence[Row], floor: Row) -> str:
    """One line per row; medians over the rounds."""
    return drawn(HEADINGS, [_cells(row, floor) for row in rows])


def drawn(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(headings, *lines, strict=True)]
    rule = "|" + "|".join("-" * (width + 1) + (":" if column else "-") for column, width in enumerate(widths)) + "|"
    return "\n".join([_line(headings, widths), rule, *(_line(each, widths) for each in lines)])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(width) if column == 0 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "| " + " | ".join([first, *others]) + " |"


def _cells(row: Row, floor: Row) -> tuple[str, ...]:
    rate = Spread.of([each.rate for each in row.slices])
    cpu = Spread.of([each.cpu_microseconds for each in row.slices])
    calls = sum(each.calls for each in row.slices)
    reads = sum(each.reads for each in row.slices) / calls
    writes = sum(each.writes for each in row.slices) / calls
    return (
        row.name,
        f"{rate.median:,.0f} ({rate.least:,.0f}-{rate.most:,.0f})",
        "1" if row is floor else str(ratios(row, floor)),
        "1" if row is floor else f"{ratios_by_cpu(row, floor).median:.2f}",
        f"{cpu.median:.0f} ({cpu.least:.0f})",
        f"{row.median(lambda each: each.milliseconds(0.5)):.1f}",
        f"{row.median(lambda each: each.milliseconds(0.99)):.1f}",
        f"{row.median(lambda each: each.tail):.1f}",
        f"{reads:.2f} + {writes:.2f}" if reads + writes > 0.005 else "",
        f"{row.mib_after:.0f}",
    )


def load_cost(rows: Sequence[Row]) -> str:
    """How busy the load's core was: what shows that it is not the limit."""
    slices = [each for row in rows for each in row.slices]
    cost = sum(each.load_cpu for each in slices) / sum(each.calls for each in slices)
    busiest = max(each.load_cpu / each.seconds for each in slices)
    return f"Load and stub took {cost * 1e6:.0f} µs of CPU per call, at most {busiest:.0%} of their core."


def repeated(rows: Sequence[Row]) -> str:
    """What was measured a second time, and why."""
    found = [why for row in rows for why in row.again]
    return "Measured again: " + "; ".join(found) if found else "No reply was wrong."

"""What was measured, as a table that reads well in a terminal and in Markdown."""

import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

from bench.rounds import Row, Spread, ratios

PACKAGES = (
    "grpcio",
    "protobuf",
    "pymongo",
    "uvloop",
    "uvicorn",
    "httptools",
    "starlette",
    "orjson",
    "pyjwt",
    "structlog",
)
HEADINGS = (
    "",
    "calls/s (min-max)",
    "of the floor (min-max)",
    "CPU µs/call (min)",
    "p50 ms",
    "p99 ms",
    "p99 ÷ p50",
    "reads + writes/call",
    "RSS MiB",
)


def setting() -> str:
    """Machine and versions."""
    model = next(
        (line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")), platform.machine()
    )
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"load average before: {os.getloadavg()[0]:.1f}\n"
        f"Python {platform.python_version()}, {packages}\n"
        f"command: {' '.join(['python', '-m', 'bench', *sys.argv[1:]])}"
    )


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def table(rows: Sequence[Row], floor: Row) -> str:
    """One line per row; medians over the rounds."""
    lines = [HEADINGS, *(_cells(row, floor) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    drawn = [_line(line, widths) for line in lines]
    rule = "|" + "|".join("-" * (width + 1) + (":" if column else "-") for column, width in enumerate(widths)) + "|"
    return "\n".join([drawn[0], rule, *drawn[1:]])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.ljust(width) if column == 0 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "| " + " | ".join([first, *others]) + " |"


def _cells(row: Row, floor: Row) -> tuple[str, ...]:
    rate = Spread.of([each.rate for each in row.slices])
    ratio = ratios(row, floor)
    cpu = Spread.of([each.cpu_microseconds for each in row.slices])
    calls = sum(each.calls for each in row.slices)
    reads = sum(each.reads for each in row.slices) / calls
    writes = sum(each.writes for each in row.slices) / calls
    return (
        row.name,
        f"{rate.median:,.0f} ({rate.least:,.0f}-{rate.most:,.0f})",
        "1" if row is floor else f"{ratio.median:.2f} ({ratio.least:.2f}-{ratio.most:.2f})",
        f"{cpu.median:.0f} ({cpu.least:.0f})",
        f"{median(each.milliseconds(0.5) for each in row.slices):.1f}",
        f"{median(each.milliseconds(0.99) for each in row.slices):.1f}",
        f"{median(each.milliseconds(0.99) / each.milliseconds(0.5) for each in row.slices):.1f}",
        f"{reads:.2f} + {writes:.2f}" if reads + writes > 0.005 else "",
        f"{sum(each.resident_mib() for each in row.programs):.0f}",
    )


def load_cost(rows: Sequence[Row]) -> str:
    """How busy the load's core was: what shows that it is not the limit."""
    slices = [each for row in rows for each in row.slices]
    cost = sum(each.load_cpu for each in slices) / sum(each.calls for each in slices)
    busiest = max(each.load_cpu / each.seconds for each in slices)
    return f"Load and stub took {cost * 1e6:.0f} µs of CPU per call, at most {busiest:.0%} of their core."

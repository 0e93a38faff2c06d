"""`docs/speed.md`: what a run measured, between two marks; the rest of the page is written by hand and stays."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import goals, setting, svg, table
from bench.rounds import Row

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- `make bench` writes from here -->", "<!-- to here -->"
NEW_PAGE = f"# Speed\n\n{BEGIN}\n{END}\n"


def write(on_stub: Sequence[Row], on_embedded: Sequence[Row], how: str, docs: Path = DOCS) -> None:
    """Put a run into the page and its chart beside it. `how` says how long it was."""
    page = docs / "speed.md"
    before = page.read_text(encoding="utf-8") if page.exists() else NEW_PAGE
    page.write_text(replaced(before, _measured(on_stub, on_embedded, how)), encoding="utf-8")
    (docs / "speed.svg").write_text(svg.image(on_stub), encoding="utf-8")


def replaced(page: str, measured: str) -> str:
    """The page with another generated part. Raises ValueError if it has lost its marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no marks between which to write")
    return f"{before}{BEGIN}\n\n{measured}\n\n{END}{after}"


def _measured(on_stub: Sequence[Row], on_embedded: Sequence[Row], how: str) -> str:
    """The generated part."""
    return f"""\
Measured on {datetime.now(UTC):%d %B %Y} by `make bench`: {how}.

- Machine: {setting.machine()} at the end of the run.
- Versions: {setting.versions()}.
- Peers: {setting.versions_of_peers()}.

![All rows as bars: calls per second in parts of the floor](speed.svg)

### Goals

{goals.judged(on_stub)}

{goals.with_the_write(on_stub)} {goals.memory(on_stub)}

### On a stub that answers from memory

{table.of_rows(on_stub, on_stub[0])}

{table.load_cost(on_stub)} {table.repeated(on_stub)}

### On the embedded database

{table.of_rows(on_embedded, on_embedded[0])}"""

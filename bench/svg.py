"""An image of the rows: horizontal bars of ratios to the floor, with their spread, for light and dark pages."""

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from bench.catalogue import (
    EXPRESS,
    FASTAPI_ASYNC,
    FASTAPI_SYNC,
    FLASK,
    FLOOR,
    OVER_GRPC,
    OVER_HTTP,
    OVER_NATIVE,
    OVER_SPLIT,
    REFUSED,
)
from bench.rounds import Row, Spread, ratios

WIDTH, LEFT, RIGHT, TOP = 860, 150, 60, 64
BAR, STEP, HEADING, AXIS = 12, 18, 30, 26

_PARTS = "page", "ink", "faint", "grpc", "http", "peer"
_LIGHT = dict(zip(_PARTS, ("#ffffff", "#1f2328", "#d1d9e0", "#2f6fde", "#1a8754", "#c2571a"), strict=True))
_DARK = dict(zip(_PARTS, ("#0d1117", "#e6edf3", "#3d444d", "#6aa5ff", "#4cc38a", "#f0955b"), strict=True))
_CLASSES = {
    OVER_GRPC: "grpc",
    OVER_NATIVE: "grpc",
    OVER_HTTP: "http",
    OVER_SPLIT: "http",
    FASTAPI_ASYNC: "peer",
    FASTAPI_SYNC: "peer",
    FLASK: "peer",
    EXPRESS: "peer",
}


def image(rows: Sequence[Row]) -> str:
    """The rows beside each other that answer the same call. What the gateway refuses by itself is left out."""
    floor = next(row for row in rows if row.call == FLOOR.call)
    shown = [(row, ratios(row, floor)) for row in rows if row is not floor and row.call != REFUSED]
    return drawn([(row.call, row.over, ratio) for row, ratio in shown])


def drawn(bars: Sequence[tuple[str, str, Spread]]) -> str:
    """An SVG document of bars: (call, over, ratio). Calls stand in the order in which they first come."""
    calls = list(dict.fromkeys(call for call, _, _ in bars))
    ordered = sorted(bars, key=lambda bar: calls.index(bar[0]))
    height = TOP + len(calls) * HEADING + len(bars) * STEP + AXIS
    most = max(1.0, *(ratio.most for _, _, ratio in bars))
    step = _step(most)
    marks = 1 + int(most / step)
    scale = (WIDTH - LEFT - RIGHT) / (marks * step)
    body = [*_axis(height, [n * step for n in range(marks + 1)], scale), *_groups(ordered, scale)]
    box = f"0 0 {WIDTH} {height}"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img" aria-labelledby="title">',
            '<title id="title">Calls per second on one core, in parts of a hello-world server\'s</title>',
            f"<style>{_style()}</style>",
            '<rect width="100%" height="100%" class="page"/>',
            f'<text x="{LEFT}" y="20" class="strong">Calls per second on one core; hello world on grpc.aio = 1</text>',
            f'<text x="{LEFT}" y="38">bars: median of the rounds; thin lines: from the least to the most</text>',
            *body,
            "</svg>\n",
        ]
    )


def _step(most: float) -> float:
    """Of the axis: so that it has 4 to 10 marks."""
    return next((step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10) if most / step <= 10), 100)


def _style() -> str:
    def colours(of: dict[str, str]) -> str:
        return f"text{{fill:{of['ink']}}}.line{{stroke:{of['ink']}}}.grid{{stroke:{of['faint']}}}" + "".join(
            f".{name}{{fill:{of[name]}}}" for name in ("grpc", "http", "peer")
        )

    font = (
        "text{font:12px system-ui,sans-serif}.strong{font-weight:600}.end{text-anchor:end}.middle{text-anchor:middle}"
    )
    return f"{font}{colours(_LIGHT)}@media(prefers-color-scheme:dark){{{colours(_DARK)}}}"


def _axis(height: int, marks: Sequence[float], scale: float) -> Iterator[str]:
    for mark in marks:
        x = LEFT + mark * scale
        yield f'<line x1="{x:.1f}" y1="{TOP - 8}" x2="{x:.1f}" y2="{height - AXIS + 4}" class="grid"/>'
        yield f'<text x="{x:.1f}" y="{height - 8}" class="middle">{mark:g}</text>'
    one = LEFT + scale
    yield (
        f'<line x1="{one:.1f}" y1="{TOP - 8}" x2="{one:.1f}" y2="{height - AXIS + 4}" class="line"'
        ' stroke-dasharray="4 3"/>'
    )


def _groups(bars: Sequence[tuple[str, str, Spread]], scale: float) -> Iterator[str]:
    y = TOP
    for call, group in groupby(bars, key=lambda bar: bar[0]):
        yield f'<text x="{LEFT}" y="{y + 16}" class="strong">{escape(call)}</text>'
        y += HEADING - 6
        for _, over, ratio in group:
            yield from _bar(y, over, ratio, scale)
            y += STEP
        y += 6


def _bar(y: float, over: str, ratio: Spread, scale: float) -> Iterator[str]:
    middle = y + BAR / 2
    least, end, most = (LEFT + value * scale for value in (ratio.least, ratio.median, ratio.most))
    yield f'<text x="{LEFT - 8}" y="{y + 10}" class="end">{escape(over)}</text>'
    kind = _CLASSES.get(over, "grpc")
    yield f'<rect x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" height="{BAR}" rx="2" class="{kind}"/>'
    yield f'<line x1="{least:.1f}" y1="{middle}" x2="{most:.1f}" y2="{middle}" class="line"/>'
    yield f'<text x="{max(end, most) + 6:.1f}" y="{y + 10}">{ratio.median:.2f}</text>'

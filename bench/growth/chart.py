"""Lines on logarithmic axes, as SVG for light and dark pages: flat is flat, and growth in proportion is straight."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

PLOT_WIDTH, PLOT_HEIGHT = 250, 170
LEFT, TOP, GAP, LEGEND = 44, 40, 28, 15
COLUMNS = 3
MARKS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200)
_LIGHT = (
    "#ffffff",
    "#1f2328",
    "#d1d9e0",
    ("#2f6fde", "#1a8754", "#c2571a", "#8250df", "#bf3989", "#57606a", "#9a6700"),
)
_DARK = ("#0d1117", "#e6edf3", "#3d444d", ("#6aa5ff", "#4cc38a", "#f0955b", "#b992ff", "#f778ba", "#9198a1", "#d9a520"))


@dataclass(frozen=True, slots=True)
class Line:
    """How something grows: by what it depends on, in parts of its first value."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines over the same axis."""

    title: str
    lines: Sequence[Line]


def drawn(title: str, panels: Sequence[Panel]) -> str:
    """An SVG document."""
    legend = max(len(each.lines) for each in panels) * LEGEND
    cell_width, cell_height = LEFT + PLOT_WIDTH + GAP, TOP + PLOT_HEIGHT + 26 + legend + GAP
    rows = math.ceil(len(panels) / COLUMNS)
    width, height = COLUMNS * cell_width, 34 + rows * cell_height
    box, body = f"0 0 {width} {height}", []
    for place, panel in enumerate(panels):
        x, y = place % COLUMNS * cell_width + LEFT, 34 + place // COLUMNS * cell_height + TOP
        body += [f'<g transform="translate({x} {y})">', *_panel(panel), "</g>"]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" role="img" aria-labelledby="title">',
            f'<title id="title">{escape(title)}</title>',
            f"<style>{_style()}</style>",
            '<rect width="100%" height="100%" class="page"/>',
            f'<text x="{LEFT}" y="24" class="strong">{escape(title)}</text>',
            *body,
            "</svg>\n",
        ]
    )


def _style() -> str:
    def colours(page: str, ink: str, faint: str, lines: Sequence[str]) -> str:
        return f".page{{fill:{page}}}text{{fill:{ink}}}.grid{{stroke:{faint}}}.one{{stroke:{ink}}}" + "".join(
            f".l{number}{{stroke:{each};fill:{each}}}" for number, each in enumerate(lines)
        )

    font = (
        "text{font:12px system-ui,sans-serif}.strong{font-weight:600}.end{text-anchor:end}.middle{text-anchor:middle}"
    )
    plain = "polyline{fill:none!important;stroke-width:1.8}.one,.linear{stroke-dasharray:4 3}"
    return f"{font}{plain}{colours(*_LIGHT)}@media(prefers-color-scheme:dark){{{colours(*_DARK)}}}"


def _panel(panel: Panel) -> Iterator[str]:
    across = sorted({x for line in panel.lines for x, _ in line.points})
    values = [y for line in panel.lines for _, y in line.points]
    least, most = min(0.5, *values), max(4.0, *values) * 1.15
    horizontal, vertical = _scale(across[0], across[-1], 0, PLOT_WIDTH), _scale(least, most, PLOT_HEIGHT, 0)
    yield f'<text x="0" y="-12" class="strong">{escape(panel.title)}</text>'
    for mark in MARKS:
        if least <= mark <= most:
            y = vertical(mark)
            kind = "one" if mark == 1 else "grid"
            yield f'<line x1="0" y1="{y:.1f}" x2="{PLOT_WIDTH}" y2="{y:.1f}" class="{kind}"/>'
            yield f'<text x="-6" y="{y + 4:.1f}" class="end">{mark:g}</text>'
    for x in across:
        yield f'<line x1="{horizontal(x):.1f}" y1="0" x2="{horizontal(x):.1f}" y2="{PLOT_HEIGHT}" class="grid"/>'
        yield f'<text x="{horizontal(x):.1f}" y="{PLOT_HEIGHT + 16}" class="middle">{_short(x)}</text>'
    for number, line in enumerate(panel.lines):
        points = [(horizontal(x), vertical(y)) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        yield f'<polyline points="{path}" class="l{number}"/>'
        yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" class="l{number}"/>' for x, y in points)
        y = PLOT_HEIGHT + 38 + number * LEGEND
        yield f'<rect x="0" y="{y - 8}" width="14" height="4" class="l{number}"/>'
        yield f'<text x="20" y="{y - 2}">{escape(line.name)}</text>'


def _scale(least: float, most: float, start: float, end: float):  # noqa: ANN202 - a function of a value
    low, high = math.log10(least), math.log10(most)
    return lambda value: start + (math.log10(value) - low) / (high - low) * (end - start)


def _short(number: float) -> str:
    if number >= 1_000_000:
        return f"{number / 1_000_000:g}M"
    return f"{number / 1_000:g}k" if number >= 1_000 else f"{number:g}"

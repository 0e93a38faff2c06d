"""The image of the benchmark: a bar must be as long as its figure."""

from xml.etree import ElementTree as ET

import pytest
from bench import svg
from bench.catalogue import AGAIN, FASTAPI_SYNC, OVER_GRPC, REFUSED
from bench.rounds import Spread

from tests.support.measured import every_row

SVG = "{http://www.w3.org/2000/svg}"


def test_bars_are_as_long_as_their_ratios() -> None:
    """Two bars side by side are the whole message."""
    drawn = svg.drawn([("Join", "gRPC", Spread(1.0, 0.5, 1.5)), ("Join", "HTTP", Spread(0.5, 0.5, 0.5))])
    image = ET.fromstring(drawn)
    _, first, second = image.iter(f"{SVG}rect")
    assert float(first.attrib["width"]) == pytest.approx(2 * float(second.attrib["width"]), abs=0.2)
    whole = next(each for each in image.iter(f"{SVG}line") if each.attrib["y1"] == each.attrib["y2"])
    spread = float(whole.attrib["x2"]) - float(whole.attrib["x1"])
    assert spread == pytest.approx(float(first.attrib["width"]), abs=0.2)


@pytest.mark.parametrize("most", [0.08, 0.9, 3.0, 17.0, 700.0])
def test_everything_stays_inside_the_image(most: float) -> None:
    """Whatever the machine: nobody looks at the image before it is published."""
    image = ET.fromstring(svg.drawn([("Join", "gRPC", Spread(most / 2, most / 3, most))]))
    _, _, width, height = map(float, image.attrib["viewBox"].split())
    for line in image.iter(f"{SVG}line"):
        assert 0 <= float(line.attrib["x1"]) <= float(line.attrib["x2"]) <= width
    for text in image.iter(f"{SVG}text"):
        assert 0 <= float(text.attrib["y"]) <= height


def test_the_rows_of_a_call_are_neighbours() -> None:
    """The service beside its peers; and the image is for light and dark pages."""
    drawn = svg.image(every_row(500.0))
    texts = [each.text for each in ET.fromstring(drawn).iter(f"{SVG}text")]
    join = texts.index(AGAIN)
    assert texts[join + 1] == OVER_GRPC
    assert FASTAPI_SYNC in texts[join : join + 12]
    assert REFUSED not in texts
    assert "prefers-color-scheme:dark" in drawn


def test_names_are_escaped() -> None:
    """An image that is no XML is not shown at all."""
    assert "a &lt; b &amp; c" in svg.drawn([("a < b & c", "gRPC", Spread(1, 1, 1))])

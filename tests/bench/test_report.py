"""docs/speed.md, which a run writes in part."""

from pathlib import Path

import pytest
from bench import report

from tests.support.measured import every_row


def test_a_run_replaces_what_the_last_one_wrote_and_nothing_else(tmp_path: Path) -> None:
    """What users wrote about the figures must survive the next run."""
    page = tmp_path / "speed.md"
    page.write_text(f"# Speed\n\nOur words.\n\n{report.BEGIN}\nold\n{report.END}\n\nMore words.\n")
    for rate in (100.0, 700.0):
        report.write(every_row(rate), every_row(rate), "5 rounds", tmp_path)
    text = page.read_text()
    assert text.startswith(f"# Speed\n\nOur words.\n\n{report.BEGIN}")
    assert text.endswith(f"{report.END}\n\nMore words.\n")
    assert "old" not in text
    assert " 0.70 |" in text
    assert " 0.10 |" not in text
    assert (tmp_path / "speed.svg").read_text().startswith("<svg")


def test_the_first_run_makes_the_page(tmp_path: Path) -> None:
    """It tells where the figures come from, and nothing of where the machine keeps its files."""
    report.write(every_row(100.0), every_row(100.0), "5 rounds", tmp_path)
    text = (tmp_path / "speed.md").read_text()
    for told in ("`make bench`: 5 rounds", "Python 3.", "grpcio 1.", "cores", "### Goals", "embedded database"):
        assert told in text
    assert str(Path.home()) not in text
    assert str(Path.cwd()) not in text


def test_a_page_without_marks_is_left_alone() -> None:
    """Better no figures than a page overwritten."""
    with pytest.raises(ValueError, match="no marks"):
        report.replaced("# Speed\n", "figures")

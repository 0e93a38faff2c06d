"""What the fuzzer starts from, and what it once found, in the ordinary tests."""

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).with_name("corpus")
FILES = sorted(each for each in CORPUS.glob("*/*") if each.is_file())


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_bytes_of_the_corpus_do_no_harm(file: Path) -> None:
    """A bug that was mended would come back unseen."""
    TARGETS[file.parent.name](file.read_bytes())


def test_every_target_has_a_corpus() -> None:
    """A fuzzer that starts from nothing hardly gets past the first check."""
    assert {each.parent.name for each in FILES} == TARGETS.keys()

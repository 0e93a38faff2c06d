"""One word per thing: what docs/glossary.md retired is no name in the code, and stays out of its comments."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GENERATED = re.compile(r"_pb2(_grpc)?\.pyi?$")
PYTHON = [
    path
    for folder in ("server", "clients", "tests", "bench", "protos/livestream")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not GENERATED.search(path.name)
]
PROTOS = sorted((ROOT / "protos/livestream").rglob("*.proto"))

WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        room rooms seat seats chair chairs occupant occupants person persons people card cards showcase wish wishes
        together remembered bell bells ring rings dialect dialects story stories chapter chapters evening evenings
        narrator narrators picture pictures world worlds leash
        """,
    )
)
"""Parts of names: what stands between underscores and capitals."""

NAMES = {"Invalid", "NotAllowed", "Refused", "Exhausted"}
"""Whole names: errors have gRPC's canonical ones."""

PROSE = re.compile(r"\b(chair|seat|bell|dialect|narrator|card|showcase)s?\b", re.IGNORECASE)
"""Words that no comment and no docstring needs, either."""


def _parts(name: str) -> list[str]:
    return [each.lower() for each in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def _retired(names: Iterator[str]) -> Iterator[str]:
    for name in names:
        if name in NAMES or WORDS.intersection(_parts(name)):
            yield name


def _python(path: Path) -> Iterator[str]:
    text = path.read_text()
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    yield from _retired(each.string for each in tokens if each.type == tokenize.NAME)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    prose = [each.string for each in tokens if each.type == tokenize.COMMENT]
    prose += [ast.get_docstring(each) or "" for each in ast.walk(ast.parse(text)) if isinstance(each, documented)]
    yield from (f"“{word[0]}” in prose" for each in prose for word in PROSE.finditer(each))


def _proto(path: Path) -> Iterator[str]:
    text = path.read_text()
    code = re.sub(r'//.*|"(\\.|[^"\\])*"', "", text)
    yield from _retired(iter(re.findall(r"\w+", code)))
    yield from (f"“{word[0]}” in prose" for each in re.findall(r"//.*", text) for word in PROSE.finditer(each))


@pytest.mark.parametrize("paths", [PYTHON, PROTOS], ids=["python", "proto"])
def test_retired_words_stay_retired(paths: list[Path]) -> None:
    """A second word for a thing costs every reader a look-up, and the first of them brings the next."""
    assert paths
    found = {
        f"{path.relative_to(ROOT)}: {each}"
        for path in paths
        if path != Path(__file__)
        for each in [
            *_retired(iter([path.stem])),
            *(_python(path) if path.suffix == ".py" else _proto(path)),
        ]
    }
    assert sorted(found) == []


def test_the_glossary_has_every_retired_word() -> None:
    """The test says that a word is wrong; the glossary says which one is right."""
    page = set(re.findall(r"\w+", (ROOT / "docs/glossary.md").read_text().lower()))
    assert {word for word in WORDS if not page & {word, word.removesuffix("s"), word.removesuffix("es")}} - {
        "stories"
    } == set()

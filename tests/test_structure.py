"""Every feature package has the same skeleton, and each collection one owner."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

SERVER = Path(__file__).parents[1] / "server/livestream_server"
PACKAGES = sorted(each.parent for each in SERVER.glob("*/service.py"))
FILES = {each: each.read_text() for each in SERVER.rglob("*.py")}
OUTSIDE = re.compile(r"(grpc|google|pymongo|bson|livestream\.v1)\b")  # what reaches a wire or a disk


def _name(path: Path) -> str:
    return path.relative_to(SERVER).as_posix()


def _missing_files() -> Iterator[str]:
    for package in PACKAGES:
        for name in ("model.py", "store.py"):
            if not (package / name).exists():
                yield f"{package.name}: no {name}"


def _impure_models() -> Iterator[str]:
    for package in PACKAGES:
        for node in ast.walk(ast.parse(FILES.get(package / "model.py", ""))):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for each in names:
                if OUTSIDE.match(each):
                    yield f"{package.name}/model.py: imports {each}"


def _shared_collections() -> Iterator[str]:
    owners = defaultdict(set)
    for path, text in FILES.items():
        for name in re.findall(r'database\["(\w+)"\]', text):
            owners[name].add(path.parent.name)
    for name, packages in owners.items():
        if len(packages) > 1:
            yield f"{name}: two owners, {' and '.join(sorted(packages))}"


def _scattered_indexes() -> Iterator[str]:
    for path, text in FILES.items():
        if "IndexModel" in text and path.name != "store.py":
            yield f"{_name(path)}: declares indexes"


def _context_variables() -> Iterator[str]:
    yield from (f"{_name(path)}: a ContextVar" for path, text in FILES.items() if "ContextVar" in text)


def _odd_handlers() -> Iterator[str]:
    for package in PACKAGES:
        for node in ast.walk(ast.parse(FILES[package / "service.py"])):
            if isinstance(node, ast.AsyncFunctionDef) and node.name[0].isupper():
                parameters = [each.arg.removeprefix("_") for each in node.args.args]
                if parameters != ["self", "request", "call"]:
                    yield f"{package.name}: {node.name}({', '.join(parameters)})"


def test_every_package_has_the_same_skeleton() -> None:
    """Whoever knows one package finds their way in all: CONTRIBUTING says what stands where."""
    rules = (
        _missing_files,
        _impure_models,
        _shared_collections,
        _scattered_indexes,
        _context_variables,
        _odd_handlers,
    )
    assert len(PACKAGES) >= 9
    assert {each for rule in rules for each in rule()} == set()

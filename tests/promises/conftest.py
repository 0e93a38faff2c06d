"""Each promise publishes a figure: one line, printed at the end of the run whatever pytest captures."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.uri_parser import parse_uri

from livestream_run.dev.database import EmbeddedDatabase
from tests.support.proxy import FaultProxy

FIGURES = pytest.StashKey[list[str]]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash.get(FIGURES, [])
    if figures:
        terminalreporter.section("promises")
    for each in figures:
        terminalreporter.write_line(each)


@pytest.fixture
def figure(request: pytest.FixtureRequest, mongo_facts: dict[str, Any]) -> Callable[[str], None]:
    """Publishes what the test found, beside its name and the database that it was found on."""
    database = f"{'embedded' if mongo_facts['embedded'] else 'MongoDB'} {mongo_facts['version']}"

    def publish(text: str) -> None:
        name = request.node.name.removeprefix("test_").replace("_", " ")
        request.config.stash.setdefault(FIGURES, []).append(f"{name}: {text} [{database}]")

    return publish


@pytest.fixture(scope="module")
def database(mongo_uri: str, database_name: str) -> Iterator[Database[dict[str, Any]]]:
    """A view on the module's database that does not pass through the service."""
    with MongoClient[dict[str, Any]](mongo_uri, tz_aware=True) as client:
        yield client[database_name]


@pytest.fixture
async def proxy(mongo_uri: str) -> AsyncIterator[FaultProxy]:
    """A fault proxy before the run's database."""
    asked = parse_uri(mongo_uri)
    if asked["username"] or asked["options"].get("tls"):
        pytest.skip("the fault proxy speaks to databases without login and TLS only")
    with MongoClient[dict[str, Any]](mongo_uri) as client:
        client.admin.command("ping")
        address = client.address
    assert address
    async with FaultProxy(*address) as opened:
        yield opened


@pytest.fixture
def mortal_database(tmp_path: Path) -> Iterator[EmbeddedDatabase]:
    """A database that the test may kill."""
    if os.environ.get("MONGODB_URI"):
        pytest.skip("MONGODB_URI names a database that is not ours to kill")
    with EmbeddedDatabase(tmp_path / "mongo") as opened:
        yield opened

"""One embedded database for the whole run (or MONGODB_URI), and one database in it for each test module."""

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from pymongo import MongoClient

from livestream_run.dev.database import EmbeddedDatabase
from tests.support.world import LiveService, World, environment_for, open_world, running, settings_for

hypothesis_settings.register_profile("untimed", deadline=None)  # a busy machine is no bug
hypothesis_settings.load_profile("untimed")


@pytest.fixture(scope="session")
def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The database server that the run uses."""
    if uri := os.environ.get("MONGODB_URI"):
        yield uri
        return
    with EmbeddedDatabase(tmp_path_factory.mktemp("mongo") / "data") as database:
        yield database.uri


@pytest.fixture(scope="session")
def mongo_facts(mongo_uri: str) -> dict[str, Any]:
    """Which server it is: printed at the end, so that a reader knows what was shown."""
    with MongoClient[dict[str, Any]](mongo_uri, serverSelectionTimeoutMS=10_000) as client:
        hello = client.admin.command("hello")
        if not hello.get("setName") and hello.get("msg") != "isdbgrid":
            pytest.exit("MONGODB_URI must name a replica set or a sharded cluster", 3)
        return {"version": client.server_info()["version"], "embedded": hello.get("setName") == "secantus"}


@pytest.fixture(scope="module")
def database_name(mongo_uri: str, mongo_facts: dict[str, Any]) -> Iterator[str]:
    """A database of the module's own, dropped after it."""
    name = f"t_{secrets.token_hex(6)}"
    yield name
    with MongoClient[dict[str, Any]](mongo_uri, serverSelectionTimeoutMS=10_000) as client:
        client.drop_database(name)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for pictures."""
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="module")
async def world(mongo_uri: str, database_name: str, media: Path) -> AsyncIterator[World]:
    """The service in this process, on the module's database."""
    async with open_world(settings_for(mongo_uri, database_name, media)) as opened:
        yield opened


@pytest.fixture(scope="module")
def live_service(mongo_uri: str, database_name: str, media: Path) -> Iterator[LiveService]:
    """The whole system, gateway included, as a process of its own."""
    with running(LiveService(environment_for(mongo_uri, database_name, media))) as service:
        yield service

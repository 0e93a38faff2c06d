"""One embedded database for the whole run (or MONGODB_URI), and one database in it for each test module.

A test that asks for `engine`, or for a fixture that does, runs once on each engine; `pytest -k native` runs those of
one. The marker `one_engine` says of a test that it runs on grpcio alone, and why; `extended_on("native")` leaves a
long test on that engine to `make extended`.
"""

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import settings as hypothesis_settings
from pymongo import MongoClient

from livestream_run.dev.database import EmbeddedDatabase
from livestream_server.settings import Settings
from tests.support.environment import (
    LiveService,
    ServiceEnvironment,
    environment_for,
    open_environment,
    running,
    settings_for,
)

hypothesis_settings.register_profile("untimed", deadline=None)  # a busy machine is no bug
hypothesis_settings.load_profile("untimed")
ENGINES = get_args(Settings.model_fields["engine"].annotation)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine_of_the_database" not in metafunc.fixturenames:
        return
    if "engine" in metafunc.fixturenames and not metafunc.definition.get_closest_marker("one_engine"):
        late = {each for mark in metafunc.definition.iter_markers("extended_on") for each in mark.args}
        engines = [pytest.param(each, marks=[pytest.mark.extended] if each in late else []) for each in ENGINES]
        ids = ENGINES
    else:
        engines, ids = list(ENGINES[:1]), (pytest.HIDDEN_PARAM,)
    metafunc.parametrize("engine_of_the_database", engines, ids=ids, indirect=True, scope="session")


@pytest.fixture(scope="session")
def engine_of_the_database(request: pytest.FixtureRequest) -> str:
    """The engine for which the module's database is: the second finds none of what the first has left."""
    return str(request.param)


@pytest.fixture(scope="session")
def engine(engine_of_the_database: str) -> str:
    """What the server of this test speaks gRPC with: the value of LIVESTREAM_ENGINE."""
    return engine_of_the_database


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
def database_name(mongo_uri: str, mongo_facts: dict[str, Any], engine_of_the_database: str) -> Iterator[str]:
    """A database of the module's own, dropped after it."""
    name = f"t_{secrets.token_hex(6)}"
    yield name
    with MongoClient[dict[str, Any]](mongo_uri, serverSelectionTimeoutMS=10_000) as client:
        client.drop_database(name)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for images."""
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="module")
async def env(mongo_uri: str, database_name: str, media: Path, engine: str) -> AsyncIterator[ServiceEnvironment]:
    """The service in this process, on the module's database."""
    async with open_environment(settings_for(mongo_uri, database_name, media, engine=engine)) as opened:
        yield opened


@pytest.fixture(scope="module")
def live_service(mongo_uri: str, database_name: str, media: Path, engine: str) -> Iterator[LiveService]:
    """The whole system, gateway included, as a process of its own."""
    with running(LiveService(environment_for(mongo_uri, database_name, media, engine))) as service:
        yield service


@pytest.fixture(autouse=True)
def _expect_gaps_of_the_embedded_database(request: pytest.FixtureRequest) -> None:
    """A test marked `embedded_gap(reason)` shows a rule of MongoDB that the embedded database does not keep."""
    gap = request.node.get_closest_marker("embedded_gap")
    if gap and request.getfixturevalue("mongo_facts")["embedded"]:
        request.applymarker(pytest.mark.xfail(reason=gap.args[0], strict=True))

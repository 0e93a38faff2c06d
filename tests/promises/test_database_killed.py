"""The database may die at any moment: nothing acknowledged is lost, callers are told the truth, and all comes back."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from pymongo import MongoClient

from livestream_run.dev.database import EmbeddedDatabase
from tests.promises.calls import TRANSIENT, Load, lines, register, to_status_code, until
from tests.support.environment import LiveService, environment_for, running

pytestmark = pytest.mark.faults

KILLS = 3


# On grpcio alone, because it is long: what is answered is decided above the engine.
@pytest.fixture
def service(mortal_database: EmbeddedDatabase, tmp_path: Path) -> Iterator[LiveService]:
    with running(LiveService(environment_for(mortal_database.uri, "promises", tmp_path / "media"))) as opened:
        yield opened


def readiness(service: LiveService) -> int:
    try:
        with urllib.request.urlopen(f"{service.http_url}/readyz", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


async def test_a_killed_database_loses_and_doubles_nothing(
    service: LiveService, mortal_database: EmbeddedDatabase, figure: Callable[[str], None]
) -> None:
    """Every acknowledged write is on disk, and the service stands up by itself once the database is back."""
    async with lines(service.grpc_target, 8) as opened:
        creators, viewers = await register(opened[0], 16), await register(opened[0], 300)
        load = Load(opened, creators, viewers, (await opened[0].live("ayse")).id)
        told = set()
        async with load.running():
            for _ in range(KILLS):
                before = len(load.streams)
                await until(lambda before=before: len(load.streams) > before + 20)
                await asyncio.to_thread(mortal_database.kill)
                await until(opened[0].not_serving)
                told.add(await asyncio.to_thread(readiness, service))
                # A caller who comes while it is gone gets an answer, and the right one.
                away = await asyncio.gather(*(to_status_code(each.create("mehmet", seconds=5)) for each in opened))
                assert set(away) <= set(TRANSIENT)
                await asyncio.to_thread(mortal_database.start)
                await until(opened[0].serving)
                told.add(await asyncio.to_thread(readiness, service))
    with MongoClient[dict[str, Any]](mortal_database.uri) as client:
        judged = load.judged(client["promises"])
    assert set(judged.values()) == {0}, judged
    assert load.interrupted, "no call was cut, so nothing was shown"
    assert set(load.seen) <= {grpc.StatusCode.OK, *TRANSIENT}
    assert told == {200, 503}
    figure(
        f"{KILLS} kills of the database: {len(load.streams)} streams and {len(load.uids)} joins acknowledged, "
        f"{load.interrupted} attempts cut and repeated; {judged}; NOT_SERVING and 503 in between, "
        f"codes {sorted(each.name for each in load.seen)}"
    )

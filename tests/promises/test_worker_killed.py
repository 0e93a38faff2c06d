"""What was acknowledged survives the process that acknowledged it."""

import asyncio
import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from pymongo.database import Database

from tests.promises.calls import Load, lines, register, until
from tests.support.environment import LiveService, environment_for, running

pytestmark = pytest.mark.faults

KILLS = 6


@pytest.fixture(scope="module")
def two_workers(mongo_uri: str, database_name: str, media: Path, engine: str) -> Iterator[LiveService]:
    with running(LiveService(environment_for(mongo_uri, database_name, media, engine), workers=2)) as service:
        yield service


async def test_a_killed_worker_loses_and_doubles_nothing(
    two_workers: LiveService, database: Database[dict[str, Any]], figure: Callable[[str], None]
) -> None:
    """`kill -9` under load: a stream that someone was told of is there, and a repeat of a cut call is the same call."""
    chosen = random.Random(7)
    async with lines(two_workers.grpc_target, 16) as opened:
        creators, viewers = await register(opened[0], 16), await register(opened[0], 300)
        load = Load(opened, creators, viewers, (await opened[0].live("ayse")).id)
        killed = set()
        async with load.running():
            for _ in range(KILLS):
                await until(lambda: len(set(two_workers.worker_pids()) - killed) == 2)
                await asyncio.sleep(chosen.uniform(0.1, 0.6))
                victim = chosen.choice(two_workers.worker_pids())
                killed.add(victim)
                os.kill(victim, signal.SIGKILL)
    judged = load.judged(database)
    assert set(judged.values()) == {0}, judged
    assert len(killed) == KILLS
    assert load.interrupted, "no call was cut, so nothing was shown"
    assert load.seen[grpc.StatusCode.OK] == len(load.streams) + len(load.uids)
    figure(
        f"{len(killed)} kills of a worker: {len(load.streams)} streams and {len(load.uids)} joins acknowledged, "
        f"{load.interrupted} attempts cut and repeated; {judged}"
    )

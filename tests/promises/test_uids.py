"""A uid is never shared in a channel, and a person keeps theirs."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from tests.promises.calls import connections, lines, register
from tests.support.world import LiveService, environment_for, running

MAX_UID = 2**31 - 1
PEOPLE = 500


@pytest.fixture(scope="module")
def two_workers(mongo_uri: str, database_name: str, media: Path, engine: str) -> Iterator[LiveService]:
    # All at once is more than one process takes, and not what is shown here.
    environment = {
        **environment_for(mongo_uri, database_name, media, engine),
        "LIVESTREAM_MAX_IN_FLIGHT": str(4 * PEOPLE),
    }
    with running(LiveService(environment, workers=2)) as service:
        yield service


async def test_five_hundred_people_get_five_hundred_uids(
    two_workers: LiveService, database: Database[dict[str, Any]], figure: Callable[[str], None]
) -> None:
    """Two people with one uid would throw each other out; a new uid at a re-join would show one person twice."""
    async with lines(two_workers.grpc_target, 16) as opened:
        people = await register(opened[0], PEOPLE)
        stream = await opened[0].live("ayse")

        async def uids() -> list[tuple[str, int]]:
            """Everyone joins twice, all at once, over all connections."""
            calls = [opened[i % 16].join(each, stream.id, seconds=30) for i, each in enumerate(people * 2)]
            answers = await asyncio.gather(*calls)
            return [(each.rtm.user_id, each.agora.uid) for each in answers]

        first = await uids()
        spread = connections(two_workers)
        again = await uids()
    await asyncio.to_thread(two_workers.stop)
    await asyncio.to_thread(two_workers.start)
    async with lines(two_workers.grpc_target, 16) as opened:
        after = await uids()

    uid_of = dict(first)
    assert len(first) == 2 * PEOPLE
    assert set(first) == set(again) == set(after) == set(uid_of.items())
    assert len(set(uid_of.values())) == PEOPLE
    assert all(1 <= each <= MAX_UID for each in uid_of.values())
    assert database["seats"].count_documents({}) == PEOPLE
    assert len(spread) == 2
    assert all(spread.values()), "a worker had no connection, so nothing was raced"
    figure(
        f"{len(first)} concurrent joins of {PEOPLE} people through {len(spread)} workers "
        f"({'+'.join(map(str, spread.values()))} connections): {len(set(uid_of.values()))} uids, "
        f"{len(set(again) ^ set(first))} changed at a re-join, {len(set(after) ^ set(first))} after a restart"
    )

"""A uid is never shared in a channel, and a user keeps theirs."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from tests.promises.calls import connections, lines, register
from tests.support.environment import LiveService, environment_for, running

MAX_UID = 2**31 - 1
USERS = 500


@pytest.fixture(scope="module")
def two_workers(mongo_uri: str, database_name: str, media: Path, engine: str) -> Iterator[LiveService]:
    # All at once is more than one process takes, and not what is shown here.
    environment = {
        **environment_for(mongo_uri, database_name, media, engine),
        "LIVESTREAM_MAX_IN_FLIGHT": str(4 * USERS),
    }
    with running(LiveService(environment, workers=2)) as service:
        yield service


async def test_five_hundred_users_get_five_hundred_uids(
    two_workers: LiveService, database: Database[dict[str, Any]], figure: Callable[[str], None]
) -> None:
    """Two users with one uid would throw each other out; a new uid at a re-join would show one user twice."""
    async with lines(two_workers.grpc_target, 16) as opened:
        users = await register(opened[0], USERS)
        stream = await opened[0].live("ayse")

        async def uids() -> list[tuple[str, int]]:
            """Everyone joins twice, all at once, over all connections."""
            calls = [opened[i % 16].join(each, stream.id, seconds=30) for i, each in enumerate(users * 2)]
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
    assert len(first) == 2 * USERS
    assert set(first) == set(again) == set(after) == set(uid_of.items())
    assert len(set(uid_of.values())) == USERS
    assert all(1 <= each <= MAX_UID for each in uid_of.values())
    assert database["participants"].count_documents({"role": "audience"}) == USERS
    assert len(spread) == 2
    assert all(spread.values()), "a worker had no connection, so nothing was raced"
    figure(
        f"{len(first)} concurrent joins of {USERS} users through {len(spread)} workers "
        f"({'+'.join(map(str, spread.values()))} connections): {len(set(uid_of.values()))} uids, "
        f"{len(set(again) ^ set(first))} changed at a re-join, {len(set(after) ^ set(first))} after a restart"
    )

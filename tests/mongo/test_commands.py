"""Database commands per call: the number of round trips is the speed of the service."""

import secrets
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.type.decimal_pb2 import Decimal
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from livestream.v1.access_service_pb2 import GrantAccessRequest
from livestream.v1.live_stream_pb2 import ROLE_AUDIENCE, ROLE_HOST, Role
from livestream.v1.live_stream_service_pb2 import (
    CreateStreamRequest,
    GetStreamRequest,
    JoinStreamRequest,
    RenewTokensRequest,
)
from livestream.v1.moderation_service_pb2 import CreateBanRequest
from livestream.v1.moderation_service_pb2_grpc import ModerationServiceStub
from tests.support.world import IDS, World, metadata, open_world, put_person, settings_for


class Counting(CommandListener):
    """Counts the commands that calls send, alone or together; not those that are sent in the background all the time."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    def started(self, event: CommandStartedEvent) -> None:
        collection = event.command.get(event.command_name)
        of_a_task = collection in ("leases", "rankings") or "due_at" in event.command.get("filter", {})
        if event.command_name in ("find", "insert", "update", "findAndModify", "delete") and not of_a_task:
            self.commands.append(f"{event.command_name} {collection}")

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...

    def taken(self) -> dict[str, int]:
        counted = dict(Counter(self.commands))
        self.commands.clear()
        return counted


@pytest.fixture(scope="module")
def counting() -> Counting:
    return Counting()


@pytest.fixture(scope="module")
async def world(mongo_uri: str, database_name: str, media: Path, counting: Counting) -> AsyncIterator[World]:
    settings = settings_for(mongo_uri, database_name, media, people_cache_seconds=600.0)
    async with open_world(settings, [counting]) as opened:
        yield opened


async def create(world: World, **fields: Any) -> str:
    request = CreateStreamRequest(title="t", **fields)
    return (await world.streams.CreateStream(request, metadata=metadata("ayse"))).live_stream.id


async def join(world: World, who: str, stream_id: str, role: Role.ValueType) -> None:
    request = JoinStreamRequest(live_stream_id=stream_id, role=role)
    await world.streams.JoinStream(request, metadata=metadata(who))


async def test_each_call_sends_as_few_commands_as_promised(world: World, counting: Counting) -> None:
    """A check added before a write, or a read per item, shows here before it shows in production."""
    for name in IDS:  # fills the cache of people
        await world.streams.GetStream(GetStreamRequest(live_stream_id=await create(world)), metadata=metadata(name))
    counting.taken()

    stream_id = await create(world)
    assert counting.taken() == {"insert streams": 1}

    await create(world, request_id="k")
    assert counting.taken() == {"find streams": 1, "insert streams": 1}

    await create(world, request_id="k")
    assert counting.taken() == {"find streams": 1}

    await world.streams.GetStream(GetStreamRequest(live_stream_id=stream_id), metadata=metadata("john"))
    assert counting.taken() == {"find streams": 1}

    await join(world, "ayse", stream_id, ROLE_HOST)
    assert counting.taken() == {"find streams": 1, "findAndModify streams": 1}

    await join(world, "ayse", stream_id, ROLE_HOST)
    assert counting.taken() == {"find streams": 1}

    await join(world, "john", stream_id, ROLE_AUDIENCE)
    assert counting.taken() == {"find streams": 1, "insert seats": 1}

    await join(world, "john", stream_id, ROLE_AUDIENCE)
    assert counting.taken() == {"find streams": 1}

    for who in ("ayse", "john"):
        await world.streams.RenewTokens(RenewTokensRequest(live_stream_id=stream_id), metadata=metadata(who))
        assert counting.taken() == {"find streams": 1}


async def test_people_are_read_in_one_batch(
    world: World, counting: Counting, mongo_uri: str, database_name: str, media: Path
) -> None:
    """A read per guest would multiply with the cast."""
    async with open_world(settings_for(mongo_uri, database_name, media), [counting]) as cold:
        counting.taken()
        await create(cold)
        assert counting.taken() == {"find users": 2, "insert streams": 1}


async def test_a_paid_stream_costs_one_read_more(world: World, counting: Counting) -> None:
    """The grant is looked up only where there is a price."""
    request = CreateStreamRequest(title="t", price=Decimal(value="1"))
    stream_id = (await world.streams.CreateStream(request, metadata=metadata("zeynep"))).live_stream.id
    await world.streams.JoinStream(
        JoinStreamRequest(live_stream_id=stream_id, role=ROLE_HOST), metadata=metadata("zeynep")
    )
    grant = GrantAccessRequest(live_stream_id=stream_id, user_id=IDS["john"])
    counting.taken()
    await world.access.GrantAccess(grant, metadata=metadata("ayse", "access:write"))
    assert counting.taken() == {"find streams": 1, "insert access_grants": 1}
    await join(world, "john", stream_id, ROLE_AUDIENCE)
    assert counting.taken() == {"find streams": 1, "find access_grants": 1, "insert seats": 1}


async def test_a_stream_with_bans_costs_one_read_more(world: World, counting: Counting) -> None:
    """Who is banned is looked up only where somebody was shut out."""
    creator = secrets.token_hex(12)
    await put_person(world.people, creator, "strict")
    request = CreateStreamRequest(title="t")
    stream_id = (await world.streams.CreateStream(request, metadata=metadata(creator))).live_stream.id
    await join(world, creator, stream_id, ROLE_HOST)
    ban = CreateBanRequest(live_stream_id=stream_id, target_user_id=IDS["jane"])
    await ModerationServiceStub(world.channel).CreateBan(ban, metadata=metadata(creator))
    counting.taken()
    await join(world, "john", stream_id, ROLE_AUDIENCE)
    assert counting.taken() == {"find streams": 1, "find bans": 1, "insert seats": 1}

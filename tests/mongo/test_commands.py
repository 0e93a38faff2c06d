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
from tests.support.environment import IDS, ServiceEnvironment, metadata, open_environment, put_user, settings_for


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
async def env(mongo_uri: str, database_name: str, media: Path, counting: Counting) -> AsyncIterator[ServiceEnvironment]:
    settings = settings_for(mongo_uri, database_name, media, user_cache_seconds=600.0)
    async with open_environment(settings, [counting]) as opened:
        yield opened


async def create(env: ServiceEnvironment, **fields: Any) -> str:
    request = CreateStreamRequest(title="t", **fields)
    return (await env.streams.CreateStream(request, metadata=metadata("ayse"))).live_stream.id


async def join(env: ServiceEnvironment, who: str, stream_id: str, role: Role.ValueType) -> None:
    request = JoinStreamRequest(live_stream_id=stream_id, role=role)
    await env.streams.JoinStream(request, metadata=metadata(who))


async def test_each_call_sends_as_few_commands_as_promised(env: ServiceEnvironment, counting: Counting) -> None:
    """A check added before a write, or a read per item, shows here before it shows in production."""
    for name in IDS:  # fills the cache of users
        await env.streams.GetStream(GetStreamRequest(live_stream_id=await create(env)), metadata=metadata(name))
    counting.taken()

    stream_id = await create(env)
    assert counting.taken() == {"insert streams": 1}

    await create(env, request_id="k")
    assert counting.taken() == {"find streams": 1, "insert streams": 1}

    await create(env, request_id="k")
    assert counting.taken() == {"find streams": 1}

    await env.streams.GetStream(GetStreamRequest(live_stream_id=stream_id), metadata=metadata("john"))
    assert counting.taken() == {"find streams": 1}

    await join(env, "ayse", stream_id, ROLE_HOST)
    started = {"insert participants": 1, "findAndModify on_air": 1, "findAndModify streams": 1}
    assert counting.taken() == {"find streams": 1} | started

    await join(env, "ayse", stream_id, ROLE_HOST)
    assert counting.taken() == {"find streams": 1}

    await join(env, "john", stream_id, ROLE_AUDIENCE)
    assert counting.taken() == {"find streams": 1, "insert participants": 1}

    await join(env, "john", stream_id, ROLE_AUDIENCE)
    assert counting.taken() == {"find streams": 1}

    for who in ("ayse", "john"):
        await env.streams.RenewTokens(RenewTokensRequest(live_stream_id=stream_id), metadata=metadata(who))
        assert counting.taken() == {"find streams": 1}


async def test_users_are_read_in_one_batch(
    env: ServiceEnvironment, counting: Counting, mongo_uri: str, database_name: str, media: Path
) -> None:
    """A read per guest would multiply with the cast."""
    async with open_environment(settings_for(mongo_uri, database_name, media), [counting]) as cold:
        counting.taken()
        await create(cold)
        assert counting.taken() == {"find users": 2, "insert streams": 1}


async def test_a_paid_stream_costs_one_read_more(env: ServiceEnvironment, counting: Counting) -> None:
    """The grant is looked up only where there is a price."""
    request = CreateStreamRequest(title="t", price=Decimal(value="1"))
    stream_id = (await env.streams.CreateStream(request, metadata=metadata("zeynep"))).live_stream.id
    await env.streams.JoinStream(
        JoinStreamRequest(live_stream_id=stream_id, role=ROLE_HOST), metadata=metadata("zeynep")
    )
    grant = GrantAccessRequest(live_stream_id=stream_id, user_id=IDS["john"])
    counting.taken()
    await env.access.GrantAccess(grant, metadata=metadata("ayse", "access:write"))
    assert counting.taken() == {"find streams": 1, "insert access_grants": 1}
    await join(env, "john", stream_id, ROLE_AUDIENCE)
    assert counting.taken() == {"find streams": 1, "find access_grants": 1, "insert participants": 1}


async def test_a_stream_with_bans_costs_one_read_more(env: ServiceEnvironment, counting: Counting) -> None:
    """Who is banned is looked up only where somebody was shut out."""
    creator = secrets.token_hex(12)
    await put_user(env.users, creator, "strict")
    request = CreateStreamRequest(title="t")
    stream_id = (await env.streams.CreateStream(request, metadata=metadata(creator))).live_stream.id
    await join(env, creator, stream_id, ROLE_HOST)
    ban = CreateBanRequest(live_stream_id=stream_id, target_user_id=IDS["jane"])
    counting.taken()
    await ModerationServiceStub(env.channel).CreateBan(ban, metadata=metadata(creator))
    assert {name: n for name, n in counting.taken().items() if name.endswith(" bans")} == {"insert bans": 1}
    await join(env, "john", stream_id, ROLE_AUDIENCE)
    assert counting.taken() == {"find streams": 1, "find bans": 1, "insert participants": 1}

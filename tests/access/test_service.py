"""GrantAccess through a real channel."""

import secrets

import grpc
import pytest
from google.type.decimal_pb2 import Decimal

from livestream.v1.access_service_pb2 import GrantAccessRequest
from livestream.v1.live_stream_service_pb2 import CreateStreamRequest
from tests.support.environment import IDS, ServiceEnvironment, metadata
from tests.support.failures import failure

SERVICE = metadata("ayse", "access:write")


async def test_a_grant_needs_a_stream_and_a_user(env: ServiceEnvironment) -> None:
    """A typing error of the paying side must not vanish in a record that opens nothing."""
    request = CreateStreamRequest(title="t", price=Decimal(value="1"))
    stream = (await env.streams.CreateStream(request, metadata=metadata("ayse"))).live_stream
    nobody = GrantAccessRequest(live_stream_id=stream.id, user_id=secrets.token_hex(12))
    nothing = GrantAccessRequest(live_stream_id=secrets.token_hex(12), user_id=IDS["john"])
    assert (await failure(env.access.GrantAccess(nobody, metadata=SERVICE))).reason == "USER_NOT_FOUND"
    assert (await failure(env.access.GrantAccess(nothing, metadata=SERVICE))).reason == "STREAM_NOT_FOUND"


@pytest.mark.parametrize("scope", ["", "users:write", "access:writer", "access"])
async def test_only_the_scope_itself_opens_the_door(env: ServiceEnvironment, scope: str) -> None:
    """A viewer who could grant would watch for nothing."""
    request = GrantAccessRequest(live_stream_id="a" * 24, user_id="b" * 24)
    refused = await failure(env.access.GrantAccess(request, metadata=metadata("john", scope)))
    assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "MISSING_SCOPE")


async def test_ids_are_checked_by_field(env: ServiceEnvironment) -> None:
    """An id that is none is told apart from one that is unknown."""
    request = GrantAccessRequest(live_stream_id="a" * 24, user_id="me")
    refused = await failure(env.access.GrantAccess(request, metadata=SERVICE))
    assert [each.field for each in refused.violations] == ["user_id"]

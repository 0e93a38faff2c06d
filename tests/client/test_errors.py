"""Failures of the service as Python exceptions."""

import asyncio
from unittest.mock import Mock

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc import StatusCode

import livestream_client
from livestream_client import LiveStreamClient, LiveStreamError, Role, Violation
from livestream_client.errors import to_error
from tests.client.fake_service import FakeService, failing

STREAM = "64d15f9e2e6c8f4d5a123456"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (StatusCode.INVALID_ARGUMENT, "InvalidArgument"),
        (StatusCode.UNAUTHENTICATED, "Unauthenticated"),
        (StatusCode.PERMISSION_DENIED, "PermissionDenied"),
        (StatusCode.NOT_FOUND, "NotFound"),
        (StatusCode.ALREADY_EXISTS, "AlreadyExists"),
        (StatusCode.FAILED_PRECONDITION, "FailedPrecondition"),
        (StatusCode.ABORTED, "Aborted"),
        (StatusCode.RESOURCE_EXHAUSTED, "ResourceExhausted"),
        (StatusCode.UNAVAILABLE, "Unavailable"),
        (StatusCode.DEADLINE_EXCEEDED, "DeadlineExceeded"),
        (StatusCode.INTERNAL, "Internal"),
        (StatusCode.UNKNOWN, "Internal"),
        (StatusCode.UNIMPLEMENTED, "LiveStreamError"),
    ],
)
async def test_each_code_is_an_exception_of_its_kind(
    client: LiveStreamClient, service: FakeService, code: StatusCode, kind: str
) -> None:
    """Callers catch kinds; a wrong one ends up in the wrong `except`."""
    service.answers["JoinStream"] = failing(code, "words", ErrorInfo(reason="SOME_REASON", metadata={"state": "ended"}))
    with pytest.raises(LiveStreamError) as caught:
        await client.join_stream(STREAM, Role.ROLE_HOST)
    error = caught.value
    assert type(error) is getattr(livestream_client, kind)
    assert (error.code, error.message, error.reason, error.metadata) == (
        code,
        "words",
        "SOME_REASON",
        {"state": "ended"},
    )
    assert error.request_id == "5f0c1b7e"
    assert (error.violations, error.retry_after) == ((), None)
    assert str(error) == "words (SOME_REASON, request id 5f0c1b7e)"


async def test_an_invalid_request_names_the_fields(client: LiveStreamClient, service: FakeService) -> None:
    """A developer mends what is named, and guesses at the rest."""
    wrong = BadRequest()
    wrong.field_violations.add(field="title", description="must be 1 to 120 characters")
    wrong.field_violations.add(field="guests[1]", description="is the creator")
    service.answers["CreateStream"] = failing(
        StatusCode.INVALID_ARGUMENT, "the request is invalid", ErrorInfo(reason="INVALID_REQUEST"), wrong
    )
    with pytest.raises(livestream_client.InvalidArgument) as caught:
        await client.create_stream(title="")
    assert caught.value.violations == (
        Violation(field="title", description="must be 1 to 120 characters"),
        Violation(field="guests[1]", description="is the creator"),
    )
    assert str(caught.value) == (
        "title: must be 1 to 120 characters; guests[1]: is the creator (INVALID_REQUEST, request id 5f0c1b7e)"
    )


def test_a_client_is_told_how_many_more_fields_are_wrong() -> None:
    """A developer would mend twenty and believe that those were all."""
    error = LiveStreamError(
        StatusCode.INVALID_ARGUMENT,
        "as a whole",
        metadata={"more_violations": "7"},
        violations=(Violation(field="title", description="is required"),),
    )
    assert str(error) == "title: is required; and 7 more (INVALID_ARGUMENT)"


async def test_an_overloaded_service_says_when_to_come_back(client: LiveStreamClient, service: FakeService) -> None:
    """Whoever waits that long helps; whoever guesses hurts."""
    retry = RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000))
    service.answers["GetStream"] = failing(StatusCode.RESOURCE_EXHAUSTED, "busy", ErrorInfo(reason="OVERLOADED"), retry)
    with pytest.raises(livestream_client.ResourceExhausted) as caught:
        await client.get_stream(STREAM)
    assert caught.value.retry_after == 1.5


async def test_a_service_that_is_not_there_is_unavailable(unused_target: str) -> None:
    """No reason, because the service said nothing; gRPC's words stay."""
    async with LiveStreamClient(unused_target) as client:
        with pytest.raises(livestream_client.Unavailable) as caught:
            await client.get_stream(STREAM)
    assert (caught.value.reason, caught.value.request_id) == ("", None)
    assert "Connection refused" in str(caught.value)


async def test_a_silent_service_ends_in_deadline_exceeded(
    client: LiveStreamClient, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline is kept by the client itself, whatever the service does."""
    monkeypatch.setattr(
        "livestream_client.channel.timeouts", lambda: {"/livestream.v1.LiveStreamService/GetStream": 0.05}
    )
    service.answers["GetStream"] = lambda _request, _context: asyncio.sleep(60)
    with pytest.raises(livestream_client.DeadlineExceeded):
        await client.get_stream(STREAM)


@pytest.mark.parametrize("details", [b"\xff\xff", b"\x08\x07\x12\x05other"])
def test_details_that_something_on_the_way_damaged_are_left_out(details: bytes) -> None:
    """The code still says what happened; a second failure while reading it would hide that."""
    failure = grpc.aio.AioRpcError(
        StatusCode.NOT_FOUND,
        grpc.aio.Metadata(),
        grpc.aio.Metadata(("grpc-status-details-bin", details)),
        details="gone",
    )
    error = to_error(failure)
    assert type(error) is livestream_client.NotFound
    assert (error.message, error.reason) == ("gone", "")


async def test_a_failing_token_function_fails_as_itself(service: FakeService) -> None:
    """Why no token could be had is the caller's own matter; it is not dressed up as an answer of the service."""
    async with LiveStreamClient(service.target, token=Mock(side_effect=OSError("no token file"))) as client:
        with pytest.raises(OSError, match="no token file"):
            await client.get_stream(STREAM)
    assert not service.received

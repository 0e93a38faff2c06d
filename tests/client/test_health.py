"""`python -m livestream_client.health`, the check of containers."""

import asyncio
import subprocess
import sys

import pytest
from grpc_health.v1 import health, health_pb2

from livestream_client.health import main
from tests.client.fake_service import FakeService

STATUS = health_pb2.HealthCheckResponse


async def complaint(service: FakeService, *argv: str) -> str | None:
    return await asyncio.to_thread(main, ["--target", service.target, *argv])


@pytest.mark.parametrize("argv", [(), ("--service", "livestream.v1.LiveStreamService")])
async def test_a_serving_server_is_healthy(service: FakeService, argv: tuple[str, ...]) -> None:
    """A check that fails on a healthy server makes the platform restart it for good."""
    assert await complaint(service, *argv) is None


@pytest.mark.parametrize("status", [STATUS.NOT_SERVING, STATUS.UNKNOWN])
async def test_any_other_status_is_not(
    service: FakeService, health_state: health.aio.HealthServicer, status: STATUS.ServingStatus.ValueType
) -> None:
    """Only SERVING may get traffic."""
    await health_state.set("", status)
    assert await complaint(service) == f"{service.target} is {STATUS.ServingStatus.Name(status)}"


async def test_a_service_that_the_server_does_not_know_is_not_healthy(service: FakeService) -> None:
    """A misspelt name must not pass for good health."""
    assert (
        await complaint(service, "--service", "livestream.v1.Nothing") == f"{service.target} did not answer: NOT_FOUND"
    )


def test_as_a_program_it_exits_with_1_and_one_line_where_nobody_listens(unused_target: str) -> None:
    """Platforms look at nothing but the exit status."""
    done = subprocess.run(
        [sys.executable, "-m", "livestream_client.health", "--target", unused_target],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{unused_target} did not answer: UNAVAILABLE\n"


async def test_as_a_program_it_exits_with_0_if_the_server_serves(service: FakeService) -> None:
    """The line of the Dockerfile, as it stands there."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "livestream_client.health", "--target", service.target
    )
    assert await program.wait() == 0

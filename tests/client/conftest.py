"""Fixtures of the client's tests."""

import socket
from collections.abc import AsyncIterator

import pytest
from grpc_health.v1 import health

from livestream_client import LiveStreamClient
from tests.client.fake_service import FakeService, serving


@pytest.fixture
async def service_and_health() -> AsyncIterator[tuple[FakeService, health.aio.HealthServicer]]:
    service = FakeService()
    async with serving(service) as state:
        yield service, state


@pytest.fixture
def service(service_and_health: tuple[FakeService, health.aio.HealthServicer]) -> FakeService:
    return service_and_health[0]


@pytest.fixture
def health_state(service_and_health: tuple[FakeService, health.aio.HealthServicer]) -> health.aio.HealthServicer:
    return service_and_health[1]


@pytest.fixture
async def client(service: FakeService) -> AsyncIterator[LiveStreamClient]:
    async with LiveStreamClient(service.target, token="a-token") as client:
        yield client


@pytest.fixture
def unused_target() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{one.getsockname()[1]}"

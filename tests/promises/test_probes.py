"""Operators see how the process is, whatever the public does to it."""

import asyncio
import json
import os
import signal
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.promises.calls import started, until
from tests.support.environment import LiveService, environment_for, free_port
from tests.support.proxy import FaultProxy


def probe(url: str, host: str | None = None) -> tuple[int, Any]:
    headers = {"Host": host} if host else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.faults
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.one_engine("what is asked here is not gRPC")
async def test_readiness_tells_what_is_wrong(
    proxy: FaultProxy, database_name: str, media: Path, figure: Callable[[str], None], workers: int
) -> None:
    """The workers' word reaches the port, however many there are; a worker that ended is none that cannot work."""
    address = f"127.0.0.1:{free_port()}"
    environment = {**environment_for(proxy.uri, database_name, media), "LIVESTREAM_OPERATIONS_ADDRESS": address}

    async def ready() -> tuple[int, Any]:
        return await asyncio.to_thread(probe, f"http://{address}/readyz")

    async with started(LiveService(environment, workers=workers)) as service:
        await until(lambda: _all_tell(ready, workers, database="ok", status=200))
        proxy.blackhole()
        await until(lambda: _all_tell(ready, workers, database="unavailable", status=503))
        alive = await asyncio.to_thread(probe, f"http://{address}/healthz")
        public = await asyncio.to_thread(probe, f"{service.http_url}/readyz")
        proxy.heal()
        await until(lambda: _all_tell(ready, workers, database="ok", status=200))
        if workers > 1:
            victim = service.worker_pids()[0]
            os.kill(victim, signal.SIGKILL)
            await until(lambda: _all_tell(ready, workers, database="ok", status=200, without=victim))
        told = await ready()
    assert (alive, public) == ((200, {"status": "ok"}), (503, {"status": "unavailable"}))
    figure(f"{workers} workers: {told}")


async def _all_tell(ready: Any, workers: int, *, database: str, status: int, without: int = 0) -> bool:
    code, body = await ready()
    told = body["workers"]
    return (
        code == status
        and len(told) == workers
        and all(each["database"] == database and each["worker"] != without for each in told)
    )


@pytest.mark.one_engine("what is asked here is not gRPC")
async def test_a_gateway_alone_has_an_operations_port_too(live_service: LiveService) -> None:
    """Its readiness is that of the service behind it, and its own."""
    address, http = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "livestream_run", "gateway", "--target", live_service.grpc_target, "--http", http),
        env={**os.environ, "GATEWAY_OPERATIONS_ADDRESS": address},
    )

    async def ready() -> bool:
        try:
            status, body = await asyncio.to_thread(probe, f"http://{address}/readyz")
        except OSError:
            return False
        return status == 200 and [each["service"] for each in body["workers"]] == ["ok"]

    try:
        await until(ready)
        assert (await asyncio.to_thread(probe, f"http://{http}/readyz")) == (200, {"status": "ok"})
    finally:
        process.terminate()
        code = await asyncio.wait_for(process.wait(), 30)
    assert code == 0


@pytest.mark.one_engine("what is asked here is not gRPC")
async def test_public_probes_take_any_host(mongo_uri: str, database_name: str, media: Path) -> None:
    """A kubelet sends the pod's address as Host, which no operator can list."""
    environment = {
        **environment_for(mongo_uri, database_name, media),
        "GATEWAY_ALLOWED_HOSTS": "api.example.com,127.0.0.1",
    }
    async with started(LiveService(environment)) as service:
        for path in ("/healthz", "/readyz"):
            assert (await asyncio.to_thread(probe, service.http_url + path, "10.1.2.3:8080"))[0] == 200
        assert (await asyncio.to_thread(probe, f"{service.http_url}/openapi.json", "10.1.2.3:8080"))[0] == 400

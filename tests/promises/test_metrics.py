"""Metrics count every call once, however many workers there are, and outlive them."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from livestream.v1.live_stream_service_pb2 import GetStreamRequest
from tests.promises.calls import connections, lines, metric, started, to_status_code, until
from tests.support.environment import LiveService, environment_for, free_port, metadata
from tests.support.proxy import FaultProxy

CALLS = 200
METHOD = {"grpc_type": "unary", "grpc_service": "livestream.v1.LiveStreamService", "grpc_method": "GetStream"}


@pytest.mark.parametrize("workers", [1, 2])
async def test_every_call_is_counted_once(
    mongo_uri: str, database_name: str, media: Path, engine: str, figure: Callable[[str], None], workers: int
) -> None:
    """Dashboards and alerts rest on these names and numbers."""
    address = f"127.0.0.1:{free_port()}"
    environment = {**environment_for(mongo_uri, database_name, media, engine), "LIVESTREAM_OPERATIONS_ADDRESS": address}
    async with (
        started(LiveService(environment, workers=workers)) as service,
        lines(service.grpc_target, 16) as opened,
    ):
        stream = await opened[0].create("ayse")
        found, missing = GetStreamRequest(live_stream_id=stream.id), GetStreamRequest(live_stream_id="f" * 24)
        await asyncio.gather(
            *(
                to_status_code(
                    opened[i % 16].streams.GetStream(missing if i % 4 == 0 else found, metadata=metadata("john"))
                )
                for i in range(CALLS)
            )
        )
        spread = connections(service)
        counted = {
            "started": await asyncio.to_thread(metric, address, "grpc_server_started_total", **METHOD),
            "OK": await asyncio.to_thread(metric, address, "grpc_server_handled_total", grpc_code="OK", **METHOD),
            "NOT_FOUND": await asyncio.to_thread(
                metric, address, "grpc_server_handled_total", grpc_code="NOT_FOUND", **METHOD
            ),
            "handled": await asyncio.to_thread(metric, address, "grpc_server_handled_total", **METHOD),
            "timed": await asyncio.to_thread(metric, address, "grpc_server_handling_seconds_count", **METHOD),
        }
    assert len(spread) == workers
    assert all(spread.values())
    assert counted == {
        "started": CALLS,
        "OK": CALLS * 3 / 4,
        "NOT_FOUND": CALLS / 4,
        "handled": CALLS,
        "timed": CALLS,
    }
    figure(f"{CALLS} calls: " + ", ".join(f"{value:.0f} {name}" for name, value in counted.items()))


@pytest.mark.faults
@pytest.mark.one_engine("what a worker leaves behind are files of ours")
async def test_a_killed_worker_takes_no_count_with_it_and_leaves_no_call_in_flight(
    proxy: FaultProxy, database_name: str, media: Path, engine: str, figure: Callable[[str], None]
) -> None:
    """A counter that falls looks like a restart of everything; a call in flight for ever, like a leak."""
    address = f"127.0.0.1:{free_port()}"
    environment = {**environment_for(proxy.uri, database_name, media, engine), "LIVESTREAM_OPERATIONS_ADDRESS": address}
    async with (
        started(LiveService(environment, workers=2)) as service,
        lines(service.grpc_target, 16) as opened,
    ):
        await asyncio.gather(*(to_status_code(each.create("ayse")) for each in opened))
        before = await asyncio.to_thread(metric, address, "grpc_server_handled_total", grpc_code="OK")
        proxy.latency = 0.5
        cut = asyncio.gather(*(to_status_code(each.create("ayse", seconds=30)) for each in opened))

        async def in_flight() -> float:
            return await asyncio.to_thread(metric, address, "livestream_calls_in_flight")

        async def all_taken() -> bool:
            return await in_flight() >= len(opened)

        await until(all_taken)
        victims = service.worker_pids()
        for each in victims:
            os.kill(each, signal.SIGKILL)
        await cut
        proxy.heal()
        await until(lambda: len(set(service.worker_pids()) - set(victims)) == 2)
        await until(opened[0].serving)
        after = await asyncio.to_thread(metric, address, "grpc_server_handled_total", grpc_code="OK")
        left = await in_flight()
    assert after >= before > 0
    assert left == 0
    figure(f"{len(victims)} workers killed: {before:.0f} calls counted before, {after:.0f} after, {left:.0f} in flight")

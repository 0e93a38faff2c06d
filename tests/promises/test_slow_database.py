"""A database that is slow, or swallows everything, holds no caller and no place."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.promises.calls import TRANSIENT, lines, metric, register, started, to_status_code, until
from tests.support.environment import LiveService, environment_for, free_port
from tests.support.proxy import FaultProxy

pytestmark = pytest.mark.faults

CALLS = 60


@pytest.mark.parametrize("fault", ["answers after 2 s", "swallows everything", "resets connections"])
async def test_no_call_outlives_its_deadline(
    proxy: FaultProxy, database_name: str, media: Path, engine: str, figure: Callable[[str], None], fault: str
) -> None:
    """Callers that set no deadline get ours, and the right code; afterwards all is as before, by itself."""
    address = f"127.0.0.1:{free_port()}"
    environment = {
        **environment_for(proxy.uri, database_name, media, engine),
        "LIVESTREAM_MAX_DEADLINE_SECONDS": "1",
        "LIVESTREAM_OPERATIONS_ADDRESS": address,
    }
    async with started(LiveService(environment)) as service, lines(service.grpc_target, 4) as opened:
        creators = await register(opened[0], CALLS)
        calls = [opened[i % 4].create(each, seconds=None) for i, each in enumerate(creators)]
        if fault == "answers after 2 s":
            proxy.latency = 1.0
        elif fault == "swallows everything":
            proxy.blackhole()
        waiting = asyncio.gather(*(to_status_code(each) for each in calls))
        if fault == "resets connections":
            await asyncio.sleep(0.02)
            for _ in range(3):
                await proxy.reset()
        codes = Counter(await asyncio.wait_for(waiting, 30))
        if fault != "resets connections":
            await until(opened[0].not_serving)
            assert set(codes) <= set(TRANSIENT)
        proxy.heal()
        await until(opened[0].serving)
        again = Counter(await asyncio.gather(*(to_status_code(each.create("mehmet")) for each in opened)))
        held = await asyncio.to_thread(metric, address, "livestream_calls_in_flight")
    assert codes.total() == CALLS
    assert {each.name for each in codes} <= {"UNAVAILABLE", "DEADLINE_EXCEEDED", "OK"}
    assert {each.name for each in again} == {"OK"}
    assert held == 0
    figure(
        f"{CALLS} calls without a deadline while the database {fault}: "
        f"{', '.join(f'{count} x {code.name}' for code, count in codes.items())}; "
        f"{held:.0f} places held, {again.total()} x OK afterwards"
    )

"""Each row of the benchmark, in miniature: its server starts and gives right replies."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import orjson
import pytest
from bench import calls, catalogue, http1, http_calls, rounds, stub
from bench.catalogue import AGAIN, FASTAPI, OVER_HTTP, OVER_NATIVE, Plan
from bench.processes import running
from bench.rounds import Beside, Row, measure
from bench.servers import EXPRESS, Servers, Unavailable

PLANS = [catalogue.FLOOR, *catalogue.plans(1000)]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    place, core = tmp_path_factory.mktemp("bench"), min(os.sched_getaffinity(0))
    with ExitStack() as stack:
        database = stack.enter_context(running([sys.executable, "-m", "bench.stub"], core=core, log=place / "stub.log"))
        yield Servers(stack, core=core, place=place, mongo_uri=stub.uri(database.printed_port()))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "WARM_UP_CALLS", 60)
    for module in (calls, http_calls):
        monkeypatch.setattr(module, "VIEWERS", 20)


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"{plan.call}, {plan.over}")
@pytest.mark.usefixtures("few")
async def test_each_row_gets_right_replies(servers: Servers, plan: Plan) -> None:
    """A server that was changed breaks its row here, and not an evening later in a run of ten minutes."""
    if plan.server == "Express" and not EXPRESS.joinpath("node_modules").exists():
        pytest.skip("its packages are not installed; `make bench` does that")
    try:
        server = await asyncio.to_thread(servers.get, plan.server)
    except Unavailable as why:
        assert OVER_NATIVE in plan.over or plan.server == "Express"
        pytest.skip(str(why))
    row = plan.row(server)
    await measure([row], rounds=1, seconds=0.05, beside=Beside(), told=lambda _: None)
    assert row.slices[0].calls > 0
    assert row.mib_after > 0


async def test_the_peer_answers_with_what_the_service_answers_with(servers: Servers) -> None:
    """A peer that left something out would be compared with unfairly."""
    shapes = {}
    for over in (OVER_HTTP, FASTAPI):
        plan = next(each for each in PLANS if (each.call, each.over) == (AGAIN, over))
        row = plan.row(await asyncio.to_thread(servers.get, plan.server))
        shapes[over] = shape(orjson.loads(await reply(row)))
    assert shapes[FASTAPI] == shapes[OVER_HTTP]


async def reply(row: Row) -> bytes:
    """The body of the answer to the row's next call."""
    reader, writer = await asyncio.open_connection("127.0.0.1", row.port)
    with closing(writer):
        writer.write(next(row.calls).wire)
        head = await reader.readuntil(b"\r\n\r\n")
        return await reader.readexactly(int(http1.LENGTH.search(head)[1]))


def shape(value: Any) -> Any:
    """Names and types, without the values."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    return [shape(each) for each in value] if isinstance(value, list) else type(value).__name__

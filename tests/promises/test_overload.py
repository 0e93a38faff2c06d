"""More than it can take is refused at once, in words that a client understands, and passes."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import httpx2
import pytest

from livestream_client.errors import to_error
from tests.promises.calls import Line, lines, started, to_status_code
from tests.support.environment import LiveService, environment_for, token
from tests.support.proxy import FaultProxy

CALLS, LIMIT = 200, 8


@pytest.fixture
async def service(proxy: FaultProxy, database_name: str, media: Path, engine: str) -> AsyncIterator[LiveService]:
    """A service with a low limit, whose calls take a while."""
    environment = {**environment_for(proxy.uri, database_name, media, engine), "LIVESTREAM_MAX_IN_FLIGHT": str(LIMIT)}
    async with started(LiveService(environment)) as opened:
        proxy.latency = 0.05
        yield opened
        proxy.heal()


async def ended(line: Line) -> str:
    """OK, or what the call was refused with."""
    try:
        await line.create("ayse", seconds=30)
    except grpc.aio.AioRpcError as error:
        refused = to_error(error)
        return f"{refused.code.name} {refused.reason}{' RetryInfo' if refused.retry_after else ''}"
    return "OK"


async def test_calls_beyond_the_limit_are_refused(service: LiveService, figure: Callable[[str], None]) -> None:
    """A refusal that cannot be told from a failure would be repeated at once, and make it worse."""
    async with lines(service.grpc_target, 20) as opened:
        codes = Counter(await asyncio.gather(*(ended(opened[i % 20]) for i in range(CALLS))))
        after = Counter([await to_status_code(each.create("ayse")) for each in opened])
    assert set(codes) == {"OK", "RESOURCE_EXHAUSTED OVERLOADED RetryInfo"}
    assert codes["OK"] >= LIMIT
    assert after == {grpc.StatusCode.OK: 20}
    figure(f"{CALLS} calls at once on a limit of {LIMIT}: {dict(codes)}; afterwards 20 of 20 OK")


async def test_requests_beyond_the_limit_are_refused(service: LiveService, figure: Callable[[str], None]) -> None:
    """The same over HTTP: 429, when to come again, and the envelope."""
    headers = {"authorization": f"Bearer {token('ayse')}"}
    limits = httpx2.Limits(max_connections=CALLS)
    async with httpx2.AsyncClient(base_url=service.http_url, headers=headers, timeout=30, limits=limits) as http:
        path, body = "/api/v1/live-stream/create", {"title": "Yeni ürün tanıtımı"}
        answers = await asyncio.gather(*(http.post(path, json=body) for _ in range(CALLS)))
        after = [(await http.post(path, json=body)).status_code for _ in range(20)]
    codes = Counter(each.status_code for each in answers)
    assert set(codes) == {201, 429}
    for each in answers:
        if each.status_code == 429:
            envelope = json.loads(each.content)
            assert int(each.headers["retry-after"]) >= 1
            assert (envelope["isSuccess"], envelope["statusCode"], envelope["data"]) == (False, 429, None)
            assert envelope["errors"][0] == "Too many requests"
    assert after == [201] * 20
    figure(f"{CALLS} requests at once on a limit of {LIMIT}: {dict(codes)}; afterwards 20 of 20 201")

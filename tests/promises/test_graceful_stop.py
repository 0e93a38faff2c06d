"""A stop, and a restart, that callers do not notice."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import grpc
import httpx2
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from livestream.v1.live_stream_service_pb2 import GetStreamRequest
from livestream_client import LiveStreamClient, LiveStreamError
from tests.promises.calls import lines, metric, register, started, to_status_code, until
from tests.support.environment import LiveService, environment_for, free_port, metadata, token
from tests.support.proxy import FaultProxy

pytestmark = pytest.mark.faults


async def test_calls_in_flight_get_their_answers(
    proxy: FaultProxy, database_name: str, media: Path, engine: str, figure: Callable[[str], None]
) -> None:
    """SIGTERM in the middle: what was taken is answered, refusals and HTTP too, and the exit code says all went well."""
    address = f"127.0.0.1:{free_port()}"
    environment = {
        **environment_for(proxy.uri, database_name, media, engine),
        "LIVESTREAM_GRACE_SECONDS": "15",
        "LIVESTREAM_OPERATIONS_ADDRESS": address,
    }
    async with (
        started(LiveService(environment)) as service,
        lines(service.grpc_target, 4) as opened,
        httpx2.AsyncClient(base_url=service.http_url, timeout=30) as http,
    ):
        creators = await register(opened[0], 40)
        proxy.latency = 0.2
        unknown = GetStreamRequest(live_stream_id="f" * 24)
        calls = [
            *(to_status_code(opened[i % 4].create(each, seconds=30)) for i, each in enumerate(creators[:30])),
            *(
                to_status_code(opened[i % 4].streams.GetStream(unknown, metadata=metadata("john"), timeout=30))
                for i in range(10)
            ),
            *(_posted(http, "/api/v1/live-stream/create", each, {"title": "over HTTP"}) for each in creators[30:]),
        ]
        answers = asyncio.gather(*calls)
        in_flight = 0.0

        async def all_taken() -> bool:
            nonlocal in_flight
            in_flight = await asyncio.to_thread(metric, address, "livestream_calls_in_flight")
            return in_flight >= 40

        await until(all_taken)
        code = await asyncio.to_thread(service.stop)
        ended = Counter(await answers)
    assert code == 0
    assert ended == {grpc.StatusCode.OK: 30, grpc.StatusCode.NOT_FOUND: 10, 201: 10}
    figure(f"SIGTERM with {in_flight:.0f} calls in flight: {ended.total()} normal answers, exit code {code}")


async def _posted(http: httpx2.AsyncClient, path: str, who: str, body: object) -> int:
    answer = await http.post(path, json=body, headers={"authorization": f"Bearer {token(who)}"})
    return answer.status_code


async def test_balancers_are_told_before_callers_are_refused(
    mongo_uri: str, database_name: str, media: Path, engine: str, figure: Callable[[str], None]
) -> None:
    """Health says NOT_SERVING while calls are still taken, so that nobody is sent to a closed door."""
    environment = {**environment_for(mongo_uri, database_name, media, engine), "LIVESTREAM_DRAIN_SECONDS": "2"}
    async with (
        started(LiveService(environment)) as service,
        lines(service.grpc_target, 1) as (line,),
        httpx2.AsyncClient(base_url=service.http_url, timeout=10) as http,
    ):
        told = line.health.Watch(HealthCheckRequest())
        first = await told.read()
        service.process.terminate()
        second = await told.read()
        taken = await to_status_code(line.create("ayse"))
        ready = (await http.get("/readyz")).status_code
        over_http = await _posted(http, "/api/v1/live-stream/create", "ayse", {"title": "over HTTP"})
        code = await asyncio.to_thread(service.stop)
        # A watch that went on would hold up the stop for all of the grace time.
        watch = await told.code()
    assert watch == grpc.StatusCode.OK
    assert first.status == HealthCheckResponse.SERVING
    assert second.status == HealthCheckResponse.NOT_SERVING
    assert (taken, ready, over_http, code) == (grpc.StatusCode.OK, 503, 201, 0)
    figure(f"after SIGTERM: NOT_SERVING and {ready}, then {taken.name} and {over_http} for calls; exit code {code}")


@pytest.mark.extended_on("native")
async def test_a_rolling_restart_is_not_seen(
    mongo_uri: str, database_name: str, media: Path, engine: str, figure: Callable[[str], None]
) -> None:
    """Two instances, restarted in turn under a client that balances and repeats: every call succeeds."""
    environment = {**environment_for(mongo_uri, database_name, media, engine), "LIVESTREAM_DRAIN_SECONDS": "1"}
    rounds, restarts = {"grpcio": 2, "native": 1}[engine], 0  # one is long enough for the second engine
    stop = asyncio.Event()
    ended: Counter[str] = Counter()

    async with started(LiveService(environment)) as one, started(LiveService(environment)) as two:
        target = f"ipv4:{one.grpc_target},{two.grpc_target}"
        async with LiveStreamClient(target, token=token("ayse")) as client, asyncio.TaskGroup() as group:

            async def calls() -> None:
                while not stop.is_set():
                    try:
                        stream = await client.create_stream(title="rolling")
                        await client.get_stream(stream.id)
                    except LiveStreamError as error:
                        ended[f"{error.code.name} {error.message}"] += 1
                    else:
                        ended["OK"] += 2

            for _ in range(8):
                group.create_task(calls())
            try:
                await until(lambda: bool(_calls(one) and _calls(two)))
                for service in (one, two) * rounds:
                    assert await asyncio.to_thread(service.stop) == 0
                    before = _calls(service)
                    await asyncio.to_thread(service.start)
                    await until(lambda service=service, before=before: _calls(service) > before)
                    restarts += 1
            finally:
                stop.set()
    assert set(ended) == {"OK"}, ended
    assert restarts == 2 * rounds
    figure(f"{restarts} restarts of two instances under {ended.total()} calls: {ended.total() - ended['OK']} failed")


def _calls(service: LiveService) -> int:
    """How many calls of the client the service has answered."""
    return sum(b"CreateStream" in each and json.loads(each)["event"] == "call" for each in list(service.log))

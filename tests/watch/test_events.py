"""Watching over REST: the whole system, its front door and its limits included."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.promises.calls import until
from tests.support.environment import LiveService, environment_for, running

API = "/api/v1/live-stream"


@pytest.fixture(scope="module")
def live_service(mongo_uri: str, database_name: str, media: Path, engine: str) -> Iterator[LiveService]:
    """Impatient with whoever is idle or slow; a heartbeat comes later than its patience ends."""
    impatience = {
        "GATEWAY_REQUEST_TIMEOUT_SECONDS": "0.5",
        "GATEWAY_IDLE_TIMEOUT_SECONDS": "0.5",
        "LIVESTREAM_HEARTBEAT_SECONDS": "2",
    }
    with running(LiveService(environment_for(mongo_uri, database_name, media, engine) | impatience)) as service:
        yield service


@pytest.fixture
async def http(live_service: LiveService) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=live_service.http_url, timeout=20) as client:
        yield client


def as_(service: LiveService, who: str) -> dict[str, str]:
    return {"authorization": f"Bearer {service.token(who)}"}


async def post(http: httpx2.AsyncClient, service: LiveService, path: str, **body: Any) -> Any:
    answer = await http.post(f"{API}/{path}", json=body, headers=as_(service, "ayse"))
    assert answer.is_success, answer.text
    return answer.json()["data"]


@asynccontextmanager
async def events(
    http: httpx2.AsyncClient, service: LiveService, stream_id: str, **headers: str
) -> AsyncIterator[AsyncIterator[dict[str, str]]]:
    """Events as a client reads them; a comment is one without anything."""
    async with http.stream("GET", f"{API}/{stream_id}/events", headers=as_(service, "john") | headers) as answer:
        assert answer.status_code == 200
        yield _parsed(answer)


async def _parsed(answer: httpx2.Response) -> AsyncIterator[dict[str, str]]:
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            if name not in ("", "retry"):
                fields[name] = value.removeprefix(" ")
        else:
            yield fields
            fields = {}


async def test_a_browser_follows_a_stream_and_resumes(http: httpx2.AsyncClient, live_service: LiveService) -> None:
    """All of it once: snapshot, silence that is longer than the server's patience, changes, a break, the end."""
    stream = await post(http, live_service, "create", title="Live")
    async with events(http, live_service, stream["id"]) as told:
        first = await anext(told)
        assert (first["id"], first["event"]) == ("0", "snapshot")
        data = json.loads(first["data"])
        assert (data["liveStream"]["status"], data["viewerCount"], data["ban"]) == ("preparing", 0, None)
        assert await anext(told) == {}
        assert await anext(told) == {}
        await post(http, live_service, "join-as-creator", liveStreamId=stream["id"])
        started, entered = await anext(told), await anext(told)
    assert (started["id"], json.loads(started["data"])["status"]) == ("1", "active")
    assert (entered["id"], entered["event"]) == ("2", "broadcaster")

    async with events(http, live_service, stream["id"], **{"last-event-id": "1"}) as told:
        assert await anext(told) == entered
        await post(http, live_service, f"{stream['id']}/end")
        rest = [each async for each in told if each.get("event") == "state"]
    assert [(each["id"], json.loads(each["data"])["endReason"]) for each in rest] == [("3", "host")]

    over = await http.get(f"{API}/{stream['id']}/events", headers=as_(live_service, "john") | {"last-event-id": "3"})
    assert (over.status_code, over.content) == (204, b"")


async def test_a_ban_ends_the_events_with_a_failure(http: httpx2.AsyncClient, live_service: LiveService) -> None:
    """The app shows why; and asking again is answered as a refusal from the first."""
    stream = await post(http, live_service, "create", title="Live")
    async with events(http, live_service, stream["id"]) as told:
        await anext(told)
        wanted = {"liveStreamId": stream["id"], "targetUserId": live_service.user_id("john")}
        answer = await http.post("/api/v1/live-stream-ban", json=wanted, headers=as_(live_service, "ayse"))
        assert answer.is_success
        *_, last = [each async for each in told if each]
    envelope = json.loads(last["data"])
    assert (last["event"], envelope["statusCode"], envelope["data"]) == ("failure", 403, None)
    again = await http.get(f"{API}/{stream['id']}/events", headers=as_(live_service, "john"))
    assert (again.status_code, again.json()["errors"]) == (403, envelope["errors"])


async def test_a_client_that_goes_away_is_no_watcher_any_more(
    http: httpx2.AsyncClient, live_service: LiveService
) -> None:
    """Tabs are closed without a word; each would hold a place for an hour."""
    stream = await post(http, live_service, "create", title="Live")
    async with events(http, live_service, stream["id"]) as told:
        await anext(told)
    await until(lambda: any(b"WatchStream" in line and b"CANCELLED" in line for line in live_service.log))


async def test_a_stop_does_not_wait_for_watchers(
    mongo_uri: str, database_name: str, media: Path, engine: str, tmp_path: Path
) -> None:
    """A deployment must not take as long as somebody watches; and the client is told to come again."""
    service = LiveService(environment_for(mongo_uri, database_name, media, engine))
    with running(service):
        async with httpx2.AsyncClient(base_url=service.http_url, timeout=20) as http:
            stream = await post(http, service, "create", title="Live")
            async with events(http, service, stream["id"]) as told:
                await anext(told)
                stopping = asyncio.create_task(asyncio.to_thread(service.stop))
                last = [each async for each in told][-1]
            assert await stopping == 0
    assert last["event"] == "failure"
    assert json.loads(last["data"])["statusCode"] == 503

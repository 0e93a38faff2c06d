"""Large bodies: who may send one, how many are under way, and that every one of them is counted until it is over."""

import asyncio
from typing import Any

import grpc
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livestream_gateway.app import create_app
from livestream_gateway.endpoint import BODY_LIMITS_WITH_FILE, FORM
from livestream_gateway.settings import GatewaySettings
from livestream_gateway.uploads import LARGE_BODY_BYTES
from tests.gateway.fake_service import (
    CREATE,
    JOIN,
    FakeService,
    app_of,
    client_of,
    invoker_of,
    refuse,
    talk,
)

SIZE = 1_000_000
JUST_LARGE = LARGE_BODY_BYTES + 1
END = b"\r\n--b--\r\n"
HEAD = b'--b\r\nContent-Disposition: form-data; name="thumbnail"; filename="f"\r\n\r\n'
BODY = HEAD + bytes(SIZE - len(HEAD) - len(END)) + END


def headers(who: str = "john", *, size: int | None = SIZE, more: tuple[tuple[bytes, bytes], ...] = ()) -> Any:
    length = [] if size is None else [(b"content-length", b"%d" % size)]
    form = (b"content-type", b"multipart/form-data; boundary=b")
    return [(b"authorization", b"Bearer " + who.encode()), form, *length, *more]


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def forged(_authorization: str, context: Any) -> str:
    await refuse(context, grpc.StatusCode.UNAUTHENTICATED, "a valid bearer token is required")
    raise AssertionError


async def busy(_authorization: str, context: Any) -> str:
    await refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "too many uploads in a short time")
    raise AssertionError


EXPECT = ((b"expect", b"100-continue"),)


@pytest.mark.parametrize("kind", ["local", "channel"])
@pytest.mark.parametrize(("admit", "status"), [(forged, 401), (busy, 429)])
@pytest.mark.parametrize(
    ("path", "given"),
    [
        (CREATE, headers()),
        (CREATE, headers(size=LARGE_BODY_BYTES + 1)),
        (CREATE, headers(more=EXPECT)),
        (CREATE, headers(size=10, more=EXPECT)),
        (CREATE, headers(size=None, more=EXPECT)),
        (JOIN, headers(size=10, more=EXPECT)),
    ],
    ids=["large", "just large", "large and asked", "small and asked", "chunked and asked", "no file and asked"],
)
async def test_a_large_body_is_refused_before_it_is_read(
    kind: str, admit: Any, status: int, path: str, given: Any
) -> None:
    """`receive` would never return here, and on a connection it is what says `100 Continue`."""
    service = FakeService(admit=admit)
    async with invoker_of(kind, service) as invoker:
        app = create_app(invoker, settings=GatewaySettings(), ready=lambda: True, media_directory=None)
        start, _ = await talk(app, given, path=path)
    assert start["status"] == status
    assert (service.admissions, service.requests) == (1, [])


async def test_a_chunked_body_is_refused_when_it_turns_out_large() -> None:
    """Without a length nobody knows before."""
    service = FakeService(admit=forged)
    parts = [part(bytes(LARGE_BODY_BYTES), more=True), part(b"b", more=True)]
    start, _ = await talk(app_of(service), headers(size=None), *parts, path=CREATE)
    assert start["status"] == 401
    assert service.requests == []


@pytest.mark.parametrize("refusal", [(b"content-type", b"text/plain"), (b"content-length", b"90000000")])
async def test_what_the_head_already_tells_is_said_without_asking_anyone(refusal: tuple[bytes, bytes]) -> None:
    """413 and 415 come before the question who it is."""
    given = [each for each in headers(more=EXPECT) if each[0] != refusal[0]]
    service = FakeService()
    start, _ = await talk(app_of(service), [*given, refusal], path=CREATE)
    assert (start["status"], service.admissions) == (413 if refusal[0] == b"content-length" else 415, 0)


async def test_a_small_body_costs_no_question() -> None:
    """All other calls are as fast as they were."""
    service = FakeService()
    assert (await client_of(app_of(service)).post(JOIN, json={})).status_code == 200
    assert service.admissions == 0


class Held:
    """A gateway whose service keeps every call until `go` is set."""

    def __init__(self, **settings: Any) -> None:
        self.go = asyncio.Event()
        self.service = FakeService(behaviour=self._wait)
        self.app = app_of(self.service, settings=GatewaySettings(**settings))
        self.uploads = self.app._uploads

    async def _wait(self, request: Any, context: Any) -> Any:
        await self.go.wait()
        return await FakeService().behaviour(request, context)

    def post(self, who: str, body: bytes = BODY) -> "asyncio.Task[httpx2.Response]":
        """An upload under way."""
        form = {"authorization": f"Bearer {who}", "content-type": "multipart/form-data; boundary=b"}
        return asyncio.create_task(client_of(self.app).post(CREATE, content=body, headers=form))

    async def until_held(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.service.requests) < count:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0)


async def test_a_caller_has_two_uploads_under_way_and_others_have_theirs() -> None:
    """One caller must not take everybody's room."""
    held = Held()
    both = [held.post("john"), held.post("john")]
    await held.until_held(2)
    third = await held.post("john")
    assert third.status_code == 429
    assert int(third.headers["retry-after"]) > 0
    assert third.json()["errors"] == ["Too many requests", "at most 2 uploads of one caller may be under way"]
    other = held.post("emma")
    await held.until_held(3)
    assert held.uploads.bytes_held == 3 * SIZE
    held.go.set()
    assert [(await each).status_code for each in (*both, other)] == [201] * 3
    assert (await held.post("john")).status_code == 201
    assert held.uploads.bytes_held == 0


async def test_a_process_holds_so_many_bytes_of_bodies() -> None:
    """Beyond that everybody waits a little, and small calls go on."""
    held = Held(max_upload_bytes=8 * 1024 * 1024)
    under_way = [held.post(f"caller-{number}") for number in range(8)]
    await held.until_held(8)
    refused = await held.post("one more")
    assert (refused.status_code, refused.json()["errors"][1]) == (503, "too many uploads are under way")
    assert int(refused.headers["retry-after"]) > 0
    small = held.post("one more", HEAD + b"f" + END)
    await held.until_held(9)
    held.go.set()
    assert {(await each).status_code for each in (*under_way, small)} == {201}
    assert held.uploads.bytes_held == 0


async def test_a_chunked_body_counts_as_the_longest_that_it_may_become() -> None:
    """Otherwise all of them together could become more than there is room for."""
    app = app_of(FakeService())

    events = [part(BODY[:LARGE_BODY_BYTES], more=True), part(BODY[LARGE_BODY_BYTES : LARGE_BODY_BYTES + 9], more=True)]
    talking = asyncio.create_task(talk(app, headers(size=None), *events, path=CREATE))
    async with asyncio.timeout(20):
        while not app._uploads.bytes_held:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0)
    assert app._uploads.bytes_held == BODY_LIMITS_WITH_FILE[FORM]
    talking.cancel()
    await asyncio.wait([talking])
    assert app._uploads.bytes_held == 0


ONE_APP: Any = app_of(FakeService())
ENDS = ("answered", "gone", "cancelled", "failed", "no form")


@given(st.lists(st.tuples(st.sampled_from(ENDS), st.integers(0, 3), st.integers(0, 30)), min_size=1, max_size=12))
async def test_whatever_becomes_of_uploads_nothing_stays_counted(plans: list[tuple[str, int, int]]) -> None:
    """A leak of some bytes per lost connection would refuse everybody's uploads after a day."""
    app = ONE_APP
    body = HEAD + bytes(JUST_LARGE - len(HEAD) - len(END)) + END
    most = 0

    async def one(end: str, caller: int, turns: int) -> None:
        nonlocal most

        async def receive() -> Any:
            nonlocal most
            most = max(most, app._uploads.bytes_held)
            for _ in range(turns):
                await asyncio.sleep(0)
            if end == "gone":
                return {"type": "http.disconnect"}
            if end == "failed":
                raise OSError
            return part(b"not a form" if end == "no form" else body)

        async def send(_message: Any) -> None:
            await asyncio.sleep(0)

        given = headers(f"caller-{caller}", size=JUST_LARGE)
        scope = {
            "type": "http", "method": "POST", "path": CREATE, "raw_path": CREATE.encode(), "query_string": b"",
            "headers": given, "client": ("192.0.2.7", 5123),
        }  # fmt: skip
        task = asyncio.create_task(app(scope, receive, send))
        if end == "cancelled":
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait([task])

    async with asyncio.timeout(60):
        await asyncio.gather(*(one(*plan) for plan in plans))
    assert app._uploads.bytes_held == 0
    assert not app._uploads._per_caller
    assert most <= 4 * 2 * JUST_LARGE

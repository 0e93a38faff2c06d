"""Images sent by many at once, and by somebody who means harm: through the whole system, with two workers."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2
import pytest

from tests.images.sample_images import grainy, padded_jpeg, plain, shaded, slow_jpeg
from tests.support.environment import LiveService, children_of, environment_for, running, token

pytestmark = pytest.mark.one_engine("images are decoded by the same processes whatever speaks gRPC")

CREATE = "/api/v1/live-stream/create"
UPLOADS = 50
USERS = {f"user{each}": f"{each:024x}" for each in range(UPLOADS)}


@pytest.fixture(scope="module")
def service(mongo_uri: str, database_name: str, media: Path, engine: str) -> Iterator[LiveService]:
    with running(LiveService(environment_for(mongo_uri, database_name, media, engine), workers=2)) as opened:
        opened.register(USERS)
        yield opened


@pytest.fixture
async def http(service: LiveService) -> AsyncIterator[httpx2.AsyncClient]:
    limits = httpx2.Limits(max_connections=UPLOADS + 10)
    async with httpx2.AsyncClient(base_url=service.http_url, timeout=60, limits=limits) as client:
        yield client


async def upload(http: httpx2.AsyncClient, user: str, image: bytes) -> httpx2.Response:
    headers = {"authorization": f"Bearer {token(user)}"}
    return await http.post(CREATE, data={"title": "Söz"}, files={"thumbnail": ("p", image)}, headers=headers)


def resident(service: LiveService) -> int:
    """MiB of all processes of the service together, pages that they share counted once (`Pss` of proc(5))."""
    pids, total = [service.process.pid], 0
    for each in pids:
        with suppress(OSError):
            pids += children_of(each)
            rollup = Path(f"/proc/{each}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total // 1024


@asynccontextmanager
async def peak_memory(service: LiveService) -> AsyncIterator[list[int]]:
    """The memory before, and the most that there was inside the block."""
    seen = [resident(service)] * 2

    async def watch() -> None:
        while True:
            seen[1] = max(seen[1], resident(service))
            await asyncio.sleep(0.01)

    watcher = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        watcher.cancel()


@pytest.mark.parametrize(
    "kind",
    ["JPEG", *(pytest.param(each, marks=pytest.mark.extended) for each in ("PNG", "WEBP", "AVIF", "grainy JPEG"))],
)
async def test_fifty_images_of_sixteen_megapixels_take_bounded_memory(
    service: LiveService, http: httpx2.AsyncClient, kind: str, figure: Callable[[str], None]
) -> None:
    """Uploads of a few creators must not end the process of all: once they took 490 MiB.

    The grainy one is printed only: what it takes beyond the others is the memory of the requests, not of the decoders.
    """
    size = (4_000, 4_000)
    image = grainy("JPEG", size, quality=10) if kind == "grainy JPEG" else shaded(kind, size)
    await upload(http, USERS["user0"], plain("PNG"))
    async with peak_memory(service) as seen:
        before = seen[0]
        answers = await asyncio.gather(*(upload(http, each, image) for each in USERS.values()))
    codes = Counter(each.status_code for each in answers)
    figure(f"{kind}, {len(image) / 2**20:.1f} MiB each: {before} MiB before, at most +{seen[1] - before}; {codes}")
    assert set(codes) <= {201, 429, 504}  # 504: a busy machine
    assert codes[201]
    assert seen[1] - before <= (400 if kind == "grainy JPEG" else 150)


@pytest.mark.extended
async def test_hostile_images_of_one_user_do_not_hold_up_another(
    service: LiveService, http: httpx2.AsyncClient, figure: Callable[[str], None]
) -> None:
    """Nine files of fill bytes once kept everybody's images waiting for 21 seconds."""
    honest = grainy("JPEG", (2_000, 1_500), quality=60)
    began = time.monotonic()
    assert (await upload(http, USERS["user1"], honest)).status_code == 201
    alone = time.monotonic() - began
    for name, hostile in (("fill bytes", padded_jpeg(b"\xff", 5_000_000)), ("64 scans", slow_jpeg())):
        attack = [asyncio.create_task(upload(http, USERS["user2"], hostile)) for _ in range(20)]
        await asyncio.wait(attack, return_when=asyncio.FIRST_COMPLETED)
        began = time.monotonic()
        assert (await upload(http, USERS["user1"], honest)).status_code == 201
        waited = time.monotonic() - began
        answers = await asyncio.gather(*attack)
        codes = Counter(each.status_code for each in answers)
        refused = next(each for each in answers if each.status_code == 400)
        figure(f"{name}: an honest image took {alone:.2f} s alone, {waited:.2f} s beside 20 hostile ones; {codes}")
        assert set(codes) <= {400, 429}
        assert refused.json()["errors"][1].startswith("thumbnail: ")


@pytest.mark.extended
async def test_a_killed_forkserver_comes_back_for_all_workers(
    service: LiveService, http: httpx2.AsyncClient, figure: Callable[[str], None]
) -> None:
    """One pool for all of them must not be what ends the images of all of them."""
    first, workers = service.forkserver_pid(), set(service.worker_pids())
    os.kill(first, signal.SIGKILL)
    began = time.monotonic()
    codes = [(await upload(http, USERS["user3"], plain("PNG"))).status_code for _ in range(8)]
    assert codes == [201] * 8
    assert service.forkserver_pid() != first
    assert set(service.worker_pids()) == workers
    figure(f"8 of 8 images answered, the first after {time.monotonic() - began:.1f} s; no worker was started again")


@pytest.mark.extended
def test_a_killed_forkserver_comes_back_for_a_single_process(
    mongo_uri: str, database_name: str, media: Path, engine: str
) -> None:
    """Without a supervisor, the process that answers the calls looks after it."""
    with running(LiveService(environment_for(mongo_uri, database_name, media, engine))) as service:
        first = service.forkserver_pid()
        os.kill(first, signal.SIGKILL)
        headers = {"authorization": f"Bearer {token('ayse')}"}
        with httpx2.Client(base_url=service.http_url, timeout=30, headers=headers) as http:
            answer = http.post(CREATE, data={"title": "Söz"}, files={"thumbnail": ("p", plain("PNG"))})
        assert answer.status_code == 201
        assert service.forkserver_pid() != first

"""The decoders under attack: limits are kept, others are unaffected, and whatever is killed comes back."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from livestream_server.errors import InvalidArgument, ResourceExhausted, Unavailable, UnusableSetting
from livestream_server.images import pool as pool_module
from livestream_server.images.default import draw_default_thumbnail
from livestream_server.images.pool import DecoderPool, ImageQueueFull, ImageShareExceeded
from livestream_server.images.thumbnail import encode_thumbnail
from tests.images.sample_images import (
    BLUE,
    FOUR_COLOURS_HEIC,
    GREEN,
    RED,
    YELLOW,
    chunk,
    decoded,
    deep_boxes,
    grainy,
    jpeg_claiming,
    jpeg_of_scans,
    one_bit,
    padded_jpeg,
    plain,
    png,
    shaded,
    slow_jpeg,
    webp_claiming,
)
from tests.support.environment import children_of

TOO_SLOW = "thumbnail: takes too long to decode"
DAMAGED = "thumbnail: is damaged or incomplete"
TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def hostile() -> bytes:
    return slow_jpeg()


@asynccontextmanager
async def decoders(**changed: int) -> AsyncIterator[DecoderPool]:
    async with DecoderPool(**{"workers": 1, "queue": 32, "share": 2} | changed) as pool:
        await pool.draw_default()
        yield pool


@pytest.fixture
async def pool() -> AsyncIterator[DecoderPool]:
    async with decoders() as opened:
        yield opened


def cpu_of_decoders(pool: DecoderPool) -> float:
    """Seconds of CPU of all decoders that have ended (proc(5), `cutime` and `cstime`)."""
    fields = Path(f"/proc/{pool.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[13]) + int(fields[14])) / TICKS


def told(pid: int, what: str) -> str:
    return Path(f"/proc/{pid}/{what}").read_text()


def memory(pid: int, what: str = "VmRSS") -> int:
    """MiB of a process, from proc(5)."""
    return next(int(each.split()[1]) // 1024 for each in told(pid, "status").splitlines() if each.startswith(what))


async def until(condition: Callable[[], object], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - another process tells no event
            await asyncio.sleep(0.01)


async def decoder_of(pool: DecoderPool) -> int:
    """The process that decodes now."""
    await until(lambda: children_of(pool.pid))
    return children_of(pool.pid)[0]


async def decode_soon(pool: DecoderPool, image: bytes, user: str) -> bytes:
    """Decode it when the forkserver has noticed that others have left."""
    async with asyncio.timeout(5):
        while True:
            with suppress(ResourceExhausted):
                return await pool.decode(image, user)
            await asyncio.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


async def test_a_image_comes_back_as_the_pure_function_makes_it(pool: DecoderPool) -> None:
    """The process changes where an image is decoded, and nothing else."""
    image = grainy("JPEG", (640, 480))
    assert await pool.decode(image, "ayse") == encode_thumbnail(image)
    assert await pool.draw_default() == draw_default_thumbnail()
    with pytest.raises(InvalidArgument, match="must be a JPEG"):
        await pool.decode(b"<svg/>", "ayse")
    with pytest.raises(InvalidArgument, match="must not be empty"):
        await pool.decode(b"", "ayse")


async def test_an_idle_pool_is_small_and_keeps_no_decoder(pool: DecoderPool) -> None:
    """It is paid for by every service, also by one that nobody sends an image."""
    await pool.decode(plain("PNG", (2_000, 2_000)), "ayse")
    assert children_of(pool.pid) == []
    print(f"idle: {memory(pool.pid)} MiB")
    assert memory(pool.pid) <= 48


async def test_a_image_has_one_second_of_cpu(pool: DecoderPool, hostile: bytes) -> None:
    """A file of 200 KB that looks ordinary would keep a core for as long as its sender likes."""
    with pytest.raises(InvalidArgument) as caught:
        await pool.decode(hostile, "mallory")
    assert str(caught.value) == TOO_SLOW
    assert await pool.decode(plain("PNG"), "ayse")
    print(f"CPU of the hostile image and an honest one: {cpu_of_decoders(pool):.2f} s")
    assert cpu_of_decoders(pool) < 1.5  # the kernel's limit is one second, and the default thumbnail took 0.2


async def test_nothing_hostile_costs_more_than_its_second(pool: DecoderPool, hostile: bytes) -> None:
    """Whatever is found next: the worst that it does is to be refused after a second. Each line shows what it cost."""
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(900_000)))
    profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(900_000)))
    rows = bytes(72)
    corpus = {
        "fill bytes": padded_jpeg(b"\xff", 5_000_000),
        "64 scans of 49 megapixels": hostile,
        "64 scans of 16 megapixels": jpeg_of_scans(64, (4_000, 4_000)),
        "JPEG of 50 megapixels that is cut short": jpeg_claiming(8_000, 6_250),
        "EXIF that is referred to by itself": padded_jpeg(
            b"\xff\xe1\0\x1cExif\0\0II*\0\x08\0\0\0\x01\0\x69\x87\x04\0\1\0\0\0\x08", 1_000
        ),
        "1,000 compressed texts": png(8, 8, 8, 0, rows, *[text] * 1_000),
        "1,000 compressed profiles": png(8, 8, 8, 0, rows, *[profile] * 1_000),
        "PNG of 1 bit, 16 megapixels": one_bit(4_000, 4_000),
        "PNG of 16 bits per channel": png(2_800, 5_700, 16, 6, bytes((2_800 * 8 + 1) * 5_700)),
        "PNG that is one row": png(16_000_000, 1, 8, 6, bytes(16_000_000 * 4 + 1)),
        "PNG that is one column": png(1, 16_000_000, 1, 0, bytes(32_000_000)),
        "lossless WebP": shaded("WEBP", (4_000, 4_000), lossless=True),
        "WebP that claims more than it has": webp_claiming(4_000, 4_000),
        "AVIF": shaded("AVIF", (4_000, 4_000), speed=10),
        "boxes in boxes": deep_boxes(100_000),
    }
    for name, image in corpus.items():
        before, answer = cpu_of_decoders(pool), "taken"
        try:
            await pool.decode(image, "mallory")
        except InvalidArgument as refused:
            answer = str(refused)
        cost = cpu_of_decoders(pool) - before
        print(f"{name}, {len(image):,} bytes: {cost:.2f} s, {answer}")
        assert cost < 1.2  # the kernel's clock is coarse
    assert await pool.decode(plain("PNG"), "ayse")


def test_a_image_has_bounded_memory() -> None:
    """A decoder that is let to allocate takes the whole service with it when the machine runs out."""
    script = (
        "import sys; from livestream_server.images import decoder as d, thumbnail as t\n"
        "d._limit()\n"
        "try: bytearray(d.MEMORY_BYTES + 2**24)\n"
        "except MemoryError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


async def test_twenty_hostile_images_leave_an_honest_one_its_place(pool: DecoderPool, hostile: bytes) -> None:
    """A thread for all of them kept everybody else waiting until the last of them was done."""
    attack = [asyncio.create_task(pool.decode(hostile, "mallory")) for _ in range(20)]
    await decoder_of(pool)
    began = time.monotonic()
    assert await pool.decode(plain("JPEG"), "ayse")
    waited = time.monotonic() - began
    still_running = sum(not each.done() for each in attack)
    results = await asyncio.gather(*attack, return_exceptions=True)
    print(f"the honest image waited {waited:.2f} s; hostile ones still at work then: {still_running}")
    assert sum(isinstance(each, ImageShareExceeded) for each in results) == 18
    assert [str(each) for each in results if isinstance(each, InvalidArgument)] == [TOO_SLOW, TOO_SLOW]
    assert still_running == 1  # the honest one did not wait for mallory's second
    assert issubclass(ImageShareExceeded, ResourceExhausted)


async def test_twenty_hostile_users_leave_an_honest_one_its_place(pool: DecoderPool, hostile: bytes) -> None:
    """Accounts are cheap: the queue is longer than the attack, and each of them costs a second at most."""
    attack = [asyncio.create_task(pool.decode(hostile, f"mallory{each}")) for each in range(20)]
    await decoder_of(pool)
    honest = asyncio.create_task(pool.decode(plain("JPEG"), "ayse"))
    for each in attack[3:]:
        each.cancel()  # enough seen
    assert await honest
    await asyncio.wait(attack)
    assert [str(each.exception()) for each in attack[:3]] == [TOO_SLOW] * 3


async def test_hostile_users_cannot_fill_the_queue_twice(pool: DecoderPool, hostile: bytes) -> None:
    """Whoever cost a second waits for nobody's place any more; whoever only left is an honest phone that tries again."""
    with pytest.raises(InvalidArgument, match="too long"):
        await pool.decode(hostile, "mallory")
    left = asyncio.create_task(pool.decode(hostile, "trudy"))
    await decoder_of(pool)
    left.cancel()
    await until(lambda: not children_of(pool.pid))
    at_work = asyncio.create_task(pool.decode(hostile, "oscar"))
    await decoder_of(pool)
    with pytest.raises(ImageQueueFull):
        await pool.decode(hostile, "mallory")
    for each in ("trudy", "ayse"):
        assert await pool.decode(plain("JPEG"), each)
    assert await pool.decode(plain("JPEG"), "mallory")  # nobody else wants the place
    await asyncio.wait([at_work])


async def test_a_full_queue_refuses_at_once(hostile: bytes) -> None:
    """A flood of images costs its senders a refusal, not everyone the memory."""
    async with decoders(queue=1) as pool:
        tasks = [asyncio.create_task(pool.decode(hostile, name)) for name in ("a", "b")]
        await decoder_of(pool)
        with pytest.raises(ImageQueueFull):
            await pool.decode(plain("PNG"), "ayse")
        for each in tasks:
            each.cancel()
        await asyncio.wait(tasks)
        assert await decode_soon(pool, plain("PNG"), "ayse")


async def test_a_caller_who_leaves_ends_the_decoding(pool: DecoderPool, hostile: bytes) -> None:
    """Deadlines pass and clients hang up: what nobody waits for must not hold a place, running or waiting."""
    running = asyncio.create_task(pool.decode(hostile, "mallory"))
    waiting = asyncio.create_task(pool.decode(hostile, "mallory"))
    decoder = await decoder_of(pool)
    for each in (waiting, running):
        each.cancel()
    await asyncio.wait([running, waiting])
    assert await decode_soon(pool, plain("PNG"), "mallory")
    assert gone(decoder)
    print(f"CPU of all: {cpu_of_decoders(pool):.2f} s")


async def test_a_decoder_that_stands_still_is_ended(pool: DecoderPool, hostile: bytes) -> None:
    """A limit of CPU does not see a process that uses none."""
    task = asyncio.create_task(pool.decode(hostile, "mallory"))
    os.kill(await decoder_of(pool), signal.SIGSTOP)
    with pytest.raises(InvalidArgument) as caught:
        await task
    assert str(caught.value) == TOO_SLOW
    assert await pool.decode(plain("PNG"), "mallory")


@pytest.mark.parametrize(
    ("number", "kind"),
    [(signal.SIGKILL, Unavailable), (signal.SIGSEGV, InvalidArgument), (signal.SIGABRT, InvalidArgument)],
)
async def test_a_decoder_that_dies_takes_nobody_with_it(
    pool: DecoderPool, hostile: bytes, number: int, kind: type[Exception]
) -> None:
    """What crashes a decoder is refused; when somebody else killed it, the image is not to blame."""
    task = asyncio.create_task(pool.decode(hostile, "mallory"))
    other = asyncio.create_task(pool.decode(plain("PNG"), "ayse"))
    os.kill(await decoder_of(pool), number)
    with pytest.raises(kind):
        await task
    assert await other


async def test_a_forkserver_that_dies_comes_back(pool: DecoderPool, hostile: bytes) -> None:
    """Its callers may try again at once, its decoders do not outlive it, and what is sent meanwhile is answered."""
    keeper = asyncio.create_task(pool.keep_running())
    task = asyncio.create_task(pool.decode(hostile, "mallory"))
    decoder, first = await decoder_of(pool), pool.pid
    os.kill(first, signal.SIGKILL)
    with pytest.raises(Unavailable):
        await task
    meanwhile = await pool.decode(plain("PNG"), "ayse")
    assert decoded(meanwhile).size == (64, 48)
    assert pool.pid != first
    await until(lambda: gone(decoder))
    keeper.cancel()


async def test_without_a_forkserver_the_answer_is_unavailable(
    pool: DecoderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that nobody can decode now is not a bad one, and its caller does not wait for ever."""
    monkeypatch.setattr(pool_module, "_HEARD_SECONDS", 0.2)
    pool._process.kill()
    pool._process.wait()
    for _ in range(300):  # more than the socket takes
        with suppress(Unavailable):
            pool._connect().close()
    with pytest.raises(Unavailable):
        await pool.decode(plain("PNG"), "ayse")


async def test_a_forkserver_is_not_started_again_and_again(pool: DecoderPool) -> None:
    """One that ends at once, as without Pillow, must not turn its owner into a fork bomb."""
    first = pool.pid
    pool._process.kill()
    pool._process.wait()
    pool._started = time.monotonic()
    for _ in range(100):
        pool.heal()
    assert pool.pid == first


async def test_the_pool_ends_with_its_service(hostile: bytes) -> None:
    """A service that is killed must not leave processes behind that hold memory, or its socket."""
    script = (
        "import asyncio, sys; from livestream_server.images.pool import DecoderPool\n"
        "async def main():\n"
        "    pool = DecoderPool(workers=1, queue=1, share=1)\n"
        "    await pool.draw_default()\n"
        "    print(pool.pid, flush=True)\n"
        "    await pool.decode(sys.stdin.buffer.read(), 'mallory')\n"
        "asyncio.run(main())"
    )
    service = subprocess.Popen(  # noqa: ASYNC220 - returns at once
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert service.stdin
    assert service.stdout
    with service.stdin, service.stdout:
        forkserver = int(service.stdout.readline())
        service.stdin.write(hostile)
        service.stdin.close()
        await until(lambda: children_of(forkserver))
        decoder = children_of(forkserver)[0]
        service.kill()
        service.wait()
    await until(lambda: gone(forkserver) and gone(decoder))


async def test_a_ctrl_c_or_a_stop_of_the_group_leaves_the_forkserver_to_the_service(pool: DecoderPool) -> None:
    """A draining service still answers: systemd and a terminal signal every process of the group at once."""
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pool.pid, number)
    assert await pool.decode(plain("PNG"), "ayse")


async def test_the_decoders_know_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoders read strangers' bytes: whoever takes one over must not find the keys of the service in it."""
    monkeypatch.setenv("AGORA_APP_CERTIFICATE", "5cfd2fd1755d40ecb72977518be15d3b")
    async with decoders() as pool:
        environment, libraries = told(pool.pid, "environ"), told(pool.pid, "maps")
    assert "AGORA" not in environment
    assert "grpc" not in libraries


@pytest.mark.skipif(not find_spec("pi_heif"), reason="the extra `heic` is not installed")
async def test_heic_is_read_where_the_setting_asks_for_it(pool: DecoderPool) -> None:
    """Some phones cannot be made to send anything else; everywhere else, one decoder less reads strangers' bytes."""
    async with DecoderPool(workers=1, queue=1, share=1, heic=True) as with_heic:
        shown = decoded(await with_heic.decode(FOUR_COLOURS_HEIC, "ayse"))
        assert await with_heic.decode(plain("JPEG"), "ayse")
    assert shown.size == (64, 48)
    for point, colour in {(8, 8): RED, (56, 8): GREEN, (8, 40): BLUE, (56, 40): YELLOW}.items():
        assert all(abs(a - b) < 30 for a, b in zip(shown.getpixel(point), colour, strict=True))
    with pytest.raises(InvalidArgument, match="convert HEIC before sending"):
        await pool.decode(FOUR_COLOURS_HEIC, "ayse")


async def test_heic_without_its_extra_is_an_unusable_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator learns it at the start, and not the first user with such a phone."""
    monkeypatch.setattr(pool_module, "find_spec", lambda _name: None)
    with pytest.raises(UnusableSetting, match=r"^MEDIA_HEIC"):
        DecoderPool(workers=1, queue=1, share=1, heic=True)


@pytest.fixture
def peaks() -> Iterator[dict[str, int]]:
    found: dict[str, int] = {}
    yield found
    for name, peak in found.items():
        print(f"{name}: {peak} MiB")


async def test_the_memory_of_large_honest_images_is_bounded(pool: DecoderPool, peaks: dict[str, int]) -> None:
    """Printed for the operator who plans the memory of a machine; each format keeps below the limit of a decoder."""
    for name, size, options in (
        ("JPEG of 50 megapixels", (8_000, 6_250), {}),
        ("progressive JPEG of 50 megapixels", (8_000, 6_250), {"progressive": True}),
        ("PNG of 16 megapixels", (4_000, 4_000), {}),
        ("WEBP of 16 megapixels", (4_000, 4_000), {}),
        ("AVIF of 16 megapixels", (4_000, 4_000), {"speed": 10}),
    ):
        image = await asyncio.to_thread(shaded, name.removeprefix("progressive ").split()[0], size, **options)
        task = asyncio.create_task(pool.decode(image, "ayse"))
        while not task.done():
            for each in children_of(pool.pid):
                with suppress(OSError, StopIteration):
                    peaks[name] = max(peaks.get(name, 0), memory(each, "VmHWM"))
            await asyncio.sleep(0.005)
        assert decoded(await task).height == 720

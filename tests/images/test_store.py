"""Thumbnails on a disk and in a bucket, and the queue before the decoder."""

import asyncio
import resource
import threading
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from livestream_server.errors import Exhausted, Invalid, Unavailable
from livestream_server.images import store as store_module
from livestream_server.images.default import default_thumbnail
from livestream_server.images.store import ImageQueueFull, MediaNotWritable, Thumbnails
from livestream_server.images.thumbnail import encode_thumbnail
from livestream_server.settings import MediaSettings
from tests.images.pictures import GREEN, RED, decoded, grainy, plain

BASE = "https://media.example.com/pictures"


def key_of(picture: bytes) -> str:
    return f"thumbnails/{sha256(picture).hexdigest()[:32]}.webp"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "not" / "there" / "yet"


@pytest.fixture
async def thumbnails(directory: Path) -> AsyncIterator[Thumbnails]:
    kept = Thumbnails(MediaSettings(directory=directory, base_url=BASE), workers=1, queue=2)
    yield kept
    await kept.close()


def files_of(directory: Path) -> dict[str, bytes]:
    return {str(each.relative_to(directory)): each.read_bytes() for each in directory.rglob("*") if each.is_file()}


async def test_a_thumbnail_lies_under_the_hash_of_its_bytes(thumbnails: Thumbnails, directory: Path) -> None:
    """The name is ours and never the sender's, and it cannot come to mean another picture."""
    key = await thumbnails.store(plain("JPEG"))
    assert key == key_of(encode_thumbnail(plain("JPEG")))
    assert files_of(directory) == {key: encode_thumbnail(plain("JPEG"))}
    assert thumbnails.url(key) == f"{BASE}/{key}"


async def test_the_same_picture_twice_is_one_file(thumbnails: Thumbnails, directory: Path) -> None:
    """A retried upload neither fails nor fills the disk, and a cached file is never touched again."""
    first = await thumbnails.store(plain("PNG"))
    written = (directory / first).stat()
    assert await thumbnails.store(plain("PNG")) == first
    assert await thumbnails.store(plain("PNG", colour=GREEN)) != first
    again = (directory / first).stat()
    assert (again.st_ino, again.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    assert len(files_of(directory)) == 2


async def test_the_same_picture_from_many_callers_at_once_is_one_file(directory: Path) -> None:
    """Two processes may share the directory: a collision of equal pictures is success for both."""
    kept = Thumbnails(MediaSettings(directory=directory), workers=4, queue=16)
    keys = await asyncio.gather(*(kept.store(plain("WEBP")) for _ in range(20)))
    await kept.close()
    assert len(set(keys)) == 1
    assert list(files_of(directory)) == [keys[0]]


async def test_what_is_no_picture_is_refused_and_not_stored(thumbnails: Thumbnails, directory: Path) -> None:
    """Nothing of a stranger's bytes may reach the store unencoded."""
    with pytest.raises(Invalid):
        await thumbnails.store(b"<svg onload='alert(1)'/>")
    assert files_of(directory) == {}


async def test_a_thumbnail_that_cannot_be_written_whole_is_not_there_at_all(
    thumbnails: Thumbnails, directory: Path
) -> None:
    """A full disk must not leave half a picture under a name that is never written again."""
    await thumbnails.start()
    before = files_of(directory)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
    try:
        with pytest.raises(Unavailable):
            await thumbnails.store(grainy("PNG", (640, 480)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    after = files_of(directory)
    assert {name: data for name, data in after.items() if name.endswith(".webp")} == before
    key = await thumbnails.store(grainy("PNG", (640, 480)))
    assert decoded((directory / key).read_bytes()).size == (640, 480)


async def test_starting_writes_the_default_thumbnail_once(thumbnails: Thumbnails, directory: Path) -> None:
    """A stream without a picture shows this one; the address must answer from the first stream on."""
    await thumbnails.start()
    key = key_of(default_thumbnail())
    assert files_of(directory) == {key: default_thumbnail()}
    assert thumbnails.url(None) == f"{BASE}/{key}"

    written = (directory / key).stat()
    await thumbnails.start()
    again = (directory / key).stat()
    assert (again.st_ino, again.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)


@pytest.mark.parametrize(
    ("below", "why"), [("file", "File exists"), ("file/below", "Not a directory"), ("blocked", "")]
)
async def test_a_directory_that_cannot_be_written_is_named_at_the_start(tmp_path: Path, below: str, why: str) -> None:
    """The operator learns which setting is wrong before the first creator does, and the log does not quote it."""
    (tmp_path / "file").touch()
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "thumbnails").touch()
    kept = Thumbnails(MediaSettings(directory=tmp_path / below), workers=1, queue=0)
    with pytest.raises(MediaNotWritable, match=f"^MEDIA_DIRECTORY: .*{why}") as caught:
        await kept.start()
    await kept.close()
    assert str(tmp_path) not in str(caught.value)


class Gate:
    """Stands in for the decoder: each picture waits until it is let through."""

    def __init__(self) -> None:
        self.inside = threading.Semaphore(0)
        self.open = threading.Event()

    def __call__(self, data: bytes) -> bytes:
        self.inside.release()
        assert self.open.wait(30)
        return data


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    stand_in = Gate()
    monkeypatch.setattr(store_module, "encode_thumbnail", stand_in)
    yield stand_in
    stand_in.open.set()


async def begun(thumbnails: Thumbnails, gate: Gate, count: int) -> list[asyncio.Task[str]]:
    """`count` uploads, of which the one worker has taken up the first."""
    tasks = [asyncio.create_task(thumbnails.store(b"%d" % number)) for number in range(count)]
    assert await asyncio.to_thread(gate.inside.acquire, timeout=30)
    return tasks


async def test_a_full_queue_refuses_at_once_and_the_loop_stays_free(thumbnails: Thumbnails, gate: Gate) -> None:
    """A flood of pictures costs its senders a refusal, not everyone the memory and the processor."""
    tasks = await begun(thumbnails, gate, 3)
    with pytest.raises(ImageQueueFull) as caught:
        await thumbnails.store(b"one too many")
    assert isinstance(caught.value, Exhausted)
    assert caught.value.reason == "IMAGE_QUEUE_FULL"
    assert not any(task.done() for task in tasks)

    gate.open.set()
    assert await asyncio.gather(*tasks) == [key_of(b"0"), key_of(b"1"), key_of(b"2")]
    assert await thumbnails.store(b"later") == key_of(b"later")


async def test_a_caller_who_gives_up_waiting_frees_the_place(thumbnails: Thumbnails, gate: Gate) -> None:
    """Deadlines pass while pictures wait; places that stayed taken would lock the queue for good."""
    first, second, third = await begun(thumbnails, gate, 3)
    third.cancel()
    await asyncio.wait([third])
    fourth = asyncio.create_task(thumbnails.store(b"3"))
    await asyncio.sleep(0)
    with pytest.raises(ImageQueueFull):
        await thumbnails.store(b"one too many")

    gate.open.set()
    assert await asyncio.gather(first, second, fourth) == [key_of(b"0"), key_of(b"1"), key_of(b"3")]


async def test_a_picture_that_is_being_decoded_keeps_its_place_when_its_caller_leaves(
    thumbnails: Thumbnails, gate: Gate
) -> None:
    """A thread cannot be stopped: were its place given away, impatient callers could pile up work without end."""
    first, second, third = await begun(thumbnails, gate, 3)
    first.cancel()
    await asyncio.wait([first])
    with pytest.raises(ImageQueueFull):
        await thumbnails.store(b"one too many")

    gate.open.set()
    assert await asyncio.gather(second, third) == [key_of(b"1"), key_of(b"2")]


async def test_closing_turns_away_the_pictures_that_wait(thumbnails: Thumbnails, gate: Gate) -> None:
    """A stopping process finishes what it does, and does not begin the whole queue."""
    first, second, _ = tasks = await begun(thumbnails, gate, 3)
    closing = asyncio.create_task(thumbnails.close())
    await asyncio.wait([second])
    gate.open.set()
    await closing
    assert await first == key_of(b"0")
    assert [task.cancelled() for task in tasks] == [False, True, True]


@pytest.fixture(scope="module")
def s3_address() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_address: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """An empty bucket, seen through another client than the one that is tested."""
    amazon = boto3.resource(
        "s3", endpoint_url=s3_address, region_name="us-east-1", aws_access_key_id="key", aws_secret_access_key="secret"
    )
    created = amazon.create_bucket(Bucket="pictures")
    yield created
    created.objects.delete()
    created.delete()


def in_bucket(address: str, **changed: object) -> Thumbnails:
    keys = {"s3_access_key_id": SecretStr("key"), "s3_secret_access_key": SecretStr("secret")}
    given = {"base_url": BASE, "s3_bucket": "pictures", "s3_endpoint": address, **keys, **changed}
    return Thumbnails(MediaSettings(**given), workers=1, queue=1)


async def test_a_bucket_gets_each_picture_once_with_its_type_and_cache_rule(s3_address: str, bucket: Any) -> None:
    """Served straight from the bucket, the type keeps browsers from guessing and the cache rule saves the traffic."""
    kept = in_bucket(s3_address)
    await kept.start()
    key = await kept.store(plain("JPEG"))
    first = bucket.Object(key).get()
    assert await kept.store(plain("JPEG", colour=RED)) == key
    await kept.start()
    await kept.close()

    assert {each.key for each in bucket.objects.all()} == {key, key_of(default_thumbnail())}
    assert first["Body"].read() == encode_thumbnail(plain("JPEG"))
    assert first["ContentType"] == "image/webp"
    assert first["CacheControl"] == "public, max-age=31536000, immutable"
    assert kept.url(key) == f"{BASE}/{key}"


async def test_a_second_put_of_the_same_key_leaves_the_first_object_alone(s3_address: str, bucket: Any) -> None:
    """Create-only writes: no version piles up in a versioned bucket, and no cached object changes under its name."""
    bucket.Versioning().enable()
    kept = in_bucket(s3_address)
    keys = [await kept.store(plain("JPEG")) for _ in range(3)]
    await kept.close()
    versions = list(bucket.object_versions.all())
    assert [each.key for each in versions] == [keys[0]]
    for version in versions:
        version.delete()


async def test_a_bucket_that_fails_is_a_passing_failure_to_the_caller(s3_address: str) -> None:
    """The caller may try again; who the store is and what it said is not theirs to know."""
    for broken in (in_bucket(s3_address, s3_bucket="missing"), in_bucket("http://127.0.0.1:1")):
        with pytest.raises(Unavailable) as caught:
            await broken.store(plain("JPEG"))
        await broken.close()
        assert str(caught.value) == "the service is temporarily unavailable"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"s3_bucket": "missing"}, "there is no such bucket"),
        ({"s3_endpoint": "http://127.0.0.1:1"}, "cannot be reached"),
        ({"s3_secret_access_key": None}, "cannot be reached"),
    ],
)
async def test_a_bucket_that_cannot_be_written_is_named_at_the_start(
    s3_address: str, changed: dict[str, object], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for the directory: the process does not become ready, and says which setting to look at."""
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    kept = in_bucket(s3_address, **changed)
    with pytest.raises(MediaNotWritable, match=f"^MEDIA_S3_BUCKET: .*{why}") as caught:
        await kept.start()
    await kept.close()
    assert not any(secret in str(caught.value) for secret in ("missing", "127.0.0.1", "http"))

"""Thumbnails on a disk and in a bucket, and the queue before the decoder."""

import asyncio
import resource
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from livestream_server.errors import InvalidArgument, Unavailable
from livestream_server.images.default import draw_default_thumbnail
from livestream_server.images.pool import DecoderPool
from livestream_server.images.store import MediaNotWritable, Thumbnails
from livestream_server.images.thumbnail import encode_thumbnail
from livestream_server.settings import MediaSettings
from tests.images.sample_images import GREEN, RED, decoded, grainy, plain

BASE = "https://media.example.com/images"


def key_of(image: bytes) -> str:
    return f"thumbnails/{sha256(image).hexdigest()[:32]}.webp"


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[DecoderPool]:
    async with DecoderPool(workers=2, queue=32, share=32) as decoders:
        yield decoders


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "not" / "there" / "yet"


@pytest.fixture
def thumbnails(directory: Path, pool: DecoderPool) -> Thumbnails:
    return Thumbnails(MediaSettings(directory=directory, base_url=BASE), pool)


def files_of(directory: Path) -> dict[str, bytes]:
    return {str(each.relative_to(directory)): each.read_bytes() for each in directory.rglob("*") if each.is_file()}


async def test_a_thumbnail_lies_under_the_hash_of_its_bytes(thumbnails: Thumbnails, directory: Path) -> None:
    """The name is ours and never the sender's, and it cannot come to mean another image."""
    key = await thumbnails.store(plain("JPEG"), "ayse")
    assert key == key_of(encode_thumbnail(plain("JPEG")))
    assert files_of(directory) == {key: encode_thumbnail(plain("JPEG"))}
    assert thumbnails.url(key) == f"{BASE}/{key}"


async def test_the_same_image_twice_is_one_file(thumbnails: Thumbnails, directory: Path) -> None:
    """A retried upload neither fails nor fills the disk, and a cached file is never touched again."""
    first = await thumbnails.store(plain("PNG"), "ayse")
    written = (directory / first).stat()
    assert await thumbnails.store(plain("PNG"), "ayse") == first
    assert await thumbnails.store(plain("PNG", colour=GREEN), "ayse") != first
    again = (directory / first).stat()
    assert (again.st_ino, again.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    assert len(files_of(directory)) == 2


async def test_the_same_image_from_many_callers_at_once_is_one_file(directory: Path, pool: DecoderPool) -> None:
    """Two processes may share the directory: a collision of equal images is success for both."""
    kept = Thumbnails(MediaSettings(directory=directory), pool)
    keys = await asyncio.gather(*(kept.store(plain("WEBP"), "ayse") for _ in range(20)))
    assert len(set(keys)) == 1
    assert list(files_of(directory)) == [keys[0]]


async def test_what_is_no_image_is_refused_and_not_stored(thumbnails: Thumbnails, directory: Path) -> None:
    """Nothing of a stranger's bytes may reach the store unencoded."""
    with pytest.raises(InvalidArgument):
        await thumbnails.store(b"<svg onload='alert(1)'/>", "ayse")
    assert files_of(directory) == {}


async def test_a_thumbnail_that_cannot_be_written_whole_is_not_there_at_all(
    thumbnails: Thumbnails, directory: Path
) -> None:
    """A full disk must not leave half an image under a name that is never written again."""
    await thumbnails.start()
    before = files_of(directory)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
    try:
        with pytest.raises(Unavailable):
            await thumbnails.store(grainy("PNG", (640, 480)), "ayse")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    after = files_of(directory)
    assert {name: data for name, data in after.items() if name.endswith(".webp")} == before
    key = await thumbnails.store(grainy("PNG", (640, 480)), "ayse")
    assert decoded((directory / key).read_bytes()).size == (640, 480)


async def test_starting_writes_the_default_thumbnail_once(thumbnails: Thumbnails, directory: Path) -> None:
    """A stream without an image shows this one; the address must answer from the first stream on."""
    await thumbnails.start()
    key = key_of(draw_default_thumbnail())
    assert files_of(directory) == {key: draw_default_thumbnail()}
    assert thumbnails.url(None) == f"{BASE}/{key}"

    written = (directory / key).stat()
    await thumbnails.start()
    again = (directory / key).stat()
    assert (again.st_ino, again.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)


@pytest.mark.parametrize(
    ("below", "why"), [("file", "File exists"), ("file/below", "Not a directory"), ("blocked", "")]
)
async def test_a_directory_that_cannot_be_written_is_named_at_the_start(
    tmp_path: Path, below: str, why: str, pool: DecoderPool
) -> None:
    """The operator learns which setting is wrong before the first creator does, and the log does not quote it."""
    (tmp_path / "file").touch()
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "thumbnails").touch()
    kept = Thumbnails(MediaSettings(directory=tmp_path / below), pool)
    with pytest.raises(MediaNotWritable, match=f"^MEDIA_DIRECTORY: .*{why}") as caught:
        await kept.start()
    assert str(tmp_path) not in str(caught.value)


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
    created = amazon.create_bucket(Bucket="images")
    yield created
    created.objects.delete()
    created.delete()


def in_bucket(pool: DecoderPool, address: str, **changed: object) -> Thumbnails:
    keys = {"s3_access_key_id": SecretStr("key"), "s3_secret_access_key": SecretStr("secret")}
    given = {"base_url": BASE, "s3_bucket": "images", "s3_endpoint": address, **keys, **changed}
    return Thumbnails(MediaSettings(**given), pool)


async def test_a_bucket_gets_each_image_once_with_its_type_and_cache_rule(
    s3_address: str, pool: DecoderPool, bucket: Any
) -> None:
    """Served straight from the bucket, the type keeps browsers from guessing and the cache rule saves the traffic."""
    kept = in_bucket(pool, s3_address)
    await kept.start()
    key = await kept.store(plain("JPEG"), "ayse")
    first = bucket.Object(key).get()
    assert await kept.store(plain("JPEG", colour=RED), "ayse") == key
    await kept.start()

    assert {each.key for each in bucket.objects.all()} == {key, key_of(draw_default_thumbnail())}
    assert first["Body"].read() == encode_thumbnail(plain("JPEG"))
    assert first["ContentType"] == "image/webp"
    assert first["CacheControl"] == "public, max-age=31536000, immutable"
    assert kept.url(key) == f"{BASE}/{key}"


async def test_a_second_put_of_the_same_key_leaves_the_first_object_alone(
    s3_address: str, pool: DecoderPool, bucket: Any
) -> None:
    """Create-only writes: no version piles up in a versioned bucket, and no cached object changes under its name."""
    bucket.Versioning().enable()
    kept = in_bucket(pool, s3_address)
    keys = [await kept.store(plain("JPEG"), "ayse") for _ in range(3)]
    versions = list(bucket.object_versions.all())
    assert [each.key for each in versions] == [keys[0]]
    for version in versions:
        version.delete()


async def test_a_bucket_that_fails_is_a_passing_failure_to_the_caller(s3_address: str, pool: DecoderPool) -> None:
    """The caller may try again; who the store is and what it said is not theirs to know."""
    for broken in (in_bucket(pool, s3_address, s3_bucket="missing"), in_bucket(pool, "http://127.0.0.1:1")):
        with pytest.raises(Unavailable) as caught:
            await broken.store(plain("JPEG"), "ayse")
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
    s3_address: str, pool: DecoderPool, changed: dict[str, object], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for the directory: the process does not become ready, and says which setting to look at."""
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    kept = in_bucket(pool, s3_address, **changed)
    with pytest.raises(MediaNotWritable, match=f"^MEDIA_S3_BUCKET: .*{why}") as caught:
        await kept.start()
    assert not any(secret in str(caught.value) for secret in ("missing", "127.0.0.1", "http"))

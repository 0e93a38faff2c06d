import os
from pathlib import Path

import httpx2
import pytest

from tests.gateway.fake_service import FakeService, app_of, client_of

NAME = "0123456789abcdef" * 2
IMAGE = f"/media/thumbnails/{NAME}.webp"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    media = tmp_path / "media"
    (media / "thumbnails").mkdir(parents=True)
    (media / "thumbnails" / f"{NAME}.webp").write_bytes(b"RIFF image")
    (media / "secret.webp").write_text("secret")
    (tmp_path / f"{NAME}.webp").write_text("secret")
    return media


@pytest.fixture
def client(directory: Path) -> httpx2.AsyncClient:
    return client_of(app_of(FakeService(), media_directory=directory))


async def test_a_image_is_served_for_good(client: httpx2.AsyncClient) -> None:
    """As WebP and nothing else, to be kept for ever: the name is the hash of the bytes."""
    response = await client.get(IMAGE)
    assert (response.status_code, response.content) == (200, b"RIFF image")
    assert response.headers["content-type"] == "image/webp"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert (await client.head(IMAGE)).content == b""


async def test_a_image_that_the_client_has_is_not_sent_again(client: httpx2.AsyncClient) -> None:
    """A phone on the road pays per byte."""
    etag = (await client.get(IMAGE)).headers["etag"]
    for known in (etag, f'"other", W/{etag}', "*"):
        response = await client.get(IMAGE, headers={"if-none-match": known})
        assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", etag)
    assert (await client.get(IMAGE, headers={"if-none-match": '"other"'})).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/media/", "/media/thumbnails", "/media/secret.webp", f"/media/thumbnails/{'f' * 32}.webp",
        f"/media/thumbnails/../../{NAME}.webp", f"/media/thumbnails/%2e%2e/%2e%2e/{NAME}.webp",
        f"/media/thumbnails%2f..%2f..%2f{NAME}.webp", f"/media//thumbnails/{NAME}.webp", f"{IMAGE}/", f"{IMAGE}%00",
        f"{IMAGE}%0a", IMAGE.upper(), f"/media/media/thumbnails/{NAME}.webp",
    ],
)  # fmt: skip
async def test_nothing_else_is_served(client: httpx2.AsyncClient, path: str) -> None:
    """Neither what lies beside the images nor what lies above them."""
    response = await client.get(path)
    assert response.status_code == 404
    assert response.json()["errors"] == ["Resource not found"]


async def test_only_regular_files_are_served(client: httpx2.AsyncClient, directory: Path) -> None:
    """A link could lead anywhere, a pipe would never end."""
    folder = directory / "thumbnails"
    (folder / f"{'a' * 32}.webp").symlink_to(directory / "secret.webp")
    (folder / f"{'b' * 32}.webp").mkdir()
    os.mkfifo(folder / f"{'c' * 32}.webp")
    for letter in "abc":
        assert (await client.get(f"/media/thumbnails/{letter * 32}.webp")).status_code == 404


async def test_images_cannot_be_changed(client: httpx2.AsyncClient) -> None:
    """They come from the service alone."""
    response = await client.put(IMAGE, content=b"x")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, HEAD"


async def test_without_a_directory_there_are_no_images() -> None:
    """Images in a bucket are served by the bucket."""
    assert (await client_of(app_of(FakeService())).get(IMAGE)).status_code == 404

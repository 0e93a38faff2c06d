"""`/openapi.json`, `/docs` and the page's files, as a browser gets them."""

import re
from collections.abc import AsyncIterator

import httpx2
import pytest
from starlette.types import Message, Receive, Scope, Send

from livestream_gateway.docs.app import docs_routes
from livestream_gateway.openapi import render_openapi

ROUTES = docs_routes()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    path = scope["path"]
    await ROUTES[path if path in ROUTES else "/docs/"](scope, receive, send)


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://gateway") as opened:
        yield opened


async def test_the_page_and_all_it_asks_for_come_from_here(client: httpx2.AsyncClient) -> None:
    """A page that loads a stranger's script hands its users' tokens to the stranger."""
    page = await client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    references = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(references) == 5
    for reference in references:
        assert (await client.get(f"/{reference}")).status_code == 200


async def test_the_description_is_served_as_it_was_made(client: httpx2.AsyncClient) -> None:
    """Tools fetch the description from a running service."""
    answer = await client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.content == render_openapi()


@pytest.mark.parametrize("path", ["/docs", "/docs/init.js", "/docs/swagger-ui-5.35.0/swagger-ui.css", "/openapi.json"])
async def test_every_file_carries_the_strict_policy(client: httpx2.AsyncClient, path: str) -> None:
    """The page holds a token; without the policy one injected script could send it anywhere."""
    headers = (await client.get(path)).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"


async def test_a_browser_keeps_versioned_files_and_asks_again_for_the_others(client: httpx2.AsyncClient) -> None:
    """2 MB on every visit would be slow, and an old page after an update would be broken."""
    assert "immutable" in (await client.get("/docs/swagger-ui-5.35.0/swagger-ui-bundle.js")).headers["cache-control"]
    first = await client.get("/docs")
    assert first.headers["cache-control"] == "no-cache"
    again = await client.get("/docs", headers={"if-none-match": f'"other", {first.headers["etag"]}'})
    assert again.status_code == 304
    assert again.content == b""
    assert (await client.get("/docs", headers={"if-none-match": '"other"'})).status_code == 200


async def test_head_answers_like_get_without_the_body(client: httpx2.AsyncClient) -> None:
    """Link checkers and proxies ask with HEAD."""
    got, asked = await client.get("/openapi.json"), await client.head("/openapi.json")
    assert asked.status_code == 200
    assert asked.content == b""
    assert asked.headers == got.headers


@pytest.mark.parametrize("path", ["/docs", "/docs/init.js", "/openapi.json"])
async def test_other_verbs_are_refused_in_the_envelope(client: httpx2.AsyncClient, path: str) -> None:
    """A client that unwraps every answer must find the envelope here, too."""
    answer = await client.post(path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert answer.json()["errors"] == ["Method not allowed"]


@pytest.mark.parametrize(
    "path", ["/docs/", "/docs/app.py", "/docs/../app.py", "/docs/init.js/", "/docs/swagger-ui-5.35.0/LICENSE"]
)
async def test_nothing_else_is_served(path: str) -> None:
    """Only files that were read at the start exist here, whatever a path looks like."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await ROUTES["/docs/"]({"type": "http", "method": "GET", "path": path, "headers": []}, no_body, send)
    assert sent[0]["status"] == 404
    assert b'"Resource not found"' in sent[1]["body"]


async def no_body() -> Message:
    raise AssertionError

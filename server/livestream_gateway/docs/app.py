"""The API description and the page that shows it: `/openapi.json`, `/docs` and the page's files.

Everything is read once and answered from memory. The page may load and call nothing but our own origin; its content
security policy lets the browser hold it to that.
"""

import hashlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from livestream_gateway.envelope import Refusal
from livestream_gateway.exchange import RequestHeaders, respond
from livestream_gateway.openapi import render_openapi

# Fixed here, not guessed: what guessing knows differs from machine to machine. Other files are not served.
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".png": "image/png",
}
# Swagger UI's style sheet carries its icons as data: images.
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def docs_routes() -> Mapping[str, ASGIApp]:
    """ASGI applications by exact path, or by the prefix of their paths where that ends with a slash."""
    assets = dict(_build_assets(files(__package__) / "assets"))
    page = assets.pop("index.html")
    return {
        "/openapi.json": Asset(render_openapi(), "application/json"),
        "/docs": page,
        "/docs/": Assets("/docs/", assets),
    }


class Assets:
    """Assets by what follows `prefix` in the request's path."""

    def __init__(self, prefix: str, assets: Mapping[str, ASGIApp]) -> None:
        self._assets = {prefix + name: asset for name, asset in assets.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if asset := self._assets.get(scope["path"]):
            await asset(scope, receive, send)
        else:
            await _refuse(scope, send, Refusal(404))


class Asset:
    """Bytes in memory that answer GET and HEAD.

    Args:
        body: what is sent.
        media_type: its Content-Type.
        for_good: whether this path will never have other bytes, so that a browser need not ask again.
    """

    def __init__(self, body: bytes, media_type: str, *, for_good: bool = False) -> None:
        self._body = body
        self._etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        self._headers = {
            "cache-control": "public, max-age=31536000, immutable" if for_good else "no-cache",
            "content-security-policy": _CONTENT_SECURITY_POLICY,
            "etag": self._etag,
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        }
        self._media_headers = {"content-type": media_type, "content-length": str(len(body))}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            await _refuse(scope, send, Refusal(405, headers=((b"allow", b"GET, HEAD"),)))
            return
        if self._etag in Headers(scope=scope).get("if-none-match", ""):
            response = Response(status_code=304, headers=self._headers)
        else:
            body = self._body if scope["method"] == "GET" else b""
            response = Response(body, headers=self._headers | self._media_headers)
        await response(scope, receive, send)


async def _refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    await respond(scope, send, refusal.answer, RequestHeaders(scope["headers"]).request_id)


def _build_assets(folder: Traversable, below: str = "") -> Iterator[tuple[str, Asset]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _build_assets(entry, f"{below}{entry.name}/")
        elif media_type := _MEDIA_TYPES.get(PurePosixPath(entry.name).suffix):
            # A folder's name holds the version of what is in it.
            yield below + entry.name, Asset(entry.read_bytes(), media_type, for_good=bool(below))

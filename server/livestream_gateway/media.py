"""Images from a local directory: names that this product gives, and nothing else that may lie there."""

import asyncio
import os
import re
import stat
from pathlib import Path

from starlette.responses import FileResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from livestream_gateway.envelope import Refusal
from livestream_gateway.exchange import respond

PREFIX = "/media/"

_KEY = re.compile(r"(?:thumbnails|portraits)/([0-9a-f]{32})\.webp")


def serve_media(directory: Path) -> ASGIApp:
    """Serves `/media/thumbnails/<hash>.webp` and `/media/portraits/<hash>.webp`.

    A name is the hash of its file, so a file never changes and may be kept for ever.
    """

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            await respond(scope, send, Refusal(405, headers=((b"allow", b"GET, HEAD"),)).answer)
            return
        key = _KEY.fullmatch(scope["path"].removeprefix(PREFIX))
        path = directory / key[0] if key else None
        found = await asyncio.to_thread(_find_regular_file, path) if path else None
        if not key or not path or not found:
            await respond(scope, send, Refusal(404).answer)
            return
        headers = {
            "cache-control": "public, max-age=31536000, immutable",
            "etag": f'"{key[1]}"',
            "x-content-type-options": "nosniff",
        }
        known = dict(scope["headers"]).get(b"if-none-match", b"").decode("latin-1")
        response = (
            Response(status_code=304, headers=headers)
            if headers["etag"] in known or known.strip() == "*"
            else FileResponse(path, media_type="image/webp", headers=headers, stat_result=found)
        )
        await response(scope, receive, send)

    return serve


def _find_regular_file(path: Path) -> os.stat_result | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None

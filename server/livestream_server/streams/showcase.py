"""Stored streams as messages, for rooms that read the collection `streams` and must not know what is in it."""

from collections.abc import Mapping
from typing import Any

from livestream.v1.live_stream_pb2 import LiveStream
from livestream.v1.user_pb2 import UserSummary
from livestream_server.streams import view
from livestream_server.streams.store import from_document


class Showcase:
    """Shows streams of the database."""

    def __init__(self, thumbnails: view.Thumbnails) -> None:
        self._thumbnails = thumbnails

    def shown(self, document: Mapping[str, Any], caller: str | None, cards: Mapping[str, UserSummary]) -> LiveStream:
        """The stream as `caller` sees it; None stands for an anonymous one."""
        stream = from_document(document)
        role = stream.role_of(caller) if caller else None
        return view.live_stream(stream, role, cards, self._thumbnails.url(stream.thumbnail))

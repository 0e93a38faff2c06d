"""Documents by their `_id`, as the bytes that the database sent.

Bytes, because a document that has not changed since it was last read need not be decoded again: see `BoundedCache`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from struct import Struct
from typing import Any, cast

from bson import CodecOptions, ObjectId, decode
from pymongo.asynchronous.collection import AsyncCollection

from livestream_server.mongo.batcher import Batcher
from livestream_server.mongo.client import Document

_LENGTH = Struct("<i")
_ID_FIRST = b"\x07_id\x00"  # the database stores `_id` before all other fields; 7 is an ObjectId
_ID = slice(4 + len(_ID_FIRST), 4 + len(_ID_FIRST) + 12)


class DocumentLoader:
    """Reads documents of one collection; all who ask at the same time share one command."""

    def __init__(self, collection: AsyncCollection[Document], projection: Mapping[str, Any] | None = None) -> None:
        self._collection = collection
        self._projection = projection
        self._batcher = Batcher(self._read)
        self._codec: CodecOptions[Document] = collection.codec_options

    async def find(self, ids: Collection[str]) -> Mapping[str, bytes]:
        """The documents that exist of those with the given ids, and perhaps others."""
        return await self._batcher.load(ids)

    def decode(self, raw: bytes) -> Document:
        """What the bytes say."""
        return decode(raw, self._codec)

    async def _read(self, asked: Sequence[Collection[str]]) -> Sequence[Mapping[str, bytes]]:
        wanted = [ObjectId(each) for each in {each for ids in asked for each in ids}]
        query = {"_id": wanted[0]} if len(wanted) == 1 else {"_id": {"$in": wanted}}
        # One more than there can be, so that the cursor is at its end when the first batch is.
        batches = self._collection.find_raw_batches(query, self._projection, batch_size=len(wanted) + 1)
        found = {key: raw async for batch in batches for key, raw in split_documents(cast("bytes", batch))}
        return [found] * len(asked)


def split_documents(batch: bytes) -> Iterator[tuple[str, bytes]]:
    """The documents that lie in `batch` one behind the other, with their ids; raises ValueError for another `_id`."""
    at = 0
    while at < len(batch):
        (length,) = _LENGTH.unpack_from(batch, at)
        raw = batch[at : at + length]
        if not raw.startswith(_ID_FIRST, 4):
            raise ValueError("a document does not begin with an ObjectId as its _id")
        yield raw[_ID].hex(), raw
        at += length

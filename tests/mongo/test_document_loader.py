"""Documents by id, from the real store."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import ObjectId
from pymongo.errors import PyMongoError

from livestream_server.mongo import client as mongo
from livestream_server.mongo.document_loader import DocumentLoader, split_documents
from tests.support.environment import settings_for


@pytest.fixture
async def collection(mongo_uri: str, database_name: str, media: Path) -> AsyncIterator[Any]:
    settings = settings_for(mongo_uri, database_name, media).mongo
    async with mongo.connect(settings) as client:
        yield mongo.database(client, settings)[f"things_{secrets.token_hex(4)}"]


async def test_many_are_found_at_once_and_the_missing_are_absent(collection: Any) -> None:
    """A crowd that is larger than a batch of the driver (101) would lose some of its streams."""
    documents = [{"_id": ObjectId(), "n": n} for n in range(300)]
    await collection.insert_many(documents)
    ids = [str(each["_id"]) for each in documents]
    by_id = DocumentLoader(collection)
    found = await by_id.find([*ids, str(ObjectId())])
    assert {key: by_id.decode(raw)["n"] for key, raw in found.items()} == dict(zip(ids, range(300), strict=True))


async def test_a_projection_leaves_out_what_it_names(collection: Any) -> None:
    """Every join would carry the journal of its stream."""
    inserted = await collection.insert_one({"a": 1, "long": "x" * 1000})
    by_id = DocumentLoader(collection, {"long": 0})
    raw = (await by_id.find([str(inserted.inserted_id)]))[str(inserted.inserted_id)]
    assert by_id.decode(raw) == {"_id": inserted.inserted_id, "a": 1}


@pytest.mark.parametrize("document", [{"_id": "a" * 24}, {"a": 1}, {}])
def test_an_id_of_another_kind_or_place_is_noticed(document: dict[str, Any]) -> None:
    """Some bytes would be taken for an id, and one document for another."""
    with pytest.raises(ValueError, match="ObjectId"):
        list(split_documents(bson.encode(document)))


async def test_what_the_database_refuses_is_raised(collection: Any) -> None:
    """A failed read would look like a stream that does not exist."""
    by_id = DocumentLoader(collection, {"a": 1, "b": 0})  # no projection may both take and leave
    with pytest.raises(PyMongoError):
        await by_id.find([str(ObjectId())])

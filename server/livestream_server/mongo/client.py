"""One MongoDB client per process and event loop, with the read and write concerns that the stores rely on."""

import warnings
from collections.abc import Sequence
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import PyMongoError
from pymongo.monitoring import CommandListener
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from livestream_server.errors import UnusableSetting
from livestream_server.mongo import driver_patch
from livestream_server.settings import MongoSettings

__all__ = ["READ_CONCERN", "WRITE_CONCERN", "CommandListener", "Database", "Document", "connect", "database"]

Document = dict[str, Any]
Database = AsyncDatabase[Document]

# An acknowledged write is on the disks of a majority; a read sees nothing that could be rolled back.
WRITE_CONCERN = WriteConcern(w="majority", j=True)
READ_CONCERN = ReadConcern("majority")


def connect(settings: MongoSettings, *, listeners: Sequence[CommandListener] = ()) -> AsyncMongoClient[Document]:
    """A client that fails within seconds when the database is gone. It belongs to the loop that first uses it.

    Raises UnusableSetting for a connection string that is none, or has an option that would be ignored.
    """
    driver_patch.patch()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # how the driver ignores an option
            return AsyncMongoClient(
                settings.uri.get_secret_value(),
                appname="livestream",
                tz_aware=True,
                uuidRepresentation="standard",
                serverSelectionTimeoutMS=3_000,
                connectTimeoutMS=3_000,
                waitQueueTimeoutMS=3_000,
                event_listeners=list(listeners),
            )
    except (PyMongoError, ValueError, TypeError, UserWarning) as error:
        raise UnusableSetting(
            "MONGODB_URI: must be a connection string of MongoDB with options that it knows"
        ) from error


def database(client: AsyncMongoClient[Document], settings: MongoSettings) -> Database:
    """The service's database, whatever concerns the connection string asks for."""
    return client.get_database(settings.database, write_concern=WRITE_CONCERN, read_concern=READ_CONCERN)

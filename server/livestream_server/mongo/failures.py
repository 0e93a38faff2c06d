"""What the driver's exceptions mean to a caller, and how a call's deadline reaches the driver."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pymongo
from pymongo.errors import ConnectionFailure, NetworkTimeout, OperationFailure, PyMongoError

from livestream_server.errors import (
    DatabaseUnreachable,
    DeadlineExceeded,
    ResourceExhausted,
    ServiceError,
    Unavailable,
    UnusableSetting,
)


class DatabaseOverloaded(ResourceExhausted):
    """The database sheds load (label SystemOverloadedError, MongoDB 8.2 and later)."""

    reason = "DATABASE_OVERLOADED"

    def __init__(self) -> None:
        super().__init__("the service is busy; try again later")


def to_service_error(error: Exception) -> ServiceError | None:
    """The failure that the caller is told about, or None if `error` is not the driver's or is a bug of ours."""
    if not isinstance(error, PyMongoError):
        return None
    # The driver gives this label to failed connections too; only where the database says it, it is there and busy.
    if isinstance(error, OperationFailure) and error.has_error_label("SystemOverloadedError"):
        return DatabaseOverloaded()
    if isinstance(error, ConnectionFailure) and not isinstance(error, NetworkTimeout):
        return Unavailable()
    return DeadlineExceeded() if error.timeout else None


@contextmanager
def translate_start_failures() -> Iterator[None]:
    """Turn what the driver raises into one sentence without the connection string.

    Raises UnusableSetting for what no retry can help, such as a wrong password; DatabaseUnreachable otherwise.
    """
    try:
        yield
    except OperationFailure as error:
        raise UnusableSetting(f"MONGODB_URI: the database refuses to create the indexes (code {error.code})") from error
    except PyMongoError as error:
        raise DatabaseUnreachable("MONGODB_URI: the database does not answer") from error


def deadline(seconds: float) -> AbstractContextManager[None]:
    """Every command inside must end within `seconds`, all together."""
    return pymongo.timeout(seconds)

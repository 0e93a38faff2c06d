"""What the driver's exceptions mean to a caller, and how a call's deadline reaches the driver."""

from contextlib import AbstractContextManager

import pymongo
from pymongo.errors import ConnectionFailure, NetworkTimeout, PyMongoError

from livestream_server.errors import DeadlineExceeded, Exhausted, ServiceError, Unavailable


class DatabaseOverloaded(Exhausted):
    """The database sheds load (label SystemOverloadedError, MongoDB 8.2 and later)."""

    reason = "DATABASE_OVERLOADED"

    def __init__(self) -> None:
        super().__init__("the service is busy; try again later")


def as_service_error(error: Exception) -> ServiceError | None:
    """The failure that the caller is told about, or None if `error` is not the driver's or is a bug of ours."""
    if not isinstance(error, PyMongoError):
        return None
    if error.has_error_label("SystemOverloadedError"):
        return DatabaseOverloaded()
    if isinstance(error, ConnectionFailure) and not isinstance(error, NetworkTimeout):
        return Unavailable()
    return DeadlineExceeded() if error.timeout else None


def deadline(seconds: float) -> AbstractContextManager[None]:
    """Every command inside must end within `seconds`, all together."""
    return pymongo.timeout(seconds)

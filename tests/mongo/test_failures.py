"""What the driver's exceptions mean to a caller."""

import pytest
from pymongo.errors import (
    AutoReconnect,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
)

from livestream_server.errors import DeadlineExceeded, ServiceError, Unavailable
from livestream_server.mongo.failures import DatabaseOverloaded, to_service_error

BUSY = "SystemOverloadedError"


@pytest.mark.parametrize(
    ("error", "label", "meaning"),
    [
        (OperationFailure("rate limited", 462), BUSY, DatabaseOverloaded),
        (AutoReconnect("10.0.0.7:27017: reset"), "", Unavailable),
        (AutoReconnect("10.0.0.7:27017: reset"), BUSY, Unavailable),
        (ServerSelectionTimeoutError("no servers"), "", Unavailable),
        (WaitQueueTimeoutError("pool"), "", Unavailable),
        (NetworkTimeout("10.0.0.7:27017: timed out"), "", DeadlineExceeded),
        (NetworkTimeout("10.0.0.7:27017: timed out"), BUSY, DeadlineExceeded),
        (ExecutionTimeout("operation exceeded time limit", 50), "", DeadlineExceeded),
        (OperationFailure("a query of ours is wrong", 2), "", None),
        (ValueError("no failure of the driver"), "", None),
    ],
)
def test_a_failure_is_told_in_words_of_the_service(
    error: Exception, label: str, meaning: type[ServiceError] | None
) -> None:
    """A client repeats what is UNAVAILABLE; told RESOURCE_EXHAUSTED of a database that is gone, it would not."""
    if isinstance(error, PyMongoError) and label:
        error._add_error_label(label)
    told = to_service_error(error)
    assert type(told) is (meaning or type(None))
    assert str(error) not in str(told)

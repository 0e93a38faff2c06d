"""The service's clock. Whoever needs the time gets it as a `Clock`, so that tests can set it."""

from datetime import UTC, datetime, timedelta


def utc_now() -> datetime:
    """The present time in UTC, cut to the millisecond, as the database stores it."""
    now = datetime.now(UTC)
    return now - timedelta(microseconds=now.microsecond % 1000)

"""Where log lines go: to standard error; JSON for machines, columns for a terminal."""

import logging
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog

from livestream_server.settings import Settings


def configure(settings: Settings) -> None:
    """Set structlog up once per process."""
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    # Plain tracebacks: the pretty ones print local variables, and so tokens.
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(
        processors=[_json] if as_json else [_stamped, console],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level.upper()]),
        logger_factory=(
            structlog.BytesLoggerFactory(sys.stderr.buffer) if as_json else structlog.PrintLoggerFactory(sys.stderr)
        ),
        cache_logger_on_first_use=True,
    )


def _stamped(_logger: object, level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Structlog's own two processors for this take longer than all else that is done for a line."""
    event["level"] = level
    event["timestamp"] = datetime.now(UTC).isoformat()[:-6] + "Z"
    return event


def _json(logger: object, level: str, event: MutableMapping[str, Any]) -> bytes:
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(logger, level, event)
    return orjson.dumps(_stamped(logger, level, event), default=repr)

"""Where log lines go: to standard error; JSON for machines, columns for a terminal."""

import asyncio
import logging
import sys
import threading
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog

from livestream_server.settings import Settings

SOON = 0.05  # seconds


def configure(settings: Settings) -> None:
    """Set structlog up once per process."""
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    # Plain tracebacks: the pretty ones print local variables, and so tokens.
    console = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(
        processors=[_json] if as_json else [_add_timestamp, console],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level.upper()]),
        logger_factory=(lambda *_: _lines) if as_json else structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def flush() -> None:
    """Write what is waiting; for the end of a process."""
    _lines.flush()


class _Lines:
    """Writes the lines of a moment together.

    Each write lets go of the interpreter, and to get it back takes longer than all else that is done for a line. So
    lines wait for up to `SOON`, which is what a killed process may leave unsaid; from a warning on they do not wait.
    """

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._lock = threading.Lock()
        self._timer: asyncio.TimerHandle | None = None

    def debug(self, line: bytes) -> None:
        """Write `line` soon."""
        self._waiting.append(line)
        if self._timer is None:
            try:
                self._timer = asyncio.get_running_loop().call_later(SOON, self.flush)
            except RuntimeError:  # outside of a loop
                self.flush()

    def warning(self, line: bytes) -> None:
        """Write `line` now."""
        self._waiting.append(line)
        self.flush()

    info = debug
    error = critical = exception = warning

    def flush(self) -> None:
        """Write what is waiting."""
        with self._lock:
            self._timer = None
            lines, self._waiting = self._waiting, []
            if lines:
                sys.stderr.buffer.write(b"\n".join([*lines, b""]))
                sys.stderr.buffer.flush()


_lines = _Lines()


def _add_timestamp(_logger: object, level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Structlog's own two processors for this take longer than all else that is done for a line."""
    event["level"] = level
    event["timestamp"] = datetime.now(UTC).isoformat()[:-6] + "Z"
    return event


def _json(logger: object, level: str, event: MutableMapping[str, Any]) -> bytes:
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(logger, level, event)
    return orjson.dumps(_add_timestamp(logger, level, event), default=repr)

"""One structured log line and the usual gRPC metrics for every call.

The metrics carry the names of the Go and Java ecosystems' Prometheus interceptors, so dashboards fit as they are.
"""

import time

import grpc
import structlog
from prometheus_client import Counter, Gauge, Histogram

from livestream_server.transport.call import Call
from livestream_server.transport.methods import Method

_LABELS = ("grpc_type", "grpc_service", "grpc_method")
_STARTED = Counter("grpc_server_started", "Calls started on the server.", _LABELS)
_HANDLED = Counter("grpc_server_handled", "Calls completed on the server.", (*_LABELS, "grpc_code"))
_SENT = Counter("grpc_server_msg_sent", "Answers sent by streams.", _LABELS)
_SECONDS = Histogram(
    "grpc_server_handling_seconds",
    "Seconds from a call's first byte to its answer.",
    _LABELS,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_REFUSED = Counter("livestream_calls_refused", "Calls refused by a limit.", ("reason",))
IN_FLIGHT = Gauge("livestream_calls_in_flight", "Unary calls being answered now.", multiprocess_mode="livesum")
STREAMS = Gauge("livestream_streams_open", "Server streams that are open now.", multiprocess_mode="livesum")

_log = structlog.get_logger("livestream.calls")


class Observer:
    """Counts, times and logs the calls of one method."""

    def __init__(self, method: Method, *, streams: bool = False) -> None:
        labels = ("server_stream" if streams else "unary", method.service, method.name)
        self._open = STREAMS if streams else IN_FLIGHT
        self._sent = _SENT.labels(*labels)
        self._started = _STARTED.labels(*labels)
        self._seconds = _SECONDS.labels(*labels)
        self._handled = {code: (code.name, _HANDLED.labels(*labels, code.name)) for code in grpc.StatusCode}

    def start(self) -> float:
        """Count a call; the answer is for `finish`."""
        self._started.inc()
        self._open.inc()
        return time.perf_counter()

    def finish(self, call: Call, since: float, code: grpc.StatusCode, reason: str, cause: str | None) -> None:
        """Count, time and log the call. `cause` is for the log alone: why a token was refused, for example."""
        seconds = time.perf_counter() - since
        self._open.dec()
        name, handled = self._handled[code]
        handled.inc()
        self._seconds.observe(seconds)
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            _REFUSED.labels(reason).inc()
        if call.sent:
            self._sent.inc(call.sent)
        said = {
            "method": call.method,
            "code": name,
            "ms": round(seconds * 1000, 2),
            "caller": call.caller.id if call.caller else None,
            "request_id": call.request_id,
            "peer": call.peer,
        }
        if call.sent is not None:
            said["sent"] = call.sent
        if reason:
            said["reason"] = reason
        if cause:
            said["cause"] = cause
        _log.info("call", **said)

    def log_unexpected(self, call: Call, error: Exception) -> None:
        """Log what the caller is not told: the exception with its traceback."""
        _log.error("unexpected failure", method=call.method, request_id=call.request_id, exc_info=error)

"""The operations port: probes with detail, and Prometheus metrics, for one process or for all workers together.

It has a listener and threads of its own, so that no load on the public ports can keep an operator out.
"""

import json
import os
import socket
import socketserver
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from livestream_run.addresses import Address

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
STALLED_SECONDS = 10.0
"""A worker that has not reported for so long does not count as ready."""

MAX_CONNECTIONS = 32
CONNECTION_SECONDS = 10.0

Report = Mapping[str, Any]
"""What a worker says of itself each second: `ready` is a boolean, the rest is detail."""


class Reports:
    """The last report of every worker: files that the workers write, and whoever serves the port reads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, report: Report) -> None:
        """Replace the last report of this process."""
        path = self._directory / f"report-{os.getpid()}.json"
        unfinished = path.with_suffix(".new")
        unfinished.write_text(json.dumps({"worker": os.getpid(), **report, "at": time.monotonic()}))
        unfinished.replace(path)

    def read(self) -> Sequence[dict[str, Any]]:
        """The last report of each worker that has not ended."""
        found = []
        for path in sorted(self._directory.glob("report-*.json")):
            with suppress(FileNotFoundError):
                found.append(json.loads(path.read_text()))
        return found

    def forget(self, worker: int) -> None:
        """Drop what a worker that ended said of its present; what it counted stays."""
        for suffix in ("json", "new"):
            (self._directory / f"report-{worker}.{suffix}").unlink(missing_ok=True)
        if MULTIPROCESS in os.environ:
            from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415 - not before the directory is

            mark_process_dead(worker)  # type: ignore[no-untyped-call]  # untyped in the package


@contextmanager
def serving(address: Address, *, share: bool) -> Iterator[Reports]:
    """Answer at `address` while the block runs. Must be entered before prometheus_client is imported.

    `share` lets workers that are forked in the block count into one place. Raises OSError.
    """
    with tempfile.TemporaryDirectory(prefix="livestream-operations-") as directory:
        if share:
            os.environ[MULTIPROCESS] = directory
        reports = Reports(Path(directory))
        server = _Server(address, partial(_answer, reports, _metrics()))
        threading.Thread(target=server.serve_forever, name="operations", daemon=True).start()
        try:
            yield reports
        finally:
            server.shutdown()
            server.server_close()
            os.environ.pop(MULTIPROCESS, None)


def readiness(reports: Sequence[Mapping[str, Any]], now: float) -> tuple[bool, Sequence[Report]]:
    """Whether there are workers and all of them can work, and their reports; `now` is of the monotonic clock."""
    told = []
    for each in reports:
        stalled = now - each["at"] > STALLED_SECONDS
        detail = {name: value for name, value in each.items() if name != "at"}
        told.append({**detail, "ready": each["ready"] and not stalled, "stalled": stalled})
    return bool(told) and all(each["ready"] for each in told), told


def _answer(
    reports: Reports, metrics: Callable[..., Iterable[bytes]], environ: dict[str, Any], start_response: Any
) -> Iterable[bytes]:
    """The WSGI application."""
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
    value: dict[str, Any]
    if path == "/metrics":
        return metrics(environ, start_response)
    if path not in ("/healthz", "/readyz"):
        status, value = "404 Not Found", {"status": "not found"}
    elif method not in ("GET", "HEAD"):
        status, value = "405 Method Not Allowed", {"status": "only GET and HEAD are answered here"}
    elif path == "/healthz":
        status, value = "200 OK", {"status": "ok"}
    else:
        ready, workers = readiness(reports.read(), time.monotonic())
        status = "200 OK" if ready else "503 Service Unavailable"
        value = {"status": "ok" if ready else "unavailable", "workers": workers}
    body = json.dumps(value).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [] if method == "HEAD" else [body]


def _metrics() -> Callable[..., Iterable[bytes]]:
    """A WSGI application that answers with the metrics of this process, or of all workers."""
    from prometheus_client import REGISTRY, CollectorRegistry, make_wsgi_app  # noqa: PLC0415 - after `share`
    from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415 - likewise

    registry = REGISTRY
    if MULTIPROCESS in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # untyped in the package
    return make_wsgi_app(registry)


class _Handler(WSGIRequestHandler):
    timeout = CONNECTION_SECONDS

    def log_message(self, *_: object) -> None:
        """Log nothing: probes come every second."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    """Answers each connection in a thread, of which there are at most MAX_CONNECTIONS; more are closed."""

    daemon_threads = True

    def __init__(self, address: Address, application: Any) -> None:
        host = address.host or "0.0.0.0"  # noqa: S104 - what an empty host asks for
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__((host, address.port), _Handler)
        self.set_app(application)

    def server_bind(self) -> None:
        """As the bases do, without asking the DNS for our name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.server_address[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of ours."""

"""Prometheus metrics on an address of their own, for one process or for all workers together."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from livestream_run.addresses import Address

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"


@contextmanager
def shared_by_workers() -> Iterator[None]:
    """Let forked workers count into one place. Must be entered before prometheus_client is imported."""
    with tempfile.TemporaryDirectory(prefix="livestream-metrics-") as directory:
        os.environ[MULTIPROCESS] = directory
        try:
            yield
        finally:
            del os.environ[MULTIPROCESS]


def serve(address: Address) -> None:
    """Answer GET /metrics at `address`, from a thread, until the process ends."""
    from prometheus_client import CollectorRegistry, start_http_server  # noqa: PLC0415 - not before the fork
    from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415 - likewise

    host = address.host or "0.0.0.0"  # noqa: S104 - what an empty host asks for
    if MULTIPROCESS not in os.environ:
        start_http_server(address.port, host)
        return
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # untyped in the package
    start_http_server(address.port, host, registry=registry)


def forget(worker: int) -> None:
    """Drop what a worker that ended said of its present, such as its calls in flight; what it counted stays."""
    if MULTIPROCESS in os.environ:
        from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415 - only where it is needed

        mark_process_dead(worker)  # type: ignore[no-untyped-call]  # untyped in the package

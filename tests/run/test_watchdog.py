"""A loop that stands still is ended and replaced; one that only seems to is not."""

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from livestream_run import watchdog
from livestream_run.watchdog import ABORT_SECONDS, LOOK_SECONDS, START_STALLS, Watchdog
from tests.support.environment import LiveService, environment_for, free_port, running

PROGRAM = Path(__file__).with_name("stalling.py")
STALL = 1.0
SERVICE_STALL = 4.0  # a start on a busy machine is no stall
WAIT = 30
STALLS = {"a sleep": signal.SIGUSR1, "a pattern that holds the GIL": signal.SIGUSR2, "a stop": signal.SIGSTOP}


class FakeHeartbeat:
    value = 0


class Observed:
    """A watchdog on a fake heartbeat and clock, and the signals that it sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stall_seconds: float = 10, pid: int = 4711) -> None:
        self.heart, self.sent, self.now = FakeHeartbeat(), [], 1000.0
        self._watchdog = Watchdog(pid, self.heart, stall_seconds)
        monkeypatch.setattr(watchdog.os, "kill", lambda _pid, number: self.sent.append(number))

    def pass_(self, seconds: float, *, beats: bool = False, every: float = LOOK_SECONDS) -> None:
        for _ in range(round(seconds / every)):
            self.now += every
            self.heart.value = self.heart.value % 254 + 1 if beats else self.heart.value
            self._watchdog.look(self.now)


def test_a_heart_that_stands_still_is_told_by_sigabrt_and_then_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGABRT prints the stacks; a process that is stopped does not even notice it."""
    seen = Observed(monkeypatch)
    seen.pass_(60, beats=True)
    seen.pass_(9.5)
    assert not seen.sent
    seen.pass_(1)
    assert seen.sent == [signal.SIGABRT]
    seen.pass_(ABORT_SECONDS + 1, beats=True)  # what beats now is ended all the same
    assert set(seen.sent[1:]) == {signal.SIGKILL}


def test_a_start_may_take_its_time_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports from a slow disk are no stall; but a start that hangs would be a worker less for ever."""
    seen = Observed(monkeypatch, stall_seconds=10)
    seen.pass_(10 * START_STALLS - 1)
    assert not seen.sent
    seen.pass_(2)
    assert seen.sent == [signal.SIGABRT]


def test_zero_seconds_turn_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator's word for never."""
    seen = Observed(monkeypatch, stall_seconds=0)
    seen.pass_(1, beats=True)
    seen.pass_(600)
    assert not seen.sent


def test_time_in_which_nobody_looked_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a paused machine goes on, every process would be killed."""
    seen = Observed(monkeypatch)
    seen.pass_(1, beats=True)
    seen.pass_(1)
    seen.pass_(30 * 3600, every=3600)
    assert not seen.sent
    seen.pass_(1, beats=True)
    seen.pass_(11)
    assert seen.sent == [signal.SIGABRT]


def test_a_clock_that_goes_backwards_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what certainly passed may count."""
    seen = Observed(monkeypatch)
    seen.pass_(1, beats=True)
    seen.now -= 500
    seen.pass_(5)
    assert not seen.sent


def test_a_process_under_a_tracer_is_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has attached gdb to a process that stands still wants to look at it."""
    monkeypatch.setattr(watchdog, "_is_traced", lambda _pid: True)
    seen = Observed(monkeypatch)
    seen.pass_(1, beats=True)
    seen.pass_(600)
    assert not seen.sent


class Stalling:
    """stalling.py in a process group of its own."""

    def __init__(self, *arguments: object, before: tuple[str, ...] = ()) -> None:
        self.process = subprocess.Popen(
            [*before, sys.executable, PROGRAM, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def serving(self) -> int:
        """The id of the next process that serves."""
        return int(self.process.stdout.readline())

    def end(self) -> tuple[int, str]:
        """The exit code and what was printed on standard error."""
        _, errors = self.process.communicate(timeout=WAIT)
        return self.process.returncode, errors


@contextmanager
def stalling(*arguments: object, before: tuple[str, ...] = ()) -> Iterator[Stalling]:
    program = Stalling(*arguments, before=before)
    try:
        yield program
    finally:
        if program.process.poll() is None:
            os.killpg(program.process.pid, signal.SIGCONT)
            os.killpg(program.process.pid, signal.SIGKILL)
        program.process.communicate()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("stall", STALLS)
def test_a_worker_that_stands_still_is_replaced(stall: str) -> None:
    """It would keep its share of the new connections, and nobody would answer them."""
    with stalling(2, STALL) as program:
        victim, other = program.serving(), program.serving()
        os.kill(victim, STALLS[stall])
        successor = program.serving()
        assert not alive(victim)
        assert alive(other)
        assert successor not in (victim, other)
        program.process.terminate()
        code, errors = program.end()
    assert code == 0
    assert f"process {victim} stood still" in errors
    if stall != "a stop":  # a process that is stopped can print nothing
        assert "stalling.py" in errors
        assert f" in {'sleep' if stall == 'a sleep' else 'match'}\n" in errors


@pytest.mark.parametrize("stall", STALLS)
def test_a_process_that_is_the_only_one_is_ended(stall: str) -> None:
    """Whatever supervises it starts another; a process that stands still answers no signal but this."""
    with stalling(1, STALL) as program:
        os.kill(program.serving(), STALLS[stall])
        code, errors = program.end()
    assert code == (-signal.SIGKILL if stall == "a stop" else signal.SIGABRT)
    assert ("stalling.py" in errors) == (stall != "a stop")


def test_a_start_that_hangs_is_ended_with_a_word() -> None:
    """Where it hangs is what the operator must know."""
    with stalling(1, STALL / 5, "late") as program:
        program.serving()
        code, errors = program.end()
    assert code == signal.SIGABRT
    assert " in sleep\n" in errors


@pytest.mark.skipif(
    not shutil.which("unshare") or subprocess.run(["unshare", "--pid", "--fork", "true"], check=False).returncode != 0,
    reason="needs the right to make a PID namespace",
)
def test_the_process_of_a_container_is_ended_as_well() -> None:
    """The kernel keeps from the process with id 1 every signal that it does not handle, SIGKILL included."""
    with stalling(1, STALL, before=("unshare", "--pid", "--fork", "--kill-child")) as program:
        assert program.serving() == 1
        (inner,) = Path(f"/proc/{program.process.pid}/task/{program.process.pid}/children").read_text().split()
        os.kill(int(inner), signal.SIGUSR2)
        code, errors = program.end()
    assert code == signal.SIGABRT
    assert "stalling.py" in errors


@pytest.mark.parametrize("workers", [1, 2])
def test_a_group_that_was_stopped_goes_on(workers: int) -> None:
    """A paused machine, or Ctrl-Z and `fg`: nobody stood still, for nobody could look."""
    with stalling(workers, STALL) as program:
        serving = [program.serving() for _ in range(workers)]
        for _ in range(2):
            os.killpg(program.process.pid, signal.SIGSTOP)
            time.sleep(2 * STALL)
            os.killpg(program.process.pid, signal.SIGCONT)
            time.sleep(2 * STALL)
        assert all(map(alive, serving))
        program.process.terminate()
        code, errors = program.end()
    assert (code, errors) == (0, "")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_debugged_process_may_stand_still(workers: int) -> None:
    """Nobody can step through a process that is killed while they read."""
    with stalling(workers, STALL, "trace") as program:
        serving = [program.serving() for _ in range(workers)]
        os.kill(serving[0], signal.SIGUSR1)
        time.sleep(3 * STALL)
        assert all(map(alive, serving))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("after", [0.0, 0.02, 0.1, 0.3])
def test_a_stop_comes_at_any_time(number: signal.Signals, after: float) -> None:
    """A stop that meets the supervisor between two steps must neither be lost nor leave a worker behind."""
    with stalling(3, STALL) as program:
        serving = {program.serving()}  # the others are being started
        time.sleep(after)
        os.kill(program.process.pid, number)
        output, errors = program.process.communicate(timeout=WAIT)
    serving |= set(map(int, output.split()))
    assert (program.process.returncode, errors) == (0, "")
    assert not any(map(alive, serving))


def test_a_stop_meets_a_worker_that_stands_still() -> None:
    """It hears no SIGTERM; the others end at once, and it when its time is over."""
    with stalling(2, STALL) as program:
        victim, other = program.serving(), program.serving()
        os.kill(victim, signal.SIGUSR2)
        program.process.terminate()
        code, _ = program.end()
    assert code == 0
    assert not alive(victim)
    assert not alive(other)


@pytest.fixture
def environment(mongo_uri: str, database_name: str, media: Path, engine: str) -> dict[str, str]:
    chosen = environment_for(mongo_uri, database_name, media, engine)
    return {**chosen, "LIVESTREAM_STALL_SECONDS": str(SERVICE_STALL)}


def answered(url: str) -> bool:
    """Whether a new connection gets an answer."""
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.mark.extended_on("native")
def test_a_stopped_worker_of_the_service_is_replaced(environment: dict[str, str]) -> None:
    """Half of all new connections would time out for ever."""
    with running(LiveService(environment, workers=2)) as service:
        victim, other = service.worker_pids()
        os.kill(victim, signal.SIGSTOP)
        served = service._served()
        until(lambda: not alive(victim) and service._served() > served)
        assert other in service.worker_pids()
        assert all(answered(service.http_url) for _ in range(50))


@pytest.mark.extended_on("native")
def test_a_service_of_one_process_is_ended_when_it_stands_still(environment: dict[str, str]) -> None:
    """An orchestrator sees at once that it must start another."""
    with running(LiveService(environment)) as service:
        os.kill(service.process.pid, signal.SIGSTOP)
        assert service.process.wait(WAIT) == -signal.SIGKILL


@contextmanager
def gateway(workers: int) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The gateway alone, with the bug of `hanging.py`, and its address."""
    port = free_port()
    command = f"gateway --target 127.0.0.1:{free_port()} --http 127.0.0.1:{port} --workers {workers}"
    process = subprocess.Popen(
        [sys.executable, PROGRAM.with_name("hanging.py"), *command.split()],
        env={**os.environ, "LIVESTREAM_STALL_SECONDS": str(SERVICE_STALL)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        for _ in range(workers):
            assert b"serving" in process.stdout.readline()
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


def hang(url: str) -> None:
    """Send a request that stops the loop of the process that takes it, and wait until that process is gone."""
    with pytest.raises(OSError):  # noqa: PT011 - closed or reset
        urllib.request.urlopen(f"{url}/hang", timeout=WAIT)


def test_a_request_that_stops_a_worker_takes_nobody_with_it_for_long() -> None:
    """The worker that stands still kept its share of new connections for ever: a third of them timed out."""
    with gateway(2) as (process, url):
        hang(url)
        assert b"serving" in process.stdout.readline()
        assert all(answered(url) for _ in range(50))
        process.terminate()
        _, errors = process.communicate(timeout=WAIT)
    assert process.returncode == 0
    assert b"stood still" in errors
    assert b" in check_slowly\n" in errors


def test_a_request_that_stops_the_only_process_ends_it() -> None:
    """SIGTERM had no effect: it had to be found and killed by hand."""
    with gateway(1) as (process, url):
        hang(url)
        _, errors = process.communicate(timeout=WAIT)
    assert process.returncode == signal.SIGABRT
    assert b" in check_slowly\n" in errors

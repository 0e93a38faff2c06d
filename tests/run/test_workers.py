"""Workers and the process that watches over them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.support.environment import LiveService, environment_for, running


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not fetched by its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_workers_end_with_their_supervisor(mongo_uri: str, database_name: str, media: Path, engine: str) -> None:
    """Orphans would hold the ports, and nobody would ever stop them."""
    with running(LiveService(environment_for(mongo_uri, database_name, media, engine), workers=2)) as service:
        workers = service.worker_pids()
        assert len(workers) == 2
        workers.append(service.forkserver_pid())
        os.kill(service.process.pid, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while any(map(alive, workers)) and time.monotonic() < deadline:
            time.sleep(0.1)
        left = list(filter(alive, workers))
        for each in left:
            os.kill(each, signal.SIGKILL)
        assert not left


def test_the_supervisor_takes_no_other_child_for_a_worker() -> None:
    """It also has the forkserver of the decoders: whose end is no worker's, and must not become one worker more."""
    script = (
        "import os, signal, subprocess, time\n"
        "from livestream_run.workers import supervise\n"
        "others, parent = [], os.getpid()\n"
        "def turn():\n"
        "    if len(others) < 3: others.append(subprocess.Popen(['true']))\n"
        "    elif time.monotonic() > start + 2: os.kill(parent, signal.SIGTERM)\n"
        "start = time.monotonic()\n"
        "ended = []\n"
        "code = supervise(1, lambda _heart: time.sleep(60) or 0, stop_within=0, stall_seconds=0, on_end=ended.append, on_turn=turn)\n"
        "print(code, len(ended), all(each.poll() is not None for each in others))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "0 1 True\n"
    assert "starting another" not in done.stderr

"""Workers and the process that watches over them."""

import os
import signal
import time
from pathlib import Path

from tests.support.world import LiveService, environment_for, running


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
        os.kill(service.process.pid, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while any(map(alive, workers)) and time.monotonic() < deadline:
            time.sleep(0.1)
        left = list(filter(alive, workers))
        for each in left:
            os.kill(each, signal.SIGKILL)
        assert not left

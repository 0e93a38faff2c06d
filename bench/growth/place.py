"""Where a run takes place: its files, its cores, its length, and the programs that it starts."""

import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from bench import population, stub
from bench.processes import START_SECONDS, NotStarted, Program, free_port, running
from bench.servers import Server


@dataclass(frozen=True, slots=True)
class Place:
    """One run."""

    directory: Path
    server_core: int
    load_core: int
    rounds: int
    seconds: float
    _started: list[int] = field(default_factory=list)
    """How many workers each service has."""

    def crowd(self, stack: ExitStack, *, streams: int, participants: int = 0) -> "Crowd":
        """The database of `bench.growth.stub`, until the stack ends."""
        asked = ("--streams", str(streams), "--participants", str(participants))
        program = self._python(stack, self.load_core, "bench.growth.stub", *asked)
        port = program.printed_port()
        return Crowd(program, stub.uri(port), port, stack.enter_context(closing(stub.Counts(port))))

    def service(self, stack: ExitStack, mongo_uri: str, *, workers: int = 1, **environment: str) -> Server:
        """`livestream-server serve`, until the stack ends.

        It remembers users for longer than usual: else a slow minute of the machine would show as more reads.
        """
        grpc_port, http_port = free_port(), free_port()
        addresses = ("--grpc", f"127.0.0.1:{grpc_port}", "--http", f"127.0.0.1:{http_port}")
        asked = ("serve", *addresses, "--workers", str(workers))
        usual = population.environment(mongo_uri, self.directory / "media") | {"LIVESTREAM_USER_CACHE_SECONDS": "600"}
        environment = usual | environment
        program = self._python(stack, self.server_core, "livestream_run", *asked, **environment)
        program.wait_until_ready(http_port)
        self._started.append(workers)
        self._wait_for_workers()
        return Server((program,), grpc_port, http_port)

    def _wait_for_workers(self) -> None:
        """One of them being ready says nothing of the others."""
        deadline = time.monotonic() + START_SECONDS
        log = self.directory / "livestream_run.log"
        while log.read_text().count('"event":"serving"') < sum(self._started):
            if time.monotonic() > deadline:
                raise NotStarted("not all workers serve")
            time.sleep(0.05)

    def _python(self, stack: ExitStack, core: int, module: str, *arguments: str, **environment: str) -> Program:
        command = [sys.executable, "-m", module, *arguments]
        log = self.directory / f"{module}.log"
        return stack.enter_context(running(command, core=core, log=log, environment=environment))


@dataclass(frozen=True, slots=True)
class Crowd:
    """A running stub."""

    program: Program
    uri: str
    port: int
    counts: stub.Counts

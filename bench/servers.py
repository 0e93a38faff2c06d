"""The servers that are measured, each a program of its own on the server's core."""

import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from bench import population
from bench.processes import Program, free_port, running

from livestream_server.settings import Settings


class Unavailable(Exception):
    """A server cannot be measured here; the message says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """Programs that answer together, and where."""

    programs: tuple[Program, ...]
    grpc_port: int = 0
    http_port: int = 0


class Servers:
    """Starts each server when it is first asked for; they end with `stack`."""

    def __init__(self, stack: ExitStack, *, core: int, place: Path, mongo_uri: str) -> None:
        self._stack = stack
        self._core = core
        self._place = place
        self._mongo_uri = mongo_uri
        self._started: dict[str, Server] = {}
        self._starts: Mapping[str, Callable[[], Server]] = {
            "floor": self._floor,
            "service": self._service,
            "service on native": lambda: self._service("native"),
            "split": self._split,
        }

    def get(self, name: str) -> Server:
        """Raises Unavailable, or NotStarted for one that should work here."""
        if name not in self._started:
            self._started[name] = self._starts[name]()
        return self._started[name]

    def _floor(self) -> Server:
        program = self._program("bench.floor")
        return Server((program,), grpc_port=program.printed_port())

    def _service(self, engine: str = "grpcio") -> Server:
        """`livestream-server serve`, with both listeners."""
        if engine == "native" and not find_spec("pygrpc_native"):
            raise Unavailable("pygrpc_native is not installed")
        if engine == "native" and "engine" not in Settings.model_fields:
            raise Unavailable("this version of the service has no choice of engines")
        grpc_port, http_port = free_port(), free_port()
        addresses = ("--grpc", f"127.0.0.1:{grpc_port}", "--http", f"127.0.0.1:{http_port}")
        environment = population.environment(self._mongo_uri, self._place / "media") | {"LIVESTREAM_ENGINE": engine}
        program = self._program("livestream_run", "serve", *addresses, **environment)
        program.wait_until_ready(http_port)
        return Server((program,), grpc_port, http_port)

    def _split(self) -> Server:
        """A gateway in a process of its own, before the service of the other rows."""
        service, http_port = self.get("service"), free_port()
        target = f"127.0.0.1:{service.grpc_port}"
        program = self._program("livestream_run", "gateway", "--target", target, "--http", f"127.0.0.1:{http_port}")
        program.wait_until_ready(http_port)
        return Server((program, *service.programs), service.grpc_port, http_port)

    def _program(self, module: str, *arguments: str, **environment: str) -> Program:
        command = [sys.executable, "-m", module, *arguments]
        log = self._place / f"{module}-{len(self._started)}.log"
        return self._stack.enter_context(running(command, core=self._core, log=log, environment=environment))

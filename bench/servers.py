"""The servers that are measured, each a program of its own on the server's core."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from bench import population
from bench.processes import Program, free_port, running
from bench.without import PIECES

_UVICORN = ("-m", "uvicorn", "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")
_GUNICORN = ("-m", "gunicorn", "--workers", "2", "--no-control-socket")
EXPRESS = Path(__file__).parent / "peers" / "express"
_AGORA = {"APP_ID": population.APP_ID, "APP_CERTIFICATE": population.CERTIFICATE}


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
            **{f"service without {piece}": partial(self._service, "native", piece) for piece in PIECES},
            "token only": self._token_only,
            "token only on native": lambda: self._token_only("native"),
            "raw ASGI": self._raw_asgi,
            "FastAPI, async": lambda: self._fastapi("async"),
            "FastAPI, sync": lambda: self._fastapi("sync"),
            "Flask": self._flask,
            "Express": self._express,
        }

    def get(self, name: str) -> Server:
        """Raises Unavailable, or NotStarted for one that should work here."""
        if name not in self._started:
            self._started[name] = self._starts[name]()
        return self._started[name]

    def _floor(self) -> Server:
        program = self._python("bench.floor")
        return Server((program,), grpc_port=program.printed_port())

    def _service(self, engine: str = "grpcio", without: str = "") -> Server:
        """`livestream-server serve`, with both listeners; perhaps with one of the PIECES taken out."""
        grpc_port, http_port = free_port(), free_port()
        addresses = ("--grpc", f"127.0.0.1:{grpc_port}", "--http", f"127.0.0.1:{http_port}")
        module = ["bench.without", without] if without else ["livestream_run"]
        program = self._python(*module, "serve", *addresses, **self._environment(engine))
        program.wait_until_ready(http_port)
        return Server((program,), grpc_port, http_port)

    def _split(self) -> Server:
        """A gateway in a process of its own, before the service of the other rows."""
        service, http_port = self.get("service"), free_port()
        target = f"127.0.0.1:{service.grpc_port}"
        program = self._python("livestream_run", "gateway", "--target", target, "--http", f"127.0.0.1:{http_port}")
        program.wait_until_ready(http_port)
        return Server((program, *service.programs), service.grpc_port, http_port)

    def _token_only(self, engine: str = "grpcio") -> Server:
        grpc_port, http_port = free_port(), free_port()
        program = self._python("bench.token_only", str(grpc_port), str(http_port), **self._environment(engine))
        program.wait_until_ready(http_port)
        return Server((program,), grpc_port, http_port)

    def _environment(self, engine: str) -> dict[str, str]:
        """Raises Unavailable if the engine is not there."""
        if engine == "native" and not find_spec("pygrpc_native"):
            raise Unavailable("pygrpc_native is not installed")
        return population.environment(self._mongo_uri, self._place / "media") | {"LIVESTREAM_ENGINE": engine}

    def _raw_asgi(self) -> Server:
        return self._over_http(*_UVICORN, "bench.raw_asgi:app")

    def _fastapi(self, colour: str) -> Server:
        environment = population.environment(self._mongo_uri, self._place / "media")
        return self._over_http(*_UVICORN, f"bench.peers.fastapi_{colour}:app", **environment)

    def _flask(self) -> Server:
        return self._over_http(
            "-m", "gunicorn", "--workers", "2", "--no-control-socket", "bench.peers.flask_token:app", **_AGORA
        )

    def _over_http(self, *arguments: str, **environment: str) -> Server:
        """A Python program that takes its port as uvicorn and gunicorn do."""
        port = free_port()
        where = ("--bind", f"127.0.0.1:{port}") if "gunicorn" in arguments else ("--port", str(port))
        program = self._program([sys.executable, *arguments, *where], **environment)
        program.wait_until_ready(port, "/healthz")
        return Server((program,), http_port=port)

    def _express(self) -> Server:
        node, npm = shutil.which("node"), shutil.which("npm")
        if not node or not npm:
            raise Unavailable("node and npm are not installed")
        if not EXPRESS.joinpath("node_modules").exists():
            npm_ci = subprocess.run(
                [npm, "ci", "--no-fund", "--no-audit"], cwd=EXPRESS, check=False, capture_output=True
            )
            if npm_ci.returncode:
                raise Unavailable("npm cannot install its packages")
        port = free_port()
        program = self._program([node, str(EXPRESS / "server.js")], **_AGORA, PORT=str(port), NODE_ENV="production")
        program.wait_until_ready(port, "/healthz")
        return Server((program,), http_port=port)

    def _python(self, module: str, *arguments: str, **environment: str) -> Program:
        return self._program([sys.executable, "-m", module, *arguments], **environment)

    def _program(self, command: Sequence[str], **environment: str) -> Program:
        log = self._place / f"server-{len(self._started)}.log"
        return self._stack.enter_context(running(command, core=self._core, log=log, environment=environment))

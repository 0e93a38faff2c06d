"""`python -m bench`: how fast the service is, beside a hello-world server, measured in one run on this machine.

The servers are pinned to one core; the load and the database stub to another. Every reply is checked: the run fails
if one is wrong. Believe ratios within a run rather than figures of two runs.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop
from bench import calls, http1, http2, population, stub, table
from bench.load import Call, Shape
from bench.processes import NotStarted, Program, free_port, pinned, running
from bench.rounds import Row, WrongReply, measure
from pymongo import MongoClient

from livestream_run.dev.database import EmbeddedDatabase
from livestream_server.mongo.client import Document

GRPC = Shape(http2.Connection, connections=8, width=4)
HTTP = Shape(http1.Connection, connections=32, width=1)

EMBEDDED_NEWCOMERS = 3_000
EMBEDDED_ROUNDS = 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="alternating rounds (default: 5)")
    parser.add_argument("--seconds", type=float, default=1.75, help="per row and round (default: 1.75)")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    print(table.setting(), flush=True)
    try:
        with tempfile.TemporaryDirectory(prefix="livestream-bench-") as place, pinned(cores[-1]):
            bench = Bench(Path(place), cores[0], cores[-1], options.rounds, options.seconds)
            bench.on_the_stub()
            bench.on_the_embedded_database()
    except (NotStarted, WrongReply) as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


@dataclass(frozen=True, slots=True)
class Service:
    """A running `livestream-server serve`."""

    program: Program
    grpc_port: int
    http_port: int

    def grpc(self, name: str, wanted: Iterator[Call]) -> Row:
        return Row(f"{name}, gRPC", self.program, GRPC, self.grpc_port, wanted)

    def http(self, name: str, wanted: Iterator[Call]) -> Row:
        return Row(f"{name}, HTTP", self.program, HTTP, self.http_port, wanted)


@dataclass(frozen=True, slots=True)
class Bench:
    """One run: where its files are, which cores it uses, how long it takes."""

    place: Path
    server_core: int
    load_core: int
    rounds: int
    seconds: float

    def on_the_stub(self) -> None:
        with ExitStack() as stack:
            database = stack.enter_context(self._program("bench.stub", core=self.load_core))
            port = database.printed_port()
            counts = stack.enter_context(closing(stub.Counts(port)))
            floor = stack.enter_context(self._floor())
            service = stack.enter_context(self._service(stub.uri(port)))
            rows = [
                floor,
                service.grpc("JoinStream, audience again", calls.join_again()),
                service.grpc("JoinStream, audience first", calls.join_first(population.NEWCOMERS)),
                service.grpc("JoinStream, host again", calls.join_as_host()),
                service.grpc("GetStream", calls.get()),
                service.grpc("CreateStream", calls.create()),
                service.http("JoinStream, audience again", calls.http_join_again()),
                service.http("GetStream", calls.http_get()),
                service.http("CreateStream", calls.http_create()),
            ]
            self._measure("Database: a stub that answers from memory", rows, self.rounds, counts.reads_and_writes)

    def on_the_embedded_database(self) -> None:
        with ExitStack() as stack:
            with pinned(self.load_core):
                database = stack.enter_context(EmbeddedDatabase(self.place / "database"))
            _fill(database.uri)
            floor = stack.enter_context(self._floor())
            service = stack.enter_context(self._service(database.uri))
            rows = [
                floor,
                service.grpc("JoinStream, audience again", calls.join_again()),
                service.grpc("JoinStream, audience first", calls.join_first(EMBEDDED_NEWCOMERS)),
                service.grpc("CreateStream", calls.create()),
            ]
            self._measure(
                "Database: the embedded one, on the core of the load",
                rows,
                min(self.rounds, EMBEDDED_ROUNDS),
                lambda: (0, 0),
            )

    def _measure(self, title: str, rows: list[Row], rounds: int, commands: Callable[[], tuple[int, int]]) -> None:
        print(f"\n{title}. 32 calls in flight, {rounds} rounds of {self.seconds} s.\n", flush=True)
        uvloop.run(measure(rows, rounds=rounds, seconds=self.seconds, commands=commands, told=_told))
        _told("")
        print(f"{table.table(rows, rows[0])}\n\n{table.load_cost(rows)}", flush=True)

    @contextmanager
    def _floor(self) -> Iterator[Row]:
        with self._program("bench.floor", core=self.server_core) as program:
            yield Row("floor: hello, grpc.aio", program, GRPC, program.printed_port(), calls.hello())

    @contextmanager
    def _service(self, mongo_uri: str) -> Iterator[Service]:
        grpc_port, http_port = free_port(), free_port()
        addresses = ("--grpc", f"127.0.0.1:{grpc_port}", "--http", f"127.0.0.1:{http_port}")
        environment = population.environment(mongo_uri, self.place / "media")
        with self._program("livestream_run", "serve", *addresses, core=self.server_core, **environment) as program:
            program.wait_until_ready(http_port)
            yield Service(program, grpc_port, http_port)

    def _program(self, module: str, *arguments: str, core: int, **environment: str) -> AbstractContextManager[Program]:
        command = [sys.executable, "-m", module, *arguments]
        return running(command, core=core, log=self.place / f"{module}.log", environment=environment)


def _fill(mongo_uri: str) -> None:
    """Store the population that the stub knows by itself."""
    people = range(population.STREAMS + population.VIEWERS + EMBEDDED_NEWCOMERS)
    with MongoClient[Document](mongo_uri) as client:
        database = client[population.DATABASE]
        database["streams"].insert_many([population.stream_document(n) for n in range(population.STREAMS)])
        database["users"].insert_many([population.user_document(n) for n in people])


def _told(what: str) -> None:
    """Say on a terminal what is going on, on a line that the next one replaces."""
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

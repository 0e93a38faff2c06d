"""How fast the service is, beside a hello-world server and its peers, measured in one run on this machine.

The servers are pinned to one core; the load and the database stub to another. Every reply is checked: a wrong one is
told, and ends the run if it happens again. Believe ratios within a run rather than figures of two runs. A run of all
rows writes docs/speed.md and docs/speed.svg.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import uvloop
from bench import catalogue, goals, population, report, setting, stub, table
from bench.catalogue import Plan
from bench.processes import NotStarted, pinned, running
from bench.rounds import Beside, Row, WrongReply, measure
from bench.servers import Servers, Unavailable
from pymongo import MongoClient

from livestream_run.dev.database import EmbeddedDatabase
from livestream_server.mongo.client import Document

ROUNDS = 5
"""As many must agree before a run of all rows is written into the docs."""
EVERYTHING = ""

EMBEDDED_NEWCOMERS = 3_000
EMBEDDED_ROUNDS = 3
EMBEDDED = rf"({catalogue.AGAIN}|{catalogue.FIRST}|{catalogue.CREATE}), gRPC$"


def main() -> int:
    options = _options()
    cores = sorted(os.sched_getaffinity(0))
    print(f"{setting.machine()}\n{setting.versions()}\n{setting.versions_of_peers()}", flush=True)
    try:
        with tempfile.TemporaryDirectory(prefix="livestream-bench-") as place, pinned(cores[-1]):
            bench = Bench(Path(place), cores[0], cores[-1], options.rounds, options.seconds)
            if options.pieces:
                bench.on_the_stub(catalogue.pieces())
                return 0
            rows = bench.on_the_stub(catalogue.chosen(catalogue.plans(population.NEWCOMERS), options.rows))
            print(
                f"\n{goals.judged(rows, missing=False)}\n\n{goals.with_the_write(rows)}\n{goals.memory(rows)}",
                flush=True,
            )
            if options.rows == EVERYTHING:
                others = bench.on_the_embedded_database()
                if options.rounds >= ROUNDS:
                    report.write(rows, others, f"{options.rounds} alternating rounds of {options.seconds:g} s a row")
    except (NotStarted, WrongReply) as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2 rounds of a few rows, in less than a minute")
    parser.add_argument("--pieces", action="store_true", help="what each of the pieces that make it fast gains")
    parser.add_argument("--rows", metavar="REGEX", help="only rows whose names match, e.g. 'again, (gRPC|HTTP)'")
    parser.add_argument("--rounds", type=int, help=f"alternating (default: {ROUNDS}; fewer are not written down)")
    parser.add_argument("--seconds", type=float, default=1.0, help="per row and round (default: 1)")
    options = parser.parse_args()
    if options.rows is None:
        options.rows = catalogue.QUICK if options.quick else EVERYTHING
    options.rounds = options.rounds or (2 if options.quick else ROUNDS)
    return options


@dataclass(frozen=True, slots=True)
class Bench:
    """One run: where its files are, which cores it uses, how long it takes."""

    place: Path
    server_core: int
    load_core: int
    rounds: int
    seconds: float

    def on_the_stub(self, plans: Sequence[Plan]) -> list[Row]:
        with ExitStack() as stack:
            command = [sys.executable, "-m", "bench.stub"]
            database = stack.enter_context(running(command, core=self.load_core, log=self.place / "stub.log"))
            port = database.printed_port()
            counts = stack.enter_context(closing(stub.Counts(port)))
            rows = self._rows(plans, self._servers(stack, stub.uri(port)))
            beside = Beside(counts.reads_and_writes, [database])
            return self._measure("Database: a stub that answers from memory", rows, self.rounds, beside)

    def on_the_embedded_database(self) -> list[Row]:
        with ExitStack() as stack:
            with pinned(self.load_core):
                database = stack.enter_context(EmbeddedDatabase(self.place / "database"))
            _fill(database.uri)
            plans = catalogue.chosen(catalogue.plans(EMBEDDED_NEWCOMERS), EMBEDDED)
            rows = self._rows(plans, self._servers(stack, database.uri))
            title = "Database: the embedded one, on the core of the load"
            return self._measure(title, rows, min(self.rounds, EMBEDDED_ROUNDS), Beside())

    def _servers(self, stack: ExitStack, mongo_uri: str) -> Servers:
        return Servers(stack, core=self.server_core, place=self.place, mongo_uri=mongo_uri)

    def _rows(self, plans: Sequence[Plan], servers: Servers) -> list[Row]:
        """The floor, and the rows whose servers can run here."""
        rows = []
        for plan in (catalogue.FLOOR, *plans):
            try:
                rows.append(plan.row(servers.get(plan.server)))
            except Unavailable as why:
                print(f"left out: {plan.call}, {plan.over}: {why}", flush=True)
        return rows

    def _measure(self, title: str, rows: list[Row], rounds: int, beside: Beside) -> list[Row]:
        print(f"\n{title}. 32 calls in flight, {rounds} rounds of {self.seconds} s.\n", flush=True)
        uvloop.run(measure(rows, rounds=rounds, seconds=self.seconds, beside=beside, told=_told))
        _told("")
        print(f"{table.of_rows(rows, rows[0])}\n\n{table.load_cost(rows)} {table.repeated(rows)}", flush=True)
        return rows


def _fill(mongo_uri: str) -> None:
    """Store the population that the stub knows by itself."""
    users = range(population.STREAMS + population.VIEWERS + EMBEDDED_NEWCOMERS)
    with MongoClient[Document](mongo_uri) as client:
        database = client[population.DATABASE]
        database["streams"].insert_many([population.stream_document(n) for n in range(population.STREAMS)])
        database["users"].insert_many([population.user_document(n) for n in users])


def _told(what: str) -> None:
    """Say on a terminal what is going on, on a line that the next one replaces."""
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

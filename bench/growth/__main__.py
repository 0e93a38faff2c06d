"""How the service grows with streams, users in one stream, watchers and workers: docs/growth.md and its chart."""

import argparse
import logging
import os
import sys
import tempfile
from pathlib import Path

import structlog
from bench import setting
from bench.growth import embedded, page, queries, sizes, watchers, workers
from bench.growth.place import Place
from bench.processes import NotStarted, pinned
from bench.rounds import WrongReply

DOCS = Path(__file__).parents[2] / "docs"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="alternating rounds (default: 3)")
    parser.add_argument("--seconds", type=float, default=0.5, help="per row and round (default: 0.5)")
    parser.add_argument("--to", type=Path, default=DOCS, help="where to write growth.md and growth.svg")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    cores = sorted(os.sched_getaffinity(0))
    try:
        with tempfile.TemporaryDirectory(prefix="livestream-growth-") as directory, pinned(cores[-1]):
            place = Place(Path(directory), cores[0], cores[-1], options.rounds, options.seconds)
            results = _measured(place)
    except (NotStarted, WrongReply) as failure:
        print(failure, file=sys.stderr)
        return 1
    (options.to / "growth.md").write_text(page.page(results), encoding="utf-8")
    (options.to / "growth.svg").write_text(page.image(results), encoding="utf-8")
    return 0


def _measured(place: Place) -> page.Results:
    command = f"python -m bench.growth --rounds {place.rounds} --seconds {place.seconds}"
    where = f"{setting.machine()}\n{setting.versions()}\ncommand: {command}"
    survey = queries.surveyed()
    watched = watchers.of_watchers(place, _told)
    worked = workers.of_workers(place, _told)
    of_streams, of_participants = sizes.of_streams(place, _told), sizes.of_participants(place, _told)
    statistics = sizes.statistics(place)
    on_embedded, examined = embedded.on_embedded(place, _told)
    _told("")
    return page.Results(where, of_streams, of_participants, statistics, watched, worked, on_embedded, examined, survey)


def _told(what: str) -> None:
    """Say on a terminal what is going on, on a line that the next one replaces."""
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

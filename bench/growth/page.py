"""What was measured, as `docs/growth.md` and `docs/growth.svg`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.growth import chart, queries, watchers, workers
from bench.growth.chart import Line, Panel
from bench.growth.embedded import Examined
from bench.growth.sizes import Figure
from bench.growth.watchers import Watched
from bench.growth.workers import Worked


@dataclass(frozen=True, slots=True)
class Results:
    """Everything."""

    setting: str
    streams: Sequence[Figure]
    participants: Sequence[Figure]
    statistics: Sequence[Figure]
    watched: Sequence[Watched]
    worked: Sequence[Worked]
    on_embedded: Sequence[Figure]
    examined: Sequence[Examined]
    survey: queries.Survey


def image(results: Results) -> str:
    """Ratios to the smallest size."""
    participants = [*results.participants, *results.statistics]
    panels = [
        Panel("CPU per call, by streams", _lines(results.streams, Figure.cpu_of)),
        Panel("CPU per call, by users in one stream", _lines(participants, Figure.cpu_of)),
        Panel("By watchers of one stream", _watcher_lines([each for each in results.watched if each.streams == 1])),
        Panel("p99, by streams", _lines(results.streams, Figure.p99_of)),
        Panel("p99, by users in one stream", _lines(participants, Figure.p99_of)),
        Panel("By workers", _worker_lines(results.worked)),
    ]
    return chart.drawn("Growth: in parts of the smallest size; the dashed line is flat", panels)


def _lines(figures: Sequence[Figure], ratio: Callable[[Figure, Figure], float]) -> list[Line]:
    return [
        Line(call, [(each.size, ratio(each, of_call[0])) for each in of_call]) for call, of_call in by_call(figures)
    ]


def by_call(figures: Iterable[Figure]) -> list[tuple[str, list[Figure]]]:
    """The figures of each call, the smallest size first."""
    found: dict[str, list[Figure]] = {}
    for each in figures:
        found.setdefault(each.call, []).append(each)
    return list(found.items())


def _watcher_lines(watched: Sequence[Watched]) -> list[Line]:
    none, *some = watched
    first = some[0]
    return [
        Line("CPU per change and watcher", [(each.watchers, each.cpu_per_told / first.cpu_per_told) for each in some]),
        Line(
            "idle CPU per watcher",
            [(each.watchers, _idle_each(each, none) / _idle_each(first, none)) for each in some],
        ),
        Line("database commands", [(each.watchers, each.idle_commands / first.idle_commands) for each in some]),
        Line("memory per watcher", [(each.watchers, _kib_each(each, none) / _kib_each(first, none)) for each in some]),
        Line("p50 of JoinStream beside them", [(each.watchers, each.join_p50 / first.join_p50) for each in some]),
    ]


def _idle_each(each: Watched, none: Watched) -> float:
    """Microseconds of CPU per second."""
    return max(0.1, (each.idle_cpu - none.idle_cpu) / each.watchers * 1e6)


def _kib_each(each: Watched, none: Watched) -> float:
    return (each.mib - none.mib) / each.watchers * 1024


def _worker_lines(worked: Sequence[Worked]) -> list[Line]:
    first = worked[0]
    total = sum(first.idle_commands.values())
    return [
        Line("CPU per JoinStream", [(each.workers, median(each.cpu) / median(first.cpu)) for each in worked]),
        Line("memory of a worker", [(each.workers, each.mib / first.mib) for each in worked]),
        Line(
            "database commands of all, idle",
            [(each.workers, sum(each.idle_commands.values()) / total) for each in worked],
        ),
    ]


def page(results: Results) -> str:
    """In Markdown."""
    return (
        "\n\n".join(
            [
                "# Growth",
                _OPENING,
                f"```\n{results.setting}\n```",
                "![Ratios to the smallest size, by streams, users in one stream, watchers and workers](growth.svg)",
                "## Streams",
                _STREAMS,
                _figures(results.streams, "streams"),
                "On the embedded database, with all streams stored:",
                _figures(results.on_embedded, "streams"),
                _EXAMINED,
                _examined(results.examined),
                "## Users in one stream",
                _PARTICIPANTS,
                _figures(results.participants, "users"),
                _statistics(results.statistics),
                "## Watchers",
                _WATCHERS,
                _watched(results.watched),
                "## Workers",
                _WORKERS,
                _worked(results.worked),
                "## What is asked of the database",
                _QUERIES,
                queries.table(results.survey.answered),
            ]
        )
        + "\n"
    )


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in heading[1:])]
    return "\n".join("| " + " | ".join(each) + " |" for each in (heading, rule, *rows))


def _figures(figures: Sequence[Figure], unit: str) -> str:
    rows = []
    for _, of_call in by_call(figures):
        first = of_call[0]
        rows += [
            (
                each.call if each is first else "",
                f"{each.size:,}",
                f"{median(each.cpu):,.0f}",
                f"{each.cpu_of(first):.2f}",
                f"{median(each.p50):.1f}",
                f"{median(each.p99):.1f}",
                f"{each.p99_of(first):.2f}",
                f"{each.reads:.2f} + {each.writes:.2f}" if each.reads + each.writes else "",
                f"{each.mib:.0f}",
            )
            for each in of_call
        ]
    heading = ("", unit, "CPU µs/call", "ratio", "p50 ms", "p99 ms", "ratio", "reads + writes/call", "MiB")
    return _table(heading, rows)


def _examined(examined: Sequence[Examined]) -> str:
    sizes = list(examined[0].plans)
    rows = [(each.question, *(each.plans[size] for size in sizes)) for each in examined]
    return _table(("keys + documents", *(f"{size:,}" for size in sizes)), rows)


def _statistics(figures: Sequence[Figure]) -> str:
    rows = [
        (f"{each.size:,}", f"{median(each.cpu) / 1000:,.0f}", f"{median(each.cpu) / each.size:.1f}") for each in figures
    ]
    return _table(("GetStreamStatistics: users", "CPU ms/call", "µs per user"), rows)


def _watched(watched: Sequence[Watched]) -> str:
    none = watched[0]
    rows = [
        (
            "one stream" if each.streams == 1 else "a stream each",
            f"{each.watchers:,}",
            f"{each.cpu_per_told:.0f}" if each.watchers else "",
            f"{each.idle_cpu:.3f}",
            f"{_idle_each(each, none):.0f}" if each.watchers else "",
            f"{each.idle_commands:.1f}",
            f"{each.mib:.0f}",
            f"{_kib_each(each, none):.0f}" if each.watchers else "",
            f"{each.join_p50:.1f}",
            f"{each.join_p99:.1f}",
        )
        for each in watched
    ]
    heading = (
        "all watch",
        "watchers",
        "CPU µs per change and watcher",
        "idle CPU s/s",
        "µs/s per watcher",
        "commands/s, idle",
        "MiB",
        "KiB per watcher",
        "join p50 ms",
        "p99 ms",
    )
    return _table(heading, rows)


def _worked(worked: Sequence[Worked]) -> str:
    first = worked[0]
    rows = [
        (
            str(each.workers),
            f"{median(each.cpu):,.0f}",
            f"{median(each.cpu) / median(first.cpu):.2f}",
            f"{each.mib:.0f}",
            f"{each.idle_cpu:.3f}",
            f"{sum(each.idle_commands.values()):.1f}",
            ", ".join(f"{name} {rate:.1f}" for name, rate in sorted(each.idle_commands.items())),
        )
        for each in worked
    ]
    heading = ("workers", "CPU µs/JoinStream", "ratio", "MiB each", "idle CPU s/s", "commands/s, idle", "of them")
    return _table(heading, rows)


_OPENING = """What the service takes of CPU, memory, time and database commands, against how much there is of what:
streams, users in one stream, watchers, workers. `make growth` measures it and writes this page and its chart.

A stub that speaks MongoDB's protocol and computes each document when it is asked for stands in for the database,
except where another is named. Its answers take as long among a million streams as among a thousand, so what grows
here is our own. How the database's share grows is a matter of plans: they are at the end, one line for every kind
of query that the service sends. The embedded database is no judge of that: it looks at a whole collection for each
`findAndModify`, whatever the index, and sorts all matches where MongoDB reads one page in the order of an index.

Sizes are measured beside each other in alternating rounds on one core, 32 calls in flight; a ratio is the median
over the rounds, and compares with the smallest size. Believe ratios, and nothing below a fifth: this machine is
shared."""

_STREAMS = """Flat. `JoinStream, again` goes to a thousand streams that are spread over all of them; the calls to
*any* stream go on to another one each time. Where there are more creators than a process remembers users (20,000),
such a call reads one user more: a step, not a slope, which shows in the reads, and in the memory of those users.
Announcing a stream is one write, listing one or two reads; the database counts the active streams for pages by
number."""

_EXAMINED = """What that database says that it examines. All but the last come from an index, whatever there is; for
the last it sorts all matches, where MongoDB reads 20 entries of the index `newest` in their order:"""

_PARTICIPANTS = """Joining, leaving, listing a page and banning take as long among a hundred thousand as among
a thousand,
as far as our own CPU, memory and commands go. The database has more to do for a page of viewers: it reads the page
itself in the order of the index `viewers_in_order`, but it counts all who are present, in the index
`present_in_stream` alone, because the contract promises the number, and a search looks at each of their names. The
same count is made once a second per process, for all streams together that are watched in it.

Statistics grow with everyone who was ever in the stream: who was there, when and for how long is derived from each
user's visits and Agora's events, and so nothing can be counted wrong for good. They are read 500 at a time, and
other calls are answered in between. At this slope a stream that some 300,000 users have seen is not told within
the ten seconds of the call."""

_WATCHERS = f"""Memory grows with each open watch, and telling a change takes the same for each of them. What the
database is asked does not depend on how many watch a stream: one count per second for all watched streams together,
one ping, one change stream. It depends on how many streams are watched: each is read every 15 seconds, though
nothing notifies. Idle CPU has a heartbeat to each watcher every {watchers.HEARTBEAT_SECONDS:.0f} seconds in it (15
unless set otherwise). Each change of one stream goes to all its watchers; of a stream each, every stream changed
once, and each change has a read of its own behind it. Joins: 8 at a time, beside the watchers. These are single
measurements, one after the other, so the times of joins tell of the machine as well."""

_WORKERS = f"""All on one core, so that the CPU of a call compares; {workers.VIEWERS} callers, so that every worker
knows each. Each worker pings the database once a second and asks for each lease and for the two rankings every ten
seconds; the work behind them is done once for all. A call takes somewhat more where its core goes from process to
process, and where each has fewer calls at a time."""

_QUERIES = """Every RPC is called, and all work behind them done, on an empty embedded database, and what the driver
sends is collected: one line per kind of query. The plan is by MongoDB's rules, equality, then order, then range, on
the indexes that the service has created; a test holds it against `explain`, demands an index for every query, and
fails when an index answers none. *One* is a document by a unique index; *one page* is what is shown, read in the
order of the index, longer where what it is filtered by besides leaves little of it. `$project` and `$lookup`
(always by `_id`) come after and are left out, as is the change stream behind WatchStream."""

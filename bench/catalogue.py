"""Every row that can be measured: which call, of which server, over which wire."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count

from bench import calls, http1, http2, http_calls
from bench.load import Call, Shape
from bench.rounds import FEW_CALLS, WARM_UP_CALLS, Row
from bench.servers import Server
from bench.without import PIECES

GRPC = Shape(http2.Connection, connections=8, width=4)
HTTP = Shape(http1.Connection, connections=32, width=1)
HTTP_CLOSING = Shape(http1.ConnectionPerCall, connections=32, width=1)

HELLO = "hello"
AGAIN, HOT, FIRST, HOST = (
    f"JoinStream, {how}" for how in ("audience again", "one hot stream", "audience first", "host again")
)
RENEW, GET, CREATE = "RenewTokens", "GetStream", "CreateStream"
TOKEN = "token only"
"""RenewTokens without a database; at the peers, an RTC token."""
REFUSED = "refused at the door"
"""A call without a token, which the gateway answers by itself."""

OVER_GRPC, OVER_NATIVE, OVER_HTTP, OVER_SPLIT = "gRPC", "gRPC on native", "HTTP", "HTTP, split"
RAW, FLASK, EXPRESS = "raw ASGI", "Flask", "Express"
FASTAPI = FASTAPI_ASYNC, FASTAPI_SYNC = "FastAPI, async", "FastAPI, sync"

QUICK = rf"({AGAIN}|{FIRST}|{HOT}|{GET}), gRPC( on native)?$|{AGAIN}, HTTP$"
"""Rows for those who change something and want to know at once."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A row before its server runs."""

    call: str
    over: str
    server: str
    """As `bench.servers.Servers` knows it."""
    shape: Shape
    calls: Callable[[], Iterator[Call]]
    warm_up: int = WARM_UP_CALLS

    def row(self, server: Server) -> Row:
        port = server.grpc_port if self.shape is GRPC else server.http_port
        return Row(self.call, self.over, server.programs, self.shape, port, self.calls(), self.warm_up)


FLOOR = Plan(HELLO, "grpc.aio", "floor", GRPC, calls.hello, FEW_CALLS)


def plans(newcomers: int) -> list[Plan]:
    """All rows but the floor. `newcomers` users are there to enter a stream for the first time."""
    entrant = count()  # one for all servers: they share the database, and a user enters a stream first only once
    over_grpc = (
        (AGAIN, calls.join_again),
        (HOT, calls.join_hot),
        (FIRST, partial(calls.join_first, entrant, newcomers)),
        (HOST, calls.join_as_host),
        (RENEW, calls.renew),
        (GET, calls.get),
        (CREATE, calls.create),
    )
    over_http = (
        (AGAIN, http_calls.join_again),
        (HOT, http_calls.join_hot),
        (FIRST, partial(http_calls.join_first, entrant, newcomers)),
        (HOST, http_calls.join_as_host),
        (RENEW, http_calls.renew),
        (GET, http_calls.get),
        (CREATE, http_calls.create),
    )
    return [
        *(_ours(call, OVER_GRPC, "service", GRPC, made) for call, made in over_grpc),
        *(_ours(call, OVER_NATIVE, "service on native", GRPC, made) for call, made in over_grpc),
        *(_ours(call, OVER_HTTP, "service", HTTP, made) for call, made in over_http),
        *(_ours(call, OVER_SPLIT, "split", HTTP, made) for call, made in over_http if call in (AGAIN, GET)),
        Plan(TOKEN, OVER_GRPC, "token only", GRPC, calls.renew_seated),
        Plan(TOKEN, OVER_NATIVE, "token only on native", GRPC, calls.renew_seated),
        Plan(TOKEN, OVER_HTTP, "token only", HTTP, http_calls.renew_seated),
        Plan(REFUSED, OVER_HTTP, "token only", HTTP, http_calls.anonymous, FEW_CALLS),
        Plan(REFUSED, RAW, "raw ASGI", HTTP, http_calls.anonymous, FEW_CALLS),
        # Of agora-token-builder, which makes tokens of the older version.
        *(Plan(AGAIN, over, over, HTTP, partial(http_calls.join_again, "006"), FEW_CALLS) for over in FASTAPI),
        *(Plan(HOT, over, over, HTTP, partial(http_calls.join_hot, "006"), FEW_CALLS) for over in FASTAPI),
        Plan(TOKEN, FLASK, "Flask", HTTP_CLOSING, http_calls.rtc_token, FEW_CALLS),
        Plan(TOKEN, EXPRESS, "Express", HTTP, http_calls.rtc_token, FEW_CALLS),
    ]


def _ours(call: str, over: str, server: str, shape: Shape, made: Callable[[], Iterator[Call]]) -> Plan:
    return Plan(call, over, server, shape, made, FEW_CALLS if call == FIRST else WARM_UP_CALLS)


def pieces() -> list[Plan]:
    """The whole service on the native engine, and without one of its pieces each: what each of them gains."""
    servers = {"the whole": "service on native"} | {f"without {each}": f"service without {each}" for each in PIECES}
    return [
        Plan(AGAIN, f"{over}, {what}", server, shape, made)
        for over, shape, made in (("gRPC on native", GRPC, calls.join_again), ("HTTP", HTTP, http_calls.join_again))
        for what, server in servers.items()
    ]


def chosen(all_plans: Sequence[Plan], pattern: str) -> list[Plan]:
    """Those whose names contain the regular expression."""
    return [each for each in all_plans if re.search(pattern, f"{each.call}, {each.over}", re.IGNORECASE)]

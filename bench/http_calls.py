"""The calls of `calls.py` over the public API, under the same names."""

from collections.abc import Iterator
from itertools import chain, cycle, islice
from typing import Any

import orjson
from bench import http1, population
from bench.calls import MINUTES, MOTIVATION, TITLE
from bench.load import Call
from bench.population import STREAMS, VIEWERS, person_id, stream_id, token

_REST = "/api/v1/live-stream"


def join_again() -> Iterator[Call]:
    return cycle(_join(STREAMS + n, n % STREAMS) for n in range(VIEWERS))


def join_hot() -> Iterator[Call]:
    return cycle(_join(STREAMS + n, 0) for n in range(VIEWERS))


def join_first(entrant: Iterator[int], newcomers: int) -> Iterator[Call]:
    for n in entrant:
        yield _join(STREAMS + VIEWERS + n % newcomers, (n + n // newcomers) % STREAMS)


def join_as_host() -> Iterator[Call]:
    return cycle(_join(n, n, path="join-as-creator", role="host") for n in range(STREAMS))


def _join(person: int, stream: int, *, path: str = "join", role: str = "audience") -> Call:
    body = orjson.dumps({"liveStreamId": stream_id(stream), "deviceType": "iOS", "country": "TR"})

    def good(reply: bytes) -> bool:
        data = orjson.loads(reply)["data"]
        seen = data["liveStream"]
        return bool(
            seen["id"] == stream_id(stream)
            and seen["status"] == "active"
            and seen["role"] == role == data["agora"]["role"]
            and seen["creator"]["_id"] == person_id(stream)
            and _credentials_are_right(data, person, stream)
        )

    return Call(http1.request("POST", f"{_REST}/{path}", body, token(person)), good)


def _credentials_are_right(data: Any, person: int, stream: int) -> bool:
    return bool(
        data["agora"]["channelName"] == population.channel(stream)
        and data["agora"]["uid"] > 0
        and data["agora"]["token"].startswith("007")
        and data["rtm"]["token"].startswith("007")
        and data["rtm"]["userId"] == person_id(person)
    )


def renew() -> Iterator[Call]:
    return chain(islice(join_again(), VIEWERS), renew_seated())


def renew_seated() -> Iterator[Call]:
    return cycle(_renew(STREAMS + n, n % STREAMS) for n in range(VIEWERS))


def _renew(person: int, stream: int) -> Call:
    def good(reply: bytes) -> bool:
        return _credentials_are_right(orjson.loads(reply)["data"], person, stream)

    return Call(http1.request("POST", f"{_REST}/{stream_id(stream)}/tokens", b"{}", token(person)), good)


def get() -> Iterator[Call]:
    return cycle(_get(STREAMS + n, n % STREAMS) for n in range(VIEWERS))


def _get(person: int, stream: int) -> Call:
    def good(reply: bytes) -> bool:
        data = orjson.loads(reply)["data"]
        return bool(data["id"] == stream_id(stream) and data["creator"]["_id"] == person_id(stream))

    return Call(http1.request("GET", f"{_REST}/{stream_id(stream)}", b"", token(person)), good)


def create() -> Iterator[Call]:
    return cycle(_create(n) for n in range(STREAMS))


def _create(person: int) -> Call:
    asked = {"title": f"{TITLE} {person}", "interest": "music", "durationGoal": MINUTES, "motivation": MOTIVATION}

    def good(reply: bytes) -> bool:
        data = orjson.loads(reply)["data"]
        return bool(
            data["title"] == asked["title"]
            and data["status"] == "preparing"
            and data["creator"]["_id"] == person_id(person)
            and len(data["id"]) == 24
        )

    return Call(http1.request("POST", f"{_REST}/create", orjson.dumps(asked), token(person)), good)

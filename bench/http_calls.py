"""The calls of `calls.py` over the public API, under the same names, and those of the peers."""

from collections.abc import Iterator
from itertools import chain, cycle, islice
from typing import Any

import orjson
from bench import http1, population
from bench.calls import MINUTES, MOTIVATION, TITLE
from bench.load import Call
from bench.population import STREAMS, VIEWERS, stream_id, token, user_id

_REST = "/api/v1/live-stream"


def join_again(token_version: str = "007") -> Iterator[Call]:
    return cycle(_join(STREAMS + n, n % STREAMS, token_version=token_version) for n in range(VIEWERS))


def join_hot(token_version: str = "007") -> Iterator[Call]:
    return cycle(_join(STREAMS + n, 0, token_version=token_version) for n in range(VIEWERS))


def join_first(entrant: Iterator[int], newcomers: int) -> Iterator[Call]:
    for n in entrant:
        yield _join(STREAMS + VIEWERS + n % newcomers, (n + n // newcomers) % STREAMS)


def join_as_host() -> Iterator[Call]:
    return cycle(_join(n, n, path="join-as-creator", role="host") for n in range(STREAMS))


def _join(user: int, stream: int, *, path: str = "join", role: str = "audience", token_version: str = "007") -> Call:
    body = orjson.dumps({"liveStreamId": stream_id(stream), "deviceType": "iOS", "country": "TR"})

    def good(reply: bytes) -> bool:
        data = orjson.loads(reply)["data"]
        seen = data["liveStream"]
        return bool(
            seen["id"] == stream_id(stream)
            and seen["status"] == "active"
            and seen["role"] == role == data["agora"]["role"]
            and seen["creator"]["_id"] == user_id(stream)
            and _credentials_are_right(data, user, stream, token_version)
        )

    return Call(http1.request("POST", f"{_REST}/{path}", body, token(user)), good)


def _credentials_are_right(data: Any, user: int, stream: int, token_version: str = "007") -> bool:
    return bool(
        data["agora"]["channelName"] == population.channel(stream)
        and data["agora"]["uid"] > 0
        and data["agora"]["token"].startswith(token_version)
        and data["rtm"]["token"].startswith(token_version)
        and data["rtm"]["userId"] == user_id(user)
    )


def renew() -> Iterator[Call]:
    return chain(islice(join_again(), VIEWERS), renew_seated())


def renew_seated() -> Iterator[Call]:
    return cycle(_renew(STREAMS + n, n % STREAMS) for n in range(VIEWERS))


def _renew(user: int, stream: int) -> Call:
    def good(reply: bytes) -> bool:
        return _credentials_are_right(orjson.loads(reply)["data"], user, stream)

    return Call(http1.request("POST", f"{_REST}/{stream_id(stream)}/tokens", b"{}", token(user)), good)


def get() -> Iterator[Call]:
    return cycle(_get(STREAMS + n, n % STREAMS) for n in range(VIEWERS))


def _get(user: int, stream: int) -> Call:
    def good(reply: bytes) -> bool:
        data = orjson.loads(reply)["data"]
        return bool(data["id"] == stream_id(stream) and data["creator"]["_id"] == user_id(stream))

    return Call(http1.request("GET", f"{_REST}/{stream_id(stream)}", b"", token(user)), good)


def create() -> Iterator[Call]:
    return cycle(_create(n) for n in range(STREAMS))


def _create(user: int) -> Call:
    asked = {"title": f"{TITLE} {user}", "interest": "music", "durationGoal": MINUTES, "motivation": MOTIVATION}

    def good(reply: bytes) -> bool:
        data = orjson.loads(reply)["data"]
        return bool(
            data["title"] == asked["title"]
            and data["status"] == "preparing"
            and data["creator"]["_id"] == user_id(user)
            and len(data["id"]) == 24
        )

    return Call(http1.request("POST", f"{_REST}/create", orjson.dumps(asked), token(user)), good)


def anonymous() -> Iterator[Call]:
    """A call without a token, which the gateway refuses by itself."""

    def good(reply: bytes) -> bool:
        envelope = orjson.loads(reply)
        return bool(envelope["statusCode"] == 401 and not envelope["isSuccess"])

    wires = (http1.request("GET", f"{_REST}/{stream_id(n)}", b"", None) for n in range(STREAMS))
    return cycle(Call(wire, good, status=b"401") for wire in wires)


def rtc_token() -> Iterator[Call]:
    """An RTC token, of a server that asks for no authentication."""

    def good(reply: bytes) -> bool:
        return bool(orjson.loads(reply)["rtcToken"].startswith("007"))

    paths = (f"/rtc/{population.channel(n)}/subscriber/uid/{n + 1}" for n in range(STREAMS))
    return cycle(Call(http1.request("GET", path, b"", None), good) for path in paths)

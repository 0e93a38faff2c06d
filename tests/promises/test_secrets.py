"""Secrets never leave: not in an answer, a log line, a metric, or a repr."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx2
from pydantic import SecretStr

from livestream.v1.live_stream_pb2 import ROLE_AUDIENCE, ROLE_GUEST, ROLE_HOST
from livestream.v1.live_stream_service_pb2 import GetStreamRequest
from livestream_server.settings import MediaSettings
from tests.promises.calls import Line, lines, register, started
from tests.support.environment import (
    CERTIFICATE,
    JWT_SECRET,
    LiveService,
    environment_for,
    free_port,
    metadata,
    settings_for,
    token,
)
from tests.support.sample_images import jpeg

PASSWORD = "canary-of-the-database"
S3_KEY = "canary-of-the-bucket"
SECRETS = {"JWT key": JWT_SECRET, "Agora certificate": CERTIFICATE, "database password": PASSWORD, "S3 key": S3_KEY}


def found(secrets: dict[str, str], *places: bytes) -> list[str]:
    """Which secrets occur in `places`, plain or in base64 or hexadecimal, wherever they begin."""
    hits = []
    for name, value in secrets.items():
        raw = value.encode()
        forms = (
            {raw, raw.hex().encode(), bytes.fromhex(value)}
            if name == "Agora certificate"
            else {raw, raw.hex().encode()}
        )
        for shift in range(3):
            encoded = base64.b64encode(bytes(shift) + raw)
            forms.add(encoded[4 if shift else 0 : len(encoded) // 4 * 4 - 4])
        hits += [name for place in places for form in forms if form in place]
    return hits


def test_the_scanner_finds_what_is_there() -> None:
    """A scanner that finds nothing would pass everything."""
    for name, value in SECRETS.items():
        for place in (value.encode(), value.encode().hex().encode(), base64.b64encode(b"ab" + value.encode() + b"c")):
            assert name in found(SECRETS, b"x" + place + b"x")


async def test_no_answer_log_or_metric_has_a_secret(
    mongo_uri: str, database_name: str, media: Path, engine: str, figure: Callable[[str], None]
) -> None:
    """Good calls, refusals of every kind and failures; all bytes that came out are searched."""
    address = f"127.0.0.1:{free_port()}"
    environment = {
        **environment_for(mongo_uri, database_name, media, engine),
        "LIVESTREAM_OPERATIONS_ADDRESS": address,
        "LIVESTREAM_LOG_LEVEL": "debug",
        "MEDIA_S3_SECRET_ACCESS_KEY": S3_KEY,
    }
    outputs: list[bytes] = []
    bearers = [token("ayse"), token("john"), token("f" * 24)]
    async with started(LiveService(environment)) as service, lines(service.grpc_target, 1) as (line,):
        outputs += [each async for each in _grpc_answers(line)]
        calls = len(outputs)
        async with httpx2.AsyncClient(timeout=10) as http:
            for bearer in (*bearers, "forged.token.here"):
                for path, body in (
                    ("create", {"title": "x"}),
                    ("create", {"price": "free"}),
                    ("join", {}),
                    ("nowhere", {}),
                ):
                    headers = {"authorization": f"Bearer {bearer}"}
                    answer = await http.post(
                        f"{service.http_url}/api/v1/live-stream/{path}", json=body, headers=headers
                    )
                    outputs += [answer.content, repr(answer.headers.raw).encode()]
            for url in ("/openapi.json", "/docs", "/healthz", "/readyz"):
                outputs.append((await http.get(f"{service.http_url}{url}")).content)
            outputs.append((await http.get(f"http://{address}/metrics")).content)
    log = b"".join(service.log)
    assert b'"event":"call"' in log
    tokens = {f"token {i}": each.rpartition(".")[2] for i, each in enumerate(bearers)}
    hits = found(SECRETS, *outputs, log) + [name for name, each in tokens.items() if each.encode() in log]
    assert not hits
    figure(
        f"{len(SECRETS)} secrets in {calls} gRPC answers, {len(outputs) - calls} HTTP texts and "
        f"{len(service.log)} log lines: {len(hits)} occurrences"
    )


async def _grpc_answers(line: Line) -> Any:
    """All bytes of the answers to good and bad calls, trailing metadata included."""
    (creator,) = await register(line, 1)
    stream = await line.create(creator, thumbnail=jpeg())
    unknown = GetStreamRequest(live_stream_id="f" * 24)
    calls = [
        line.join(creator, stream.id, ROLE_HOST),
        line.join("john", stream.id, ROLE_AUDIENCE),
        line.join("john", stream.id, ROLE_GUEST),
        line.join("f" * 24, stream.id),
        line.join("john", "f" * 24),
        line.join("john", "no id"),
        line.create(creator, title=""),
        line.create(creator, thumbnail=b"no image"),
        line.streams.GetStream(unknown, timeout=5),
        line.streams.GetStream(unknown, metadata=(("authorization", "Bearer a.b.c"),), timeout=5),
        line.streams.GetStream(unknown, metadata=metadata("john"), timeout=5),
    ]
    for each in calls:
        try:
            yield (await each).SerializeToString()
        except grpc.aio.AioRpcError as error:
            trailing = [value if isinstance(value, bytes) else value.encode() for _, value in error.trailing_metadata()]
            yield b"|".join([(error.details() or "").encode(), *trailing])


def test_settings_show_no_secret(tmp_path: Path, figure: Callable[[str], None]) -> None:
    """Settings end up in tracebacks and in debuggers' windows."""
    settings = settings_for(f"mongodb://user:{PASSWORD}@127.0.0.1:1/", "none", tmp_path)
    bucket = MediaSettings(directory=tmp_path, s3_secret_access_key=SecretStr(S3_KEY))
    settings = settings.model_copy(update={"media": bucket})
    texts = [repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump())]
    texts += [repr(each) for each in (settings.jwt, settings.agora, settings.mongo, settings.media)]
    hits = found(SECRETS, *(each.encode() for each in texts))
    assert not hits
    figure(f"{len(SECRETS)} secrets in {len(texts)} texts of the settings: {len(hits)} occurrences")

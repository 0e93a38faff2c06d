"""A start that cannot succeed says so: which setting, and why, in a sentence, without its value."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.environment import environment_for

CANARY = "canary-that-nobody-may-see"
LOGIN = f"mongodb://user:{CANARY}@"
NO_FILE = f"/nowhere/{CANARY}.pem"
ASYMMETRIC = {"JWT_ALGORITHMS": "ES256", "JWT_SECRET": None}


@dataclass(frozen=True)
class Case:
    """A change to settings that work (None removes one), and what is told about it."""

    changes: Mapping[str, str | None]
    named: str
    code: int = 2
    arguments: Sequence[str] = field(default=("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"))


CASES = {
    "no database": Case({"MONGODB_URI": None}, "MONGODB_URI"),
    "a database that does not answer": Case({"MONGODB_URI": f"{LOGIN}127.0.0.1:1/"}, "MONGODB_URI", code=1),
    "a connection string that is none": Case({"MONGODB_URI": f"mongodb+nothing://user:{CANARY}@host"}, "MONGODB_URI"),
    "a connection string with a bad option": Case({"MONGODB_URI": f"{LOGIN}127.0.0.1:1/?tls={CANARY}"}, "MONGODB_URI"),
    "a connection string without a host": Case({"MONGODB_URI": LOGIN}, "MONGODB_URI"),
    "a bad database name": Case({"MONGODB_DATABASE": f"{CANARY} $"}, "MONGODB_DATABASE"),
    "no Agora project": Case({"AGORA_APP_ID": None}, "AGORA_APP_ID"),
    "a bad Agora project": Case({"AGORA_APP_ID": CANARY}, "AGORA_APP_ID"),
    "a bad Agora certificate": Case({"AGORA_APP_CERTIFICATE": CANARY}, "AGORA_APP_CERTIFICATE"),
    "a short JWT secret": Case({"JWT_SECRET": CANARY}, "JWT_SECRET"),
    "no JWT keys": Case({"JWT_SECRET": None}, "JWT_SECRET"),
    "algorithms of two families": Case({"JWT_ALGORITHMS": "HS256,ES256"}, "JWT_ALGORITHMS"),
    "no issuer in production": Case({"JWT_ISSUER": None}, "JWT_ISSUER"),
    "no audience in production": Case({"JWT_AUDIENCE": None}, "JWT_AUDIENCE"),
    "a key file that is not there": Case({**ASYMMETRIC, "JWT_PUBLIC_KEY_FILE": NO_FILE}, "JWT_PUBLIC_KEY_FILE"),
    "a key file that is none": Case({**ASYMMETRIC, "JWT_PUBLIC_KEY_FILE": "{broken}"}, "JWT_PUBLIC_KEY_FILE"),
    "a TLS key without a certificate": Case({"LIVESTREAM_TLS_KEY_FILE": NO_FILE}, "LIVESTREAM_TLS_CERTIFICATE_FILE"),
    "a client CA without a certificate": Case(
        {"LIVESTREAM_TLS_CLIENT_CA_FILE": NO_FILE}, "LIVESTREAM_TLS_CLIENT_CA_FILE"
    ),
    "TLS files that are not there": Case(
        {"LIVESTREAM_TLS_CERTIFICATE_FILE": NO_FILE, "LIVESTREAM_TLS_KEY_FILE": NO_FILE},
        "LIVESTREAM_TLS_CERTIFICATE_FILE",
    ),
    "a TLS certificate that is none": Case(
        {"LIVESTREAM_TLS_CERTIFICATE_FILE": "{broken}", "LIVESTREAM_TLS_KEY_FILE": "{key}"},
        "LIVESTREAM_TLS_CERTIFICATE_FILE",
    ),
    "a TLS key of another certificate": Case(
        {"LIVESTREAM_TLS_CERTIFICATE_FILE": "{certificate}", "LIVESTREAM_TLS_KEY_FILE": "{other_key}"},
        "LIVESTREAM_TLS_CERTIFICATE_FILE",
    ),
    "TLS on the engine without it": Case(
        {
            "LIVESTREAM_ENGINE": "native",
            "LIVESTREAM_TLS_CERTIFICATE_FILE": "{certificate}",
            "LIVESTREAM_TLS_KEY_FILE": "{key}",
        },
        "LIVESTREAM_ENGINE",
    ),
    "an engine that is none": Case({"LIVESTREAM_ENGINE": CANARY}, "LIVESTREAM_ENGINE"),
    "a busy port on the native engine": Case({"LIVESTREAM_ENGINE": "native"}, "{busy}", arguments=("--grpc", "{busy}")),
    "images that cannot be written": Case({"MEDIA_DIRECTORY": f"/dev/null/{CANARY}"}, "MEDIA_DIRECTORY"),
    "a limit of nothing": Case({"LIVESTREAM_MAX_IN_FLIGHT": "0"}, "LIVESTREAM_MAX_IN_FLIGHT"),
    "a number that is none": Case({"LIVESTREAM_DRAIN_SECONDS": CANARY}, "LIVESTREAM_DRAIN_SECONDS"),
    "a proxy that is no address": Case(
        {"LIVESTREAM_TRUSTED_PROXIES": f"10.0.0.1,{CANARY}"}, "LIVESTREAM_TRUSTED_PROXIES"
    ),
    "a network with bits of a host": Case({"LIVESTREAM_TRUSTED_PROXIES": "10.0.0.1/8"}, "LIVESTREAM_TRUSTED_PROXIES"),
    "a proxy of the gateway that is no address": Case({"GATEWAY_TRUSTED_PROXIES": CANARY}, "GATEWAY_TRUSTED_PROXIES"),
    "a busy port": Case({}, "{busy}", arguments=("--grpc", "{busy}")),
    "a busy port for HTTP": Case({}, "{busy}", arguments=("--http", "{busy}")),
    "more watchers than connections": Case(
        {"LIVESTREAM_MAX_WATCHERS": "3072"}, "GATEWAY_MAX_CONNECTIONS", arguments=("--http", "{free}")
    ),
    "a broken setting of the gateway for two workers": Case(
        {"GATEWAY_MAX_CONNECTIONS": "0"}, "GATEWAY_MAX_CONNECTIONS", arguments=("--http", "{free}", "--workers", "2")
    ),
    "a busy port for operations": Case({"LIVESTREAM_OPERATIONS_ADDRESS": "{busy}"}, "{busy}"),
    "broken settings for two workers": Case(
        {"MEDIA_DIRECTORY": f"/dev/null/{CANARY}"}, "MEDIA_DIRECTORY", arguments=("--grpc", "{free}", "--workers", "2")
    ),
    "nothing to serve": Case({}, "--grpc", arguments=()),
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """What stands for the names in braces."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "broken.pem").write_text(CANARY)
    authority = Authority()
    authority.issue("one").write(folder / "certificate.pem", folder / "key.pem")
    authority.issue("other").write(folder / "other.pem", folder / "other_key.pem")
    with socket.socket() as busy, socket.socket() as free:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        free.bind(("127.0.0.1", 0))
        ports = {"busy": busy.getsockname()[1], "free": free.getsockname()[1]}
        free.close()
        names = ("broken", "certificate", "key", "other_key")
        yield {
            **{name: str(folder / f"{name}.pem") for name in names},
            **{name: f"127.0.0.1:{port}" for name, port in ports.items()},
        }


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_start_that_cannot_succeed(
    case: Case, places: Mapping[str, str], mongo_uri: str, media: Path, figure: Callable[[str], None]
) -> None:
    """An operator learns what to mend from the last line of the log, and the log tells nobody a secret."""
    changes = {name: None if value is None else value.format(**places) for name, value in case.changes.items()}
    environment = {**os.environ, **environment_for(mongo_uri, "none", media), **changes}
    ended = subprocess.run(
        [sys.executable, "-m", "livestream_run", "serve", *(each.format(**places) for each in case.arguments)],
        env={name: value for name, value in environment.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    told = [each for each in ended.stderr.splitlines() if not each.startswith("{")]  # what is not a log line
    text = ended.stdout + ended.stderr
    assert ended.returncode == case.code, text
    assert case.named.format(**places) in ended.stderr
    assert "Traceback" not in text
    assert CANARY not in text
    assert not [value for name, value in changes.items() if value and "_FILE" in name and value in text]
    assert len(told) <= 2 * (2 if "--workers" in case.arguments else 1), text
    figure(" ".join(told)[:200])

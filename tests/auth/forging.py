"""Tokens as an issuer or an attacker would write them, byte by byte."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from livestream_server.auth.jwt import Authenticator
from livestream_server.errors import Unauthenticated
from livestream_server.settings import JwtSettings

NOW = 1_800_000_000
SECRET = "a shared secret of more than thirty-two bytes"
USER = "65a0c0ffee65a0c0ffee65a0"
ISSUER = "https://id.example"
AUDIENCE = "livestream"
LEEWAY = 30
ABSENT = object()


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


def settings(**changes: Any) -> JwtSettings:
    return JwtSettings(**{"secret": SECRET, "issuer": ISSUER, "audience": AUDIENCE, "leeway_seconds": LEEWAY} | changes)


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims with some changed, or left out (`ABSENT`)."""
    good = {"sub": USER, "iat": NOW, "exp": NOW + 3600, "iss": ISSUER, "aud": AUDIENCE}
    return {name: value for name, value in (good | changes).items() if value is not ABSENT}


def encoded(part: bytes | str | object) -> str:
    """A segment: bytes and text as they are, anything else as JSON."""
    if not isinstance(part, bytes | str):
        part = json.dumps(part)
    if isinstance(part, str):
        part = part.encode()
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def signed(header: object, payload: object, *, secret: str = SECRET, digest: str = "sha256") -> str:
    """A token whose signature is right, whatever it says."""
    message = f"{encoded(header)}.{encoded(payload)}"
    return f"{message}.{encoded(hmac.new(secret.encode(), message.encode(), getattr(hashlib, digest)).digest())}"


def token(**changes: Any) -> str:
    """A well signed token with these claims changed."""
    return signed({"alg": "HS256", "typ": "JWT"}, claims(**changes))


def headed(**changes: Any) -> str:
    """A well signed token with these header entries changed."""
    return signed({"alg": "HS256", "typ": "JWT"} | changes, claims())


async def cause_of_refusal(authenticator: Authenticator, authorization: str) -> str:
    """Why it was refused, for the log; the caller's message is always the same."""
    with pytest.raises(Unauthenticated) as refusal:
        await authenticator.authenticate(authorization)
    assert str(refusal.value) == "a valid bearer token is required"
    assert not refusal.value.metadata
    return refusal.value.cause

"""Keys that an issuer publishes: a real HTTP server on this machine, in a thread."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from livestream_server.auth import jwks
from livestream_server.auth.jwt import Authenticator
from livestream_server.auth.keys import UnusableKeys
from livestream_server.errors import Unauthenticated, Unavailable
from tests.auth.forging import NOW, SECRET, USER, Clock, cause_of_refusal, claims, settings, signed

RSA_KEY = rsa.generate_private_key(65537, 2048)
RSA_OTHER = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()


def published(private: Any, kid: str | None, algorithm: str, **more: Any) -> dict[str, Any]:
    """A key as in a key set; the algorithm says how to write it, and is not in it."""
    jwk = jwt.get_algorithm_by_name(algorithm).to_jwk(private.public_key(), as_dict=True)
    jwk.pop("key_ops", None)
    return jwk | ({"kid": kid} if kid else {}) | more


def carried(private: Any, algorithm: str, kid: str | None, **changes: Any) -> str:
    headers = {"kid": kid} if kid else {}
    return f"Bearer {jwt.encode(claims(**changes), private, algorithm, headers)}"


class Issuer:
    """Publishes `document` at `url`, and counts how often it was asked."""

    def __init__(self) -> None:
        self.document: bytes = b""
        self.status = 200
        self.asked = 0
        self.answers = threading.Event()
        self.answers.set()
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                issuer.answers.wait(10)
                self.send_response(issuer.status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", str(len(issuer.document)))
                self.end_headers()
                self.wfile.write(issuer.document)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/keys"

    def publish(self, *keys: object) -> None:
        self.document = json.dumps({"keys": keys}).encode()


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    """An issuer with one RSA key, "first"."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    issuer = Issuer()
    issuer.publish(published(RSA_KEY, "first", "RS256"))
    thread = threading.Thread(target=issuer.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield issuer
    issuer.answers.set()
    issuer.server.shutdown()
    thread.join()
    issuer.server.server_close()


async def started(issuer: Issuer, clock: Clock, algorithms: str = "RS256") -> Authenticator:
    authenticator = Authenticator(settings(secret=None, jwks_url=issuer.url, algorithms=algorithms), clock=clock)
    await authenticator.start()
    return authenticator


@pytest.mark.parametrize(
    ("private", "algorithm"), [(RSA_KEY, "RS256"), (RSA_KEY, "PS256"), (EC_KEY, "ES256"), (ED_KEY, "EdDSA")]
)
async def test_a_published_key_verifies(issuer: Issuer, clock: Clock, private: Any, algorithm: str) -> None:
    """Issuers that publish their keys could not be used; `alg` and `use` are optional in a key set."""
    bare = published(private, "bare", algorithm)
    full = published(private, "full", algorithm, alg=algorithm, use="sig")
    issuer.publish(bare, full)
    authenticator = await started(issuer, clock, algorithm)
    for kid in ("bare", "full"):
        assert (await authenticator.authenticate(carried(private, algorithm, kid))).id == USER
    assert issuer.asked == 1


async def test_only_the_key_that_the_token_names_verifies(issuer: Issuer, clock: Clock) -> None:
    """A key of one use would sign for another."""
    issuer.publish(
        published(RSA_KEY, "first", "RS256"),
        published(RSA_OTHER, "second", "RS256"),
        published(RSA_OTHER, None, "RS256"),
    )
    authenticator = await started(issuer, clock)
    assert await cause_of_refusal(authenticator, carried(RSA_OTHER, "RS256", "first")) == "bad_signature"
    assert await cause_of_refusal(authenticator, carried(RSA_KEY, "RS256", None)) == "missing_key_id"
    assert (await authenticator.authenticate(carried(RSA_OTHER, "RS256", "second"))).id == USER


async def test_a_key_verifies_only_what_it_is_published_for(issuer: Issuer, clock: Clock) -> None:
    """Key confusion: a key for encryption, a shared secret or a key of another type would sign tokens."""
    numbers = jwt.get_algorithm_by_name("RS256").to_jwk(RSA_OTHER, as_dict=True)
    numbers.pop("key_ops")
    issuer.publish(
        published(RSA_KEY, "first", "RS256", alg="RS256"),
        published(RSA_OTHER, "encrypts", "RS256", use="enc"),
        published(RSA_OTHER, "other use", "RS256", use=["sig"]),
        published(RSA_OTHER, "other alg", "RS256", alg=["RS256"]),
        published(EC_KEY, "curve", "ES256"),
        published(rsa.generate_private_key(65537, 1024), "short", "RS256"),
        numbers | {"kid": "private"},
        {"kty": "oct", "k": "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0", "kid": "shared"},
        {"kty": "RSA", "n": 5, "e": None, "kid": "broken"},
        {"kty": "RSA", "kid": "empty"},
        {"kid": "nothing"},
        published(RSA_OTHER, "number", "RS256") | {"kid": 7},
        "no object",
        None,
    )
    authenticator = await started(issuer, clock, "RS256,RS512")
    assert (await authenticator.authenticate(carried(RSA_KEY, "RS256", "first"))).id == USER
    assert await cause_of_refusal(authenticator, carried(RSA_KEY, "RS512", "first")) == "wrong_algorithm"
    for kid in ("encrypts", "curve", "short", "private", "shared", "broken", "empty", "nothing", "7"):
        assert await cause_of_refusal(authenticator, carried(RSA_OTHER, "RS256", kid)) == "unknown_key"
    shared = signed({"alg": "HS256", "kid": "shared"}, claims(), secret=SECRET)
    assert await cause_of_refusal(authenticator, f"Bearer {shared}") == "wrong_algorithm"


async def test_a_new_key_is_found_when_a_token_names_it(issuer: Issuer, clock: Clock) -> None:
    """After a rotation, everybody would be shut out until a restart."""
    authenticator = await started(issuer, clock)
    issuer.publish(published(RSA_KEY, "first", "RS256"), published(RSA_OTHER, "second", "RS256"))
    clock.now += jwks.COOLDOWN_SECONDS
    assert (await authenticator.authenticate(carried(RSA_OTHER, "RS256", "second"))).id == USER
    assert (await authenticator.authenticate(carried(RSA_KEY, "RS256", "first"))).id == USER
    assert issuer.asked == 2


async def test_a_withdrawn_key_stops_working(issuer: Issuer, clock: Clock) -> None:
    """Whoever stole a key could go on after the issuer withdrew it."""
    authenticator = await started(issuer, clock)
    old = carried(RSA_KEY, "RS256", "first")
    assert (await authenticator.authenticate(old)).id == USER
    issuer.publish(published(RSA_OTHER, "second", "RS256"))
    clock.now += jwks.LIFE_SECONDS
    assert await cause_of_refusal(authenticator, old) == "unknown_key"


async def test_made_up_key_ids_do_not_flood_the_issuer(issuer: Issuer, clock: Clock) -> None:
    """Anybody could use the service to attack its issuer."""
    authenticator = await started(issuer, clock)
    for number in range(50):
        assert await cause_of_refusal(authenticator, carried(RSA_KEY, "RS256", f"made-up-{number}")) == "unknown_key"
    assert issuer.asked == 1
    clock.now += jwks.COOLDOWN_SECONDS
    refusals = (cause_of_refusal(authenticator, carried(RSA_KEY, "RS256", f"made-up-{n}")) for n in range(50))
    assert set(await asyncio.gather(*refusals)) == {"unknown_key"}
    assert issuer.asked == 2


async def test_a_clock_that_was_set_back_does_not_stop_rotation(issuer: Issuer, clock: Clock) -> None:
    """New keys would be refused for as long as the clock was wrong."""
    authenticator = await started(issuer, clock)
    issuer.publish(published(RSA_OTHER, "second", "RS256"))
    clock.now -= 3600
    early = carried(RSA_OTHER, "RS256", "second", iat=NOW - 3600, exp=NOW)
    assert (await authenticator.authenticate(early)).id == USER


@pytest.mark.parametrize(
    ("status", "document"),
    [(500, b"{}"), (302, b""), (200, b"<html>"), (200, b"[]"), (200, b"\xff"), (200, b'{"keys": 1}'), (200, b"{}")],
)
async def test_an_issuer_in_trouble_costs_only_those_it_has_to_vouch_for(
    issuer: Issuer, clock: Clock, status: int, document: bytes
) -> None:
    """An outage of the issuer would be an outage of the service, or look like a bad token to its client."""
    authenticator = await started(issuer, clock)
    issuer.status, issuer.document = status, document
    for minutes in (10, 20):
        clock.now = NOW + 60 * minutes
        assert (await authenticator.authenticate(carried(RSA_KEY, "RS256", "first"))).id == USER
        with pytest.raises(Unavailable):
            await authenticator.authenticate(carried(RSA_OTHER, "RS256", "second"))
    issuer.status = 200
    issuer.publish(published(RSA_OTHER, "second", "RS256"))
    clock.now += jwks.COOLDOWN_SECONDS
    assert (await authenticator.authenticate(carried(RSA_OTHER, "RS256", "second"))).id == USER
    assert await cause_of_refusal(authenticator, carried(RSA_KEY, "RS256", "first", jti="new")) == "unknown_key"


async def test_a_silent_issuer_is_waited_for_only_so_long(
    issuer: Issuer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls would hang; and after the first, those with a known key would hang again and again."""
    authenticator = await started(issuer, clock)
    monkeypatch.setattr(jwks, "TIMEOUT_SECONDS", 0.05)
    issuer.answers.clear()
    clock.now += jwks.COOLDOWN_SECONDS
    with pytest.raises(Unavailable):
        await authenticator.authenticate(carried(RSA_OTHER, "RS256", "second"))

    monkeypatch.setattr(jwks, "TIMEOUT_SECONDS", 5)
    clock.now += jwks.LIFE_SECONDS
    assert (await authenticator.authenticate(carried(RSA_KEY, "RS256", "first"))).id == USER
    assert not authenticator._keys._refreshing.done()  # it was asked, and nobody waited


async def test_a_caller_who_gives_up_does_not_take_the_answer_from_the_others(issuer: Issuer, clock: Clock) -> None:
    """One client's short deadline would fail the calls that wait for the same answer."""
    authenticator = await started(issuer, clock)
    issuer.publish(published(RSA_OTHER, "second", "RS256"))
    issuer.answers.clear()
    clock.now += jwks.COOLDOWN_SECONDS
    hasty, patient = (
        asyncio.create_task(authenticator.authenticate(carried(RSA_OTHER, "RS256", "second", jti=name)))
        for name in ("hasty", "patient")
    )
    await asyncio.sleep(0)
    hasty.cancel()
    await asyncio.wait([hasty])
    assert hasty.cancelled()
    issuer.answers.set()
    assert (await patient).id == USER
    assert issuer.asked == 2


async def test_a_key_set_that_cannot_be_used_stops_the_start(issuer: Issuer, clock: Clock) -> None:
    """The service would start and refuse everybody; the address may hold a password."""
    other_curve = published(ec.generate_private_key(ec.SECP384R1()), "x", "ES384")
    for keys in ([], [published(RSA_KEY, "x", "RS256")], [other_curve]):
        issuer.publish(*keys)
        with pytest.raises(UnusableKeys, match=r"^JWT_JWKS_URL publishes no key that fits ES256$"):
            await started(issuer, clock, "ES256")
    issuer.document = b"<html>"
    with pytest.raises(UnusableKeys, match=r"^JWT_JWKS_URL does not answer with a key set$"):
        await started(issuer, clock)


async def test_an_issuer_that_cannot_be_reached_stops_the_start(issuer: Issuer, clock: Clock) -> None:
    """As above."""
    unreachable = settings(secret=None, jwks_url="http://127.0.0.1:1/keys", algorithms="RS256")
    with pytest.raises(UnusableKeys, match=r"^JWT_JWKS_URL "):
        await Authenticator(unreachable, clock=clock).start()


async def test_a_bad_token_is_refused_without_asking_the_issuer(issuer: Issuer, clock: Clock) -> None:
    """What can be seen to be bad would cost a request, and become `unavailable` in an outage."""
    authenticator = await started(issuer, clock)
    clock.now += jwks.COOLDOWN_SECONDS
    for header in ({"alg": "none", "kid": "x"}, {"alg": "RS256", "kid": "../x"}, {"alg": "RS256", "jku": issuer.url}):
        with pytest.raises(Unauthenticated):
            await authenticator.authenticate(f"Bearer {signed(header, claims())}")
    assert issuer.asked == 1

"""The tokens that are let in, and who they make of a caller."""

from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from livestream_server.auth.jwt import Authenticator, Caller
from livestream_server.auth.minting import mint
from tests.auth.forging import (
    ABSENT,
    AUDIENCE,
    ISSUER,
    LEEWAY,
    NOW,
    SECRET,
    USER,
    Clock,
    cause_of_refusal,
    claims,
    headed,
    settings,
    signed,
    token,
)

RSA_KEY = rsa.generate_private_key(65537, 2048)
PRIVATE_KEYS: dict[str, Any] = {
    "RS256": RSA_KEY,
    "RS512": RSA_KEY,
    "PS256": RSA_KEY,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}

ACCEPTED = {
    "plain": token(),
    "without typ": signed({"alg": "HS256"}, claims()),
    "typ of an access token": headed(typ="at+jwt"),
    "typ in another case": headed(typ="AT+JWT"),
    "an id of the key": headed(kid="2026-01/primary+key_1="),
    "an audience list of only us": token(aud=[AUDIENCE]),
    "expired within the leeway": token(iat=NOW - 60, exp=NOW - LEEWAY + 1),
    "issued within the leeway": token(iat=NOW + LEEWAY),
    "valid from within the leeway": token(nbf=NOW + LEEWAY),
    "a life of a day": token(exp=NOW + 86_400),
    "claims that we do not know": token(jti="1", name="jos\u00e9", roles=["admin"]),
    "as long as allowed": token(note="x" * 2820),
}


@pytest.mark.parametrize("value", ACCEPTED.values(), ids=ACCEPTED.keys())
async def test_an_honest_token_is_let_in(authenticator: Authenticator, value: str) -> None:
    """An issuer that does nothing wrong would be shut out."""
    assert await authenticator.authenticate(f"Bearer {value}") == Caller(USER, frozenset())


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_read_in_any_case(authenticator: Authenticator, scheme: str) -> None:
    """RFC 9110, section 11.1: clients that write it in lower case would be shut out."""
    assert (await authenticator.authenticate(f"{scheme} {token()}")).id == USER


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [(ABSENT, set()), ("", set()), ("a:b", {"a:b"}), ("a:b  c:d ", {"a:b", "c:d"}), ("a\tb", {"a\tb"})],
)
async def test_scopes_are_separated_by_spaces(authenticator: Authenticator, scope: Any, scopes: set[str]) -> None:
    """A service would be refused what it was granted, or allowed what it was not."""
    assert (await authenticator.authenticate(f"Bearer {token(scope=scope)}")).scopes == scopes


@pytest.mark.parametrize("algorithm", PRIVATE_KEYS)
async def test_a_public_key_in_a_file_verifies(algorithm: str, clock: Clock, tmp_path: Path) -> None:
    """Issuers that sign with keys of their own could not be used."""
    private = PRIVATE_KEYS[algorithm]
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (file := tmp_path / "key.pem").write_bytes(pem)
    authenticator = Authenticator(settings(secret=None, algorithms=algorithm, public_key_file=file), clock=clock)
    await authenticator.start()

    good = jwt.encode(claims(), private, algorithm)
    assert (await authenticator.authenticate(f"Bearer {good}")).id == USER

    message, _, signature = good.rpartition(".")
    flipped = "A" if signature[10] != "A" else "B"
    broken = f"{message}.{signature[:10]}{flipped}{signature[11:]}"
    assert await cause_of_refusal(authenticator, f"Bearer {broken}") == "bad_signature"
    assert await cause_of_refusal(authenticator, f"Bearer {message}.AAAA") == "bad_signature"


async def test_one_key_serves_every_algorithm_of_its_family(clock: Clock, tmp_path: Path) -> None:
    """An operator could not move from RS256 to RS512 while old tokens live."""
    pem = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (file := tmp_path / "key.pem").write_bytes(pem)
    authenticator = Authenticator(settings(secret=None, algorithms="RS256,RS512", public_key_file=file), clock=clock)
    await authenticator.start()
    for algorithm in ("RS256", "RS512"):
        assert (await authenticator.authenticate(f"Bearer {jwt.encode(claims(), RSA_KEY, algorithm)}")).id == USER


async def test_a_minted_token_is_let_in(authenticator: Authenticator) -> None:
    """`livestream-server token` would hand out tokens that the service refuses."""
    minted = mint(SECRET, USER, issuer=ISSUER, audience=AUDIENCE, scope="users:write", now=NOW + 0.9)
    assert await authenticator.authenticate(f"Bearer {minted}") == Caller(USER, frozenset({"users:write"}))
    assert jwt.decode(minted, options={"verify_signature": False}) == claims(exp=NOW + 86_400, scope="users:write")


async def test_a_minted_token_says_only_what_was_asked_for(clock: Clock) -> None:
    """A development setup without issuer and audience would refuse its own tokens."""
    authenticator = Authenticator(settings(issuer=None, audience=None), clock=clock)
    await authenticator.start()
    minted = mint(SECRET, USER, life_seconds=60, now=NOW)
    assert (await authenticator.authenticate(f"Bearer {minted}")).id == USER
    assert jwt.decode(minted, options={"verify_signature": False}) == {"sub": USER, "iat": NOW, "exp": NOW + 60}

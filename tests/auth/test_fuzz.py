"""Whatever a stranger sends, the answer is a caller or a refusal."""

import json
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from livestream_server.auth.jwt import Authenticator, Caller
from livestream_server.errors import Unauthenticated
from tests.auth.forging import NOW, USER, claims, encoded, signed

many = settings(
    max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # the fixture remembers only what it let in

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([USER, NOW, NOW + 60]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


async def outcome(authenticator: Authenticator, authorization: str) -> Caller | None:
    try:
        return await authenticator.authenticate(authorization)
    except Unauthenticated:
        return None


@many
@given(text=st.text())
@example("\ud800")
@example("\0")
async def test_any_text_is_refused(authenticator: Authenticator, text: str) -> None:
    """A stranger could make a call fail in a way that nobody planned."""
    assert await outcome(authenticator, text) is None
    assert await outcome(authenticator, f"Bearer {text}") is None


@many
@given(header=st.binary(), payload=st.binary(), signature=st.binary())
async def test_any_bytes_in_three_segments_are_refused(
    authenticator: Authenticator, header: bytes, payload: bytes, signature: bytes
) -> None:
    """As above, past the first look at the token."""
    assert await outcome(authenticator, f"Bearer {encoded(header)}.{encoded(payload)}.{encoded(signature)}") is None


@many
@given(
    header=st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jku"]), anything),
    payload=st.binary() | anything.map(json.dumps),
)
async def test_any_header_is_refused_or_read(
    authenticator: Authenticator, header: dict[str, Any], payload: bytes | str
) -> None:
    """As above, for headers of a token that is signed well."""
    assert await outcome(authenticator, f"Bearer {signed({'alg': 'HS256'} | header, payload)}") is None


@many
@given(changes=st.dictionaries(st.sampled_from(["sub", "iat", "exp", "nbf", "iss", "aud", "scope", "jti"]), anything))
async def test_any_claims_are_refused_or_a_caller(authenticator: Authenticator, changes: dict[str, Any]) -> None:
    """As above, for what a careless issuer signs; nobody but the user named gets in."""
    caller = await outcome(authenticator, f"Bearer {signed({'alg': 'HS256'}, claims(**changes))}")
    assert caller is None or (caller.id == USER == (claims(**changes)["sub"]))

"""Verified tokens are cached, but never longer than they may be."""

from hashlib import sha256
from typing import Any

import pytest
from jwt import PyJWS

from livestream_server.auth.jwt import Authenticator
from livestream_server.bounded_cache import BoundedCache
from tests.auth.forging import NOW, USER, Clock, cause_of_refusal, token


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens whose signature was really checked."""
    seen: list[str] = []
    original = PyJWS.decode_complete

    def counted(self: PyJWS, jwt: str, *args: Any, **kwargs: Any) -> dict[str, Any]:
        seen.append(jwt)
        return original(self, jwt, *args, **kwargs)

    monkeypatch.setattr(PyJWS, "decode_complete", counted)
    return seen


async def test_a_token_is_verified_once_a_minute(
    authenticator: Authenticator, clock: Clock, verifications: list[str]
) -> None:
    """Every call would pay for a signature check, or a withdrawn key would work on for hours."""
    for second, times in ((0, 1), (0, 1), (59.9, 1), (60, 2), (119, 2), (120, 3)):
        clock.now = NOW + second
        assert (await authenticator.authenticate(f"Bearer {token()}")).id == USER
        assert len(verifications) == times


async def test_a_cached_token_still_expires(
    authenticator: Authenticator, clock: Clock, verifications: list[str]
) -> None:
    """A token would outlive its `exp` by up to a minute, beyond the leeway."""
    short = f"Bearer {token(iat=NOW - 60, exp=NOW + 10)}"
    await authenticator.authenticate(short)
    clock.now = NOW + 10
    assert (await authenticator.authenticate(short)).id == USER  # within the leeway, verified anew each time
    assert (await authenticator.authenticate(short)).id == USER
    assert len(verifications) == 3
    clock.now = NOW + 40
    assert await cause_of_refusal(authenticator, short) == "expired"


async def test_a_refusal_is_not_cached(authenticator: Authenticator, clock: Clock) -> None:
    """A token that is used a moment too early would stay refused, and refusals would fill the memory."""
    early = f"Bearer {token(iat=NOW + 60)}"
    assert await cause_of_refusal(authenticator, early) == "not_yet_valid"
    clock.now = NOW + 60
    assert (await authenticator.authenticate(early)).id == USER


async def test_two_tokens_of_one_user_are_two(authenticator: Authenticator) -> None:
    """A user's second token would get the scopes of the first."""
    for scope in ("a", "b", "a"):
        caller = await authenticator.authenticate(f"Bearer {token(scope=scope)}")
        assert caller.scopes == {scope}


async def test_the_oldest_leaves_when_it_is_full(authenticator: Authenticator, verifications: list[str]) -> None:
    """Many callers would fill the memory."""
    authenticator._verified = BoundedCache(3)
    first, *others = (f"Bearer {token(jti=str(number))}" for number in range(4))
    for each in (first, *others):
        await authenticator.authenticate(each)
    assert len(authenticator._verified) == 3
    for each in others:
        await authenticator.authenticate(each)
    assert len(verifications) == 4
    await authenticator.authenticate(first)
    assert len(verifications) == 5


async def test_a_token_that_is_verified_anew_is_the_newest(
    authenticator: Authenticator, clock: Clock, verifications: list[str]
) -> None:
    """A busy caller's token would leave at once, because it was first seen long ago."""
    authenticator._verified = BoundedCache(2)
    busy, idle, other = (f"Bearer {token(jti=name)}" for name in ("busy", "idle", "other"))
    await authenticator.authenticate(busy)
    await authenticator.authenticate(idle)
    clock.now += 60
    await authenticator.authenticate(busy)
    await authenticator.authenticate(other)
    await authenticator.authenticate(busy)
    assert len(verifications) == 4


async def test_what_is_cached_is_not_the_token(authenticator: Authenticator) -> None:
    """A crash dump would hold working tokens."""
    await authenticator.authenticate(f"Bearer {token()}")
    (cached,) = authenticator._verified
    assert cached == sha256(token().encode()).digest()

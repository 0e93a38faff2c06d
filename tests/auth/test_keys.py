"""Keys that cannot work stop the start, with the name of the setting and nothing of its value."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pydantic import ValidationError

from livestream_server.auth.jwt import Authenticator
from livestream_server.auth.keys import UnusableKeys
from tests.auth.forging import settings

RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def public(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private(key: Any) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


UNUSABLE_FILES = {
    "an RSA key of 1,024 bits": ("RS256", public(rsa.generate_private_key(65537, 1024))),  # too short on purpose
    "a private key": ("RS256", private(RSA_KEY)),
    "a private key on a curve": ("ES256", private(EC_KEY)),
    "an RSA key for ES256": ("ES256", public(RSA_KEY)),
    "an EC key for RS256": ("RS256", public(EC_KEY)),
    "an EC key for EdDSA": ("EdDSA", public(EC_KEY)),
    "a curve that is not the algorithm's": ("ES256", public(ec.generate_private_key(ec.SECP384R1()))),
    "a curve that fits one of two algorithms": ("ES256,ES384", public(EC_KEY)),
    "no key": ("RS256", b"hello"),
    "nothing": ("RS256", b""),
}


@pytest.mark.parametrize(("algorithms", "content"), UNUSABLE_FILES.values(), ids=UNUSABLE_FILES.keys())
async def test_a_file_without_a_fitting_public_key_stops_the_start(
    algorithms: str, content: bytes, tmp_path: Path
) -> None:
    """The service would start, and refuse or believe everybody."""
    (file := tmp_path / "key.pem").write_bytes(content)
    authenticator = Authenticator(settings(secret=None, algorithms=algorithms, public_key_file=file))
    with pytest.raises(UnusableKeys, match=r"^JWT_PUBLIC_KEY_FILE ") as refusal:
        await authenticator.start()
    assert str(tmp_path) not in str(refusal.value)


async def test_a_file_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    """As above; and the message would show how the machine is laid out."""
    authenticator = Authenticator(settings(secret=None, algorithms="RS256", public_key_file=tmp_path / "absent.pem"))
    with pytest.raises(UnusableKeys) as refusal:
        await authenticator.start()
    assert str(refusal.value) == "JWT_PUBLIC_KEY_FILE cannot be read"


@pytest.mark.parametrize(
    ("algorithms", "secret"),
    [
        ("HS512", "s" * 63),
        ("HS384", "s" * 47),
        ("HS256,HS512", "s" * 63),
        ("HS256", public(RSA_KEY).decode()),
        ("HS256", '{"kty":"oct","k":"c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0"}'),
    ],
    ids=["HS512", "HS384", "HS512 among others", "a public key", "a JWK"],
)
async def test_a_secret_that_is_too_short_or_public_stops_the_start(algorithms: str, secret: str) -> None:
    """RFC 7518, section 3.2: tokens could be forged by guessing, or by whoever has the public key."""
    authenticator = Authenticator(settings(algorithms=algorithms, secret=secret))
    with pytest.raises(UnusableKeys, match=r"^JWT_SECRET ") as refusal:
        await authenticator.start()
    assert secret not in str(refusal.value)


def test_a_secret_below_32_bytes_is_no_setting() -> None:
    """The shortest secrets would be found out only at the start of the keys."""
    with pytest.raises(ValidationError, match="at least 32 bytes"):
        settings(secret="s" * 31)


async def test_settings_without_any_key_stop_the_start() -> None:
    """Settings that were built without their checks would fail at the first call instead."""
    unchecked = settings().model_copy(update={"secret": None})
    with pytest.raises(UnusableKeys, match="must be set"):
        await Authenticator(unchecked).start()

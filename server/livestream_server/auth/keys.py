"""The keys that tokens are verified with, prepared once: one `PyJWK` per algorithm, which binds a key to it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import InvalidKeyError, PyJWK, get_algorithm_by_name

from livestream_server.errors import UnusableSetting
from livestream_server.settings import JwtSettings


class UnusableKeys(UnusableSetting):
    """The keys cannot be used as configured: says which setting and why, without its value."""


class Keys(Protocol):
    """Where keys come from."""

    @property
    def known(self) -> bool:
        """Whether the last attempt to fetch them succeeded."""

    async def start(self) -> None:
        """Raises UnusableKeys."""

    async def find(self, algorithm: str, key_id: str | None) -> PyJWK:
        """The key for an allowed algorithm. Raises Unauthenticated, or Unavailable when it cannot be known."""


class StaticKeys:
    """One key from the settings or from a file, for all the algorithms allowed. A token's `kid` chooses nothing."""

    known = True

    def __init__(self, settings: JwtSettings) -> None:
        self._settings = settings
        self._keys: Mapping[str, PyJWK] = {}

    async def start(self) -> None:
        self._keys = _load_configured(self._settings)

    async def find(self, algorithm: str, key_id: str | None) -> PyJWK:  # noqa: ARG002 - see the class
        return self._keys[algorithm]


def bind(jwk: dict[str, Any], algorithm: str) -> PyJWK:
    """A public or shared key (RFC 7517), for one algorithm only.

    Raises InvalidKeyError if the key's type, curve or length (RFC 7518: HMAC as long as the hash,
    RSA 2,048 bits) does not fit the algorithm, or if it is a private key.
    """
    if "d" in jwk:
        raise InvalidKeyError("private")
    key = PyJWK(jwk, algorithm)
    key.Algorithm.prepare_key(key.key)
    if key.Algorithm.check_key_length(key.key):
        raise InvalidKeyError("too short")
    return key


def _load_configured(settings: JwtSettings) -> dict[str, PyJWK]:
    key: Any
    if settings.secret:
        name, key = "JWT_SECRET", settings.secret.get_secret_value()
    elif settings.public_key_file:
        name, key = "JWT_PUBLIC_KEY_FILE", _read_public_key(settings.public_key_file)
    else:
        raise UnusableKeys("JWT_SECRET, JWT_PUBLIC_KEY_FILE or JWT_JWKS_URL must be set")
    return {each: _bind_configured(key, each, name) for each in settings.algorithms}


def _read_public_key(file: Path) -> object:
    try:
        return load_pem_public_key(file.read_bytes())
    except OSError:
        raise UnusableKeys("JWT_PUBLIC_KEY_FILE cannot be read") from None
    except (ValueError, UnsupportedAlgorithm):
        raise UnusableKeys("JWT_PUBLIC_KEY_FILE must hold one public key in PEM") from None


def _bind_configured(key: Any, algorithm: str, setting: str) -> PyJWK:
    family = get_algorithm_by_name(algorithm)
    try:
        return bind(family.to_jwk(family.prepare_key(key), as_dict=True), algorithm)
    except (InvalidKeyError, TypeError):
        raise UnusableKeys(f"{setting} is of the wrong kind or too short for {algorithm}") from None

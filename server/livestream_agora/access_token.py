"""Agora's legacy token, AccessToken (`006`): reads and verifies; `agora-token-builder` makes them.

    "006" + App ID + base64(bytes(signature) u32(crc32 of name) u32(crc32 of uid) bytes(message))
    message = u32(salt) u32(time) map of u16(privilege) to u32(time)

All little endian; `bytes` stands behind its u16 length. The signature is HMAC-SHA256, keyed with the certificate,
over App ID + name + uid + message. `name` is the channel in an RTC token and the user id in an RTM token, which has
an empty uid. Times are seconds since 1970, a privilege's 0 meaning that it never ends. Source: the Python package
`agora-token-builder` 1.0.0, AccessToken.py.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

from livestream_agora.packing import Reader, TokenFormatError, is_hex_32, unpack_base64

VERSION = "006"
RTM_LOGIN = 1000
"""The one privilege of an RTM token; those of RTC are numbered as in AccessToken2."""

_CONTENT_AT = len(VERSION) + 32


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A 006 token as far as it tells. `until` is when it ends at the latest, in seconds since 1970."""

    app_id: str
    signature: bytes
    name_checksum: int
    uid_checksum: int
    message: bytes
    until: int
    privileges: Mapping[int, int]

    def is_for_name(self, name: str) -> bool:
        """Whether the token can be for this channel (RTM: user id), by its checksum."""
        return crc32(name.encode(errors="replace")) == self.name_checksum

    def is_for_uid(self, uid: str) -> bool:
        """Whether the token can be for this uid, by its checksum. Empty: it is for any uid."""
        return crc32(uid.encode(errors="replace")) == self.uid_checksum

    def is_signed_with(self, certificate: str, name: str, uid: str = "") -> bool:
        """Whether `certificate` signed this token for `name` (channel, or user id of RTM) and `uid`."""
        signed = (self.app_id + name + uid).encode(errors="replace") + self.message
        return hmac.compare_digest(hmac.digest(certificate.encode(errors="replace"), signed, "sha256"), self.signature)


def decode(token: str) -> AccessToken:
    """Read a token of this version. Raises TokenFormatError for any other string."""
    if not token.startswith(VERSION):
        raise TokenFormatError(f"the token does not start with {VERSION}")
    app_id = token[len(VERSION) : _CONTENT_AT]
    if not is_hex_32(app_id):
        raise TokenFormatError("the App ID is not 32 hexadecimal digits")
    content = Reader(unpack_base64(token[_CONTENT_AT:]))
    signature, name_checksum, uid_checksum, message = (
        content.sized_bytes(),
        content.u32(),
        content.u32(),
        content.sized_bytes(),
    )
    content.end()
    inner = Reader(message)
    inner.u32()  # salt
    until, privileges = inner.u32(), inner.privileges()
    inner.end()
    return AccessToken(app_id, signature, name_checksum, uid_checksum, message, until, privileges)

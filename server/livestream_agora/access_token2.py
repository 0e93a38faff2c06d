"""Agora's token, AccessToken2 (`007`): makes, reads and verifies.

    "007" + base64(zlib(bytes(signature) info))
    info = bytes(App ID) u32(issued at) u32(life) u32(salt) u16(number of services) service...
    service = u16(type) map of u16(privilege) to u32(life), then for RTC (type 1) bytes(channel) bytes(uid),
    for RTM (type 2) bytes(user id)

All little endian; `bytes` stands behind its u16 length; services are sorted by type, privileges by number. The key of
the signature is HMAC(u32(salt), HMAC(u32(issued at), certificate)), all HMAC-SHA256. Lives are seconds from the issue,
a privilege's 0 meaning that it never ends. Source: github.com/AgoraIO/Tools,
DynamicKey/AgoraDynamicKey/python3/src/AccessToken2.py and Packer.py.
"""

import hmac
import struct
import zlib
from binascii import b2a_base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Self

from livestream_agora.packing import Reader, TokenFormatError, is_hex_32, pack_bytes, unpack_base64

VERSION = "007"
MAX_SALT = 99_999_999
MAX_CONTENT_BYTES = 8192
"""What a token may hold when unpacked; bounds what a hostile one can make us inflate. Real ones hold under 400."""

_HEAD = struct.Struct("<IIIH")
_KEY_PART = struct.Struct("<I")
_STORED = struct.Struct("<BBBHH")  # zlib's two bytes, then the block: "last, stored", its length and the complement
_CHECKSUM = struct.Struct(">I")
_SIGNATURE_LENGTH = struct.pack("<H", 32)


# Privileges of RTC. Those to publish bind only where co-host authentication is on in Agora's console.
JOIN_CHANNEL, PUBLISH_AUDIO, PUBLISH_VIDEO, PUBLISH_DATA = 1, 2, 3, 4
# The privilege of RTM.
LOGIN = 1


@dataclass(frozen=True, slots=True)
class Rtc:
    """Entry to one channel for one uid; an empty uid is any uid. `privileges`: number to life in seconds."""

    TYPE: ClassVar = 1
    channel: str
    uid: str
    privileges: Mapping[int, int]

    def pack(self) -> bytes:
        """Raises ValueError for what does not fit its field."""
        return pack_privileges(self.TYPE, self.privileges) + pack_texts(self.channel, self.uid)

    @classmethod
    def unpack(cls, reader: Reader) -> Self:
        privileges = reader.privileges()
        return cls(channel=reader.text(), uid=reader.text(), privileges=privileges)


@dataclass(frozen=True, slots=True)
class Rtm:
    """Login to RTM as one user. `privileges`: number to life in seconds."""

    TYPE: ClassVar = 2
    user_id: str
    privileges: Mapping[int, int]

    def pack(self) -> bytes:
        """Raises ValueError for what does not fit its field."""
        return pack_privileges(self.TYPE, self.privileges) + pack_texts(self.user_id)

    @classmethod
    def unpack(cls, reader: Reader) -> Self:
        privileges = reader.privileges()
        return cls(user_id=reader.text(), privileges=privileges)


_SERVICES: Mapping[int, type[Rtc | Rtm]] = {Rtc.TYPE: Rtc, Rtm.TYPE: Rtm}


@dataclass(frozen=True, slots=True)
class AccessToken2:
    """What a 007 token says. `issued_at`: seconds since 1970; `life`: seconds from there; `salt`: 1 to MAX_SALT."""

    app_id: str
    issued_at: int
    life: int
    salt: int
    services: tuple[Rtc | Rtm, ...]


def encode(token: AccessToken2, certificate: str, *, vendor_bytes: bool = False) -> str:
    """The token as text, signed with `certificate` (32 hexadecimal digits).

    With `vendor_bytes` it is, byte for byte, what Agora's builder makes of the same values. Without, zlib stores the
    content as it is: some 30 characters longer, for a third of the time.

    Raises ValueError where Agora's builder would answer with an empty token (App ID or certificate of another form, no
    service) or a number or text does not fit its field.
    """
    if not token.services:
        raise ValueError("a token needs a service")
    services = [each.pack() for each in sorted(token.services, key=_type_of)]
    seal = Seal(token.app_id, certificate, zlib.compress if vendor_bytes else _stored)
    try:
        (text,) = seal.tokens(token.issued_at, token.life, token.salt, services)
    except struct.error as error:
        raise _unfit() from error
    return text


class Seal:
    """Signs for one App ID with one certificate; checks their form once, for all tokens.

    Raises ValueError unless both are 32 hexadecimal digits.
    """

    def __init__(self, app_id: str, certificate: str, pack: Callable[[bytes], bytes] | None = None) -> None:
        if not is_hex_32(app_id) or not is_hex_32(certificate):
            raise ValueError("App ID and certificate must be 32 hexadecimal digits")
        self._app_id = pack_bytes(app_id.encode())
        self._certificate = certificate
        self._pack = pack or _stored

    def tokens(self, issued_at: int, life: int, salt: int, *contents: Sequence[bytes]) -> list[str]:
        """A token of each of `contents`: services, packed, and sorted by type. They share time, life and salt.

        Raises struct.error for what does not fit.
        """
        key = _key(self._certificate, issued_at, salt)
        texts = []
        for services in contents:
            info = b"".join((self._app_id, _HEAD.pack(issued_at, life, salt, len(services)), *services))
            packed = self._pack(_SIGNATURE_LENGTH + hmac.digest(key, info, "sha256") + info)
            texts.append(VERSION + b2a_base64(packed, newline=False).decode())
        return texts


def decode(token: str) -> AccessToken2:
    """Read a token of this version. Raises TokenFormatError for any other string, also for services not known here."""
    return _parse(_open(token)[1])


def verify(token: str, certificate: str) -> bool:
    """Whether `certificate` signed this token. Raises TokenFormatError as `decode` does."""
    signature, info = _open(token)
    parsed = _parse(info)
    signed = hmac.digest(_key(certificate, parsed.issued_at, parsed.salt), info, "sha256")
    return hmac.compare_digest(signed, signature)


def _type_of(service: Rtc | Rtm) -> int:
    return service.TYPE


def pack_privileges(service_type: int, privileges: Mapping[int, int]) -> bytes:
    """How a service begins; raises ValueError for a number that does not fit its field."""
    flat = [number for pair in sorted(privileges.items()) for number in pair]
    try:
        return struct.pack("<HH" + "HI" * len(privileges), service_type, len(privileges), *flat)
    except struct.error as error:
        raise _unfit() from error


def pack_texts(*texts: str) -> bytes:
    """How a service ends; raises ValueError for a text that does not fit its field."""
    try:
        return b"".join([pack_bytes(each.encode()) for each in texts])
    except struct.error as error:
        raise _unfit() from error


def _stored(content: bytes) -> bytes:
    """`content` as zlib data of one block that is stored, not compressed; raises struct.error above 65,535 bytes.

    To compress takes zlib longer than all signatures together, most of it to set up. (RFC 1950, RFC 1951, 3.2.4)
    """
    length = len(content)
    return _STORED.pack(0x78, 0x01, 0x01, length, length ^ 0xFFFF) + content + _CHECKSUM.pack(zlib.adler32(content))


def _unfit() -> ValueError:
    return ValueError("a number or text does not fit its field in the token")


def _key(certificate: str, issued_at: int, salt: int) -> bytes:
    return hmac.digest(_KEY_PART.pack(salt), _key_of_second(certificate, issued_at), "sha256")


@lru_cache(maxsize=4)  # all tokens of one second share it
def _key_of_second(certificate: str, issued_at: int) -> bytes:
    return hmac.digest(_KEY_PART.pack(issued_at), certificate.encode(errors="replace"), "sha256")


def _open(token: str) -> tuple[bytes, bytes]:
    """Signature, and the bytes that it signs."""
    if not token.startswith(VERSION):
        raise TokenFormatError(f"the token does not start with {VERSION}")
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(unpack_base64(token[len(VERSION) :]), MAX_CONTENT_BYTES)
    except zlib.error as error:
        raise TokenFormatError("the content is not zlib data") from error
    if not inflater.eof or inflater.unused_data:
        raise TokenFormatError("the content is cut off, too long, or followed by something else")
    reader = Reader(content)
    return reader.sized_bytes(), reader.rest()


def _parse(info: bytes) -> AccessToken2:
    reader = Reader(info)
    app_id = reader.text()
    if not is_hex_32(app_id):
        raise TokenFormatError("the App ID is not 32 hexadecimal digits")
    issued_at, life, salt, count = reader.u32(), reader.u32(), reader.u32(), reader.u16()
    services = []
    for _ in range(count):
        service_type = reader.u16()
        if service_type not in _SERVICES:
            raise TokenFormatError(f"service {service_type} of the token is neither RTC (1) nor RTM (2)")
        services.append(_SERVICES[service_type].unpack(reader))
    reader.end()
    return AccessToken2(app_id, issued_at, life, salt, tuple(services))

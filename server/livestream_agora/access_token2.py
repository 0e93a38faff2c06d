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

import base64
import hmac
import struct
import zlib
from collections.abc import Mapping
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
        return (
            _pack_privileges(self.TYPE, self.privileges)
            + pack_bytes(self.channel.encode())
            + pack_bytes(self.uid.encode())
        )

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
        return _pack_privileges(self.TYPE, self.privileges) + pack_bytes(self.user_id.encode())

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

    With `vendor_bytes` it is, byte for byte, what Agora's builder makes of the same values. Without, zlib runs in its
    lightest setting: the same content in about the same length for half the time.

    Raises ValueError where Agora's builder would answer with an empty token (App ID or certificate of another form, no
    service) or a number or text does not fit its field.
    """
    if not is_hex_32(token.app_id) or not is_hex_32(certificate):
        raise ValueError("App ID and certificate must be 32 hexadecimal digits")
    if not token.services:
        raise ValueError("a token needs a service")
    try:
        info = pack_bytes(token.app_id.encode()) + _HEAD.pack(
            token.issued_at, token.life, token.salt, len(token.services)
        )
        for service in sorted(token.services, key=_type_of):
            info += service.pack()
    except struct.error as error:
        raise ValueError("a number or text does not fit its field in the token") from error
    content = pack_bytes(_sign(info, certificate, token.issued_at, token.salt)) + info
    if vendor_bytes:
        packed = zlib.compress(content)
    else:
        deflater = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 1)  # its small state is most of what is saved
        packed = deflater.compress(content) + deflater.flush()
    return VERSION + base64.b64encode(packed).decode()


def decode(token: str) -> AccessToken2:
    """Read a token of this version. Raises TokenFormatError for any other string, also for services not known here."""
    return _parse(_open(token)[1])


def verify(token: str, certificate: str) -> bool:
    """Whether `certificate` signed this token. Raises TokenFormatError as `decode` does."""
    signature, info = _open(token)
    parsed = _parse(info)
    return hmac.compare_digest(_sign(info, certificate, parsed.issued_at, parsed.salt), signature)


def _type_of(service: Rtc | Rtm) -> int:
    return service.TYPE


def _pack_privileges(service_type: int, privileges: Mapping[int, int]) -> bytes:
    flat = [number for pair in sorted(privileges.items()) for number in pair]
    return struct.pack("<HH" + "HI" * len(privileges), service_type, len(privileges), *flat)


def _sign(info: bytes, certificate: str, issued_at: int, salt: int) -> bytes:
    key = hmac.digest(_KEY_PART.pack(salt), _key_of_second(certificate, issued_at), "sha256")
    return hmac.digest(key, info, "sha256")


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

"""What both token formats are made of: little-endian numbers, and bytes behind their length."""

import base64
import re
import struct

MAX_TOKEN_CHARACTERS = 4096
"""Longer strings are not looked at. Real tokens have 140 to 400 characters."""

_HEX_32 = re.compile(r"[0-9a-fA-F]{32}")
_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")


class TokenFormatError(ValueError):
    """The string is not a token of the version in question; the message says what is wrong with it."""


def is_hex_32(text: str) -> bool:
    """Whether `text` has the form of an App ID or an app certificate: 32 hexadecimal digits."""
    return _HEX_32.fullmatch(text) is not None


def pack_bytes(content: bytes) -> bytes:
    """`content` behind its length. Raises struct.error above 65,535 bytes."""
    return _U16.pack(len(content)) + content


def unpack_base64(text: str) -> bytes:
    """The bytes that `text` spells in standard base64, in its one canonical spelling. Raises TokenFormatError."""
    if len(text) > MAX_TOKEN_CHARACTERS:
        raise TokenFormatError(f"a token has at most {MAX_TOKEN_CHARACTERS} characters")
    try:
        content = base64.b64decode(text)
    except ValueError:
        content = b""
    if base64.b64encode(content).decode() != text:  # Python's decoder also takes other spellings of the same bytes
        raise TokenFormatError("the part behind the version is not base64")
    return content


class Reader:
    """Reads what was packed, from the start; TokenFormatError where the bytes end too early."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def u16(self) -> int:
        return int(_U16.unpack(self._take(_U16.size))[0])

    def u32(self) -> int:
        return int(_U32.unpack(self._take(_U32.size))[0])

    def sized_bytes(self) -> bytes:
        return self._take(self.u16())

    def text(self) -> str:
        try:
            return self.sized_bytes().decode()
        except UnicodeDecodeError as error:
            raise TokenFormatError("a text in the token is not UTF-8") from error

    def privileges(self) -> dict[int, int]:
        """A map of u16 to u32."""
        return {self.u16(): self.u32() for _ in range(self.u16())}

    def rest(self) -> bytes:
        """What has not been read yet; reads nothing."""
        return self._content[self._at :]

    def end(self) -> None:
        """Raises TokenFormatError if anything is left."""
        if self._at != len(self._content):
            raise TokenFormatError("the token goes on after its end")

    def _take(self, size: int) -> bytes:
        taken = self._content[self._at : self._at + size]
        if len(taken) != size:
            raise TokenFormatError("the token ends too early")
        self._at += size
        return taken

"""JSON as RFC 8259 defines it and no looser: what two parsers could read differently is refused.

RFC 8725 asks that of tokens, and the public API does the same with every body. The standard library's decoder is used
because it reports repeated keys and keeps a number's digits; orjson does neither.
"""

import json
from dataclasses import dataclass
from typing import Any, NoReturn

_MAX_DIGITS = 40  # twice what any 64-bit field holds


class NotJson(ValueError):
    """The text is not JSON, repeats a key, or goes beyond what this program can hold."""


@dataclass(frozen=True, slots=True)
class Fraction:
    """A number with a fraction or an exponent, digit for digit."""

    digits: str


def loads(source: bytes | str) -> Any:
    """The value that `source` spells, UTF-8 if bytes. Integers are int, other numbers are Fraction.

    Raises NotJson; also for NaN and Infinity, for integers of more than 40 digits, and for a depth beyond the
    interpreter's (about 1,000).
    """
    try:
        return _DECODER.decode(source if isinstance(source, str) else source.decode())
    except (ValueError, RecursionError):
        raise NotJson from None


def parse_object(source: bytes | str) -> dict[str, Any]:
    """The JSON object that `source` spells. Raises NotJson, also for a value of another type; see `loads`."""
    value = loads(source)
    if type(value) is not dict:
        raise NotJson
    return value


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotJson
    return found


def _parse_integer(digits: str) -> int:
    # The time that int() takes grows with the square of the length.
    if len(digits) > _MAX_DIGITS:
        raise NotJson
    return int(digits)


def _refuse_constant(_name: str) -> NoReturn:
    raise NotJson


_DECODER = json.JSONDecoder(
    object_pairs_hook=_build_object, parse_int=_parse_integer, parse_float=Fraction, parse_constant=_refuse_constant
)

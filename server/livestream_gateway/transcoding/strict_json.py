"""JSON as RFC 8259 means it and no looser: what two parsers could read differently is refused.

The standard library's decoder is used because it can tell us of repeated keys and keeps a number's digits; orjson
does neither. For the small bodies of this API the difference is a microsecond.
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


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotJson
    return found


def _integer(digits: str) -> int:
    # The time that int() takes grows with the square of the length.
    if len(digits) > _MAX_DIGITS:
        raise NotJson
    return int(digits)


def _constant(_name: str) -> NoReturn:
    raise NotJson


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=Fraction, parse_constant=_constant
)

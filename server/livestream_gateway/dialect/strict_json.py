"""JSON as RFC 8259 means it and no looser: what two parsers could read differently is refused.

The standard library's decoder is used because it can tell us of repeated keys and keeps a number's digits; orjson
does neither. For the small bodies of this API the difference is a microsecond.
"""

import json
from dataclasses import dataclass
from typing import Any, NoReturn


class NotJson(ValueError):
    """The text is not JSON, repeats a key, or goes beyond what this program can hold."""


@dataclass(frozen=True, slots=True)
class Fraction:
    """A number with a fraction or an exponent, digit for digit."""

    digits: str


def loads(source: bytes | str) -> Any:
    """The value that `source` spells, UTF-8 if bytes. Integers are int, other numbers are Fraction.

    Raises NotJson. NaN and Infinity are not JSON. Depth and the digits of an integer are bounded by the interpreter
    (about 1,000 levels, 4,300 digits).
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


def _constant(_name: str) -> NoReturn:
    raise NotJson


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=Fraction, parse_constant=_constant)

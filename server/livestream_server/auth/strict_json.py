"""JSON of a stranger, read so that no second reader could understand it differently."""

import json
from typing import Any, NoReturn


def parse_strict_object(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`: UTF-8, no name twice at any depth, no NaN or Infinity.

    Raises ValueError for everything else, and RecursionError when it is nested too deep.
    """
    value = json.loads(data.decode(), object_pairs_hook=_refuse_repeats, parse_constant=_refuse)
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one kind of error for all that is wrong with the text
    return value


def _refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """RFC 8725 leaves open which of two equal names counts, so a token that has them says nothing for certain."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("repeated name")
    return value


def _refuse(_constant: str) -> NoReturn:
    raise ValueError("not JSON")

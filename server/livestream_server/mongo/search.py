"""Finding users by a part of their names, whatever the case and the accents.

Databases fold letters by rules of their own, if at all, so both sides are folded here: what is searched when it is
written, and what is searched for when it is asked.
"""

import re
import unicodedata

from livestream_server.mongo.client import Document

_DOTLESS = str.maketrans("ıø", "io")  # letters that no decomposition turns into their plain ones


def fold(text: str) -> str:
    """`text` in lower case and without accents; the dotted and the dotless Turkish letters are one."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(each for each in decomposed if not unicodedata.combining(each))
    return " ".join(plain.translate(_DOTLESS).split())


def to_search_text(*parts: str) -> str:
    """What to store, so that `match_containing` finds a piece of any of `parts`, and not one that spans two."""
    return "\n".join(fold(each) for each in parts)


def match_containing(text: str) -> Document:
    """The condition on a field written with `to_search_text` that a part of it contains `text`."""
    return {"$regex": re.escape(fold(text))}

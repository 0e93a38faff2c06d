"""Finding people by a part of their names, whatever the case and the accents.

Databases fold letters by rules of their own, if at all, so both sides are folded here: what is searched when it is
written, and what is searched for when it is asked.
"""

import re
import unicodedata

from livestream_server.mongo.client import Document

_DOTLESS = str.maketrans("ıø", "io")  # letters that no decomposition turns into their plain ones


def folded(text: str) -> str:
    """`text` in lower case and without accents; the dotted and the dotless Turkish letters are one."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(each for each in decomposed if not unicodedata.combining(each))
    return " ".join(plain.translate(_DOTLESS).split())


def searchable(*parts: str) -> str:
    """What to store, so that `containing` finds it by a piece of any of `parts`, and not by one that spans two."""
    return "\n".join(folded(each) for each in parts)


def containing(text: str) -> Document:
    """The condition on a field written with `searchable` that a part of it contains `text`."""
    return {"$regex": re.escape(folded(text))}

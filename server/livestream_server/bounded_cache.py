"""A cache with an upper bound."""

from itertools import islice
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

_PART = 8  # what is forgotten at once: looking for the single oldest entry takes long where others were forgotten


class BoundedCache(dict[Key, Value]):
    """A dictionary that holds at most `size` entries: where one more would be put, the oldest are dropped."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def put(self, key: Key, value: Value) -> None:
        """Set an entry; it is the newest from now on."""
        self.pop(key, None)
        if len(self) >= self._size:
            for oldest in list(islice(self, 1 + self._size // _PART)):
                del self[oldest]
        self[key] = value

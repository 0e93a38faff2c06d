"""A bounded memory."""

from hypothesis import given
from hypothesis import strategies as st

from livestream_server.bounded_cache import BoundedCache


@given(st.integers(1, 20), st.lists(st.integers(0, 40)))
def test_it_is_bounded_and_keeps_the_newest(size: int, keys: list[int]) -> None:
    """A process that runs for months would grow for months, or forget what it was told just now."""
    memory: BoundedCache[int, int] = BoundedCache(size)
    for turn, key in enumerate(keys):
        memory.put(key, turn)
        assert len(memory) <= size
        assert memory[key] == turn
        newest = list(dict.fromkeys(reversed(keys[: turn + 1])))
        assert set(memory) == set(newest[: len(memory)])  # whatever was forgotten is older than what was kept

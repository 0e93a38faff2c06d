from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livestream_server.settings import Settings
from livestream_server.transport.rates import Rate, RateLimiter

SECOND = 1_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


class Bucket:
    """The reference: tokens that come in evenly, up to a full bucket."""

    def __init__(self, calls: int, seconds: int) -> None:
        self.calls = calls
        self.per_nanosecond = Fraction(calls, seconds * SECOND)
        self.tokens = Fraction(calls)
        self.at = 0

    def take(self, now: int) -> Fraction:
        """0 if there was one, else in how many seconds there will be."""
        self.tokens = min(Fraction(self.calls), self.tokens + (now - self.at) * self.per_nanosecond)
        self.at = now
        if self.tokens >= 1:
            self.tokens -= 1
            return Fraction(0)
        return (1 - self.tokens) / self.per_nanosecond / SECOND


CALLS = st.sampled_from([1, 2, 4, 5, 8, 20])  # whose interval is a whole number of nanoseconds
STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, SECOND // 2)), max_size=100)


@given(CALLS, st.sampled_from([1, 60]), STEPS)
def test_every_key_has_a_bucket_of_its_own(calls: int, seconds: int, steps: list[tuple[str, int]]) -> None:
    """What one takes is taken from nobody else, and the wait that is told is the real one."""
    clock = Clock()
    limiter = RateLimiter(Rate(calls, seconds), clock=clock)
    buckets = {key: Bucket(calls, seconds) for key in "abc"}
    for key, pause in steps:
        clock.now += pause
        foretold = limiter.check(key)
        wait = limiter.take(key)
        assert wait == foretold == pytest.approx(float(buckets[key].take(clock.now)))


@given(CALLS, STEPS)
def test_whoever_waits_as_told_is_let_in(calls: int, steps: list[tuple[str, int]]) -> None:
    """A client that obeys Retry-After must not be refused again."""
    clock = Clock()
    limiter = RateLimiter(Rate(calls, 1), clock=clock)
    for key, pause in steps:
        clock.now += pause
        if wait := limiter.take(key):
            clock.now += round(wait * SECOND)
            assert limiter.take(key) == 0


@given(st.integers(2, 20), st.lists(st.integers(0, SECOND // 8), max_size=300))
def test_memory_is_bounded_and_whoever_used_most_is_not_forgotten(max_keys: int, pauses: list[int]) -> None:
    """Somebody with many addresses can neither fill the memory nor wash one of them clean with the others."""
    clock = Clock()
    limiter = RateLimiter(Rate(4, 1), clock=clock, max_keys=max_keys)
    for number, pause in enumerate(pauses):
        clock.now += pause
        while not limiter.take("heavy"):
            pass
        limiter.take(str(number))  # less than "heavy": of keys that used as much, any may be forgotten
        assert len(limiter._whole_again) <= max_keys
        assert limiter.take("heavy") > 0


def test_a_flood_of_other_keys_does_not_wash_one_clean() -> None:
    """The same at the size that runs."""
    clock = Clock()
    limiter = RateLimiter(Rate(60, 60), clock=clock)
    while not limiter.take("attacker"):
        pass
    for number in range(50_000):
        limiter.take(str(number))
    assert limiter.take("attacker") > 0
    assert len(limiter._whole_again) <= 10_000


@given(st.lists(st.integers(0, SECOND // 50), max_size=300), st.sampled_from([0.0, 0.5, 2.0]))
def test_turns_come_in_their_order_and_never_later_than_said(pauses: list[int], at_most: float) -> None:
    """A crowd is told one after the other, and nobody waits without end."""
    clock = Clock()
    limiter = RateLimiter(Rate(10, 1), clock=clock)
    last = 0.0
    for number, pause in enumerate(pauses):
        clock.now += pause
        wait = limiter.take_turn("a", at_most)
        assert 0 <= wait <= at_most
        if number < 10:
            assert wait == 0
        due = clock.now / SECOND + wait
        assert due >= last - 1e-9
        last = due


@pytest.mark.parametrize(
    ("text", "rate"), [("1/second", Rate(1, 1)), ("60/minute", Rate(60, 60)), ("5/hour", Rate(5, 3600))]
)
def test_a_setting_gives_a_rate(text: str, rate: Rate) -> None:
    """Operators write it."""
    assert Rate.parse(text) == rate


def test_every_rate_that_is_set_by_default_can_be_read() -> None:
    """A typing error in one would stop every start."""
    rates = [field.default for name, field in Settings.model_fields.items() if name.endswith("_rate")]
    assert len(rates) == 7
    assert all(Rate.parse(each).calls > 0 for each in rates)

"""How often something may happen per key: the generic cell rate algorithm (ITU-T I.371), in memory.

It keeps one number per key: the instant at which the key has its whole rate again. A key whose instant has passed is
like one that was never seen, so it can be forgotten without a trace. docs/decisions/ says why this is no package.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

MAX_KEYS = 10_000
"""Kept per limiter: 2 MB at most. Only keys that used something a moment ago are among them."""

_SECONDS = {"second": 1, "minute": 60, "hour": 3600}
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """`calls` in any `seconds` after a rest, and as many per `seconds` for as long as they go on."""

    calls: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The rate that a setting gives, as in `60/minute`; the settings have checked its form."""
        calls, _, unit = text.partition("/")
        return cls(int(calls), _SECONDS[unit])

    def multiply(self, factor: int) -> Self:
        """As many times that rate."""
        return type(self)(self.calls * factor, self.seconds)


class RateLimiter:
    """One rate, kept for each key apart."""

    def __init__(self, rate: Rate, *, clock: Callable[[], int] = time.monotonic_ns, max_keys: int = MAX_KEYS) -> None:
        """`clock` counts nanoseconds. Beyond `max_keys`, keys are forgotten, those first that used least."""
        self._interval = max(1, rate.seconds * _NANOSECONDS // rate.calls)
        self._burst = self._interval * rate.calls
        self._clock = clock
        self._max_keys = max_keys
        self._whole_again: dict[str, int] = {}

    def take(self, key: str) -> float:
        """Use one, and answer 0; if none is left, use nothing, and answer in how many seconds there will be one."""
        now = self._clock()
        after = self._compute_whole_again(key, now)
        if after - now > self._burst:
            return (after - now - self._burst) / _NANOSECONDS
        self._keep(key, after, now)
        return 0.0

    def check(self, key: str) -> float:
        """What `take` would answer; nothing is used."""
        now = self._clock()
        after = self._compute_whole_again(key, now)
        return max(0, after - now - self._burst) / _NANOSECONDS

    def take_turn(self, key: str, at_most: float) -> float:
        """Use one in any case, and answer in how many seconds its turn comes: at most `at_most`."""
        now = self._clock()
        latest = now + self._burst + round(at_most * _NANOSECONDS)
        after = min(self._compute_whole_again(key, now), latest)
        self._keep(key, after, now)
        return max(0, after - now - self._burst) / _NANOSECONDS

    def _compute_whole_again(self, key: str, now: int) -> int:
        """When the key will have its whole rate again, if it uses one more now."""
        whole_again = self._whole_again.get(key, now)
        return max(whole_again, now) + self._interval

    def _keep(self, key: str, whole_again: int, now: int) -> None:
        if key not in self._whole_again and len(self._whole_again) >= self._max_keys:
            self._forget(now)
        self._whole_again[key] = whole_again

    def _forget(self, now: int) -> None:
        """Drop the keys that have their whole rate again; if those are few, also the ones that come next.

        So whoever used much stays known: to be forgotten takes thousands of other keys that used more.
        """
        left = {key: at for key, at in self._whole_again.items() if at > now}
        if len(left) > self._max_keys // 2:
            left = dict(sorted(left.items(), key=lambda entry: entry[1])[-(self._max_keys // 2) :])
        self._whole_again = left

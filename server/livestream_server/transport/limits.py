"""Limits per caller, so that no caller starves the others.

Three groups have limits of their own: users, who are told apart by their id; internal services, likewise; and
anonymous callers, who are told apart by their address, with room for the many users whom a carrier puts behind one.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any, Self

from livestream.v1.access_pb2 import Access
from livestream_server.errors import CallerLimited, RateLimited, TooManyWatches, Unauthenticated
from livestream_server.settings import Settings
from livestream_server.transport.call import Call, parse_peer_address
from livestream_server.transport.methods import Method
from livestream_server.transport.rates import Rate, RateLimiter
from livestream_server.transport.shares import CallShares
from livestream_server.transport.status import build_trailing_metadata, to_status_code

USERS_PER_ADDRESS = 100
"""For how many users there is room at one address: carriers share one among their customers (RFC 6888)."""

CALLS_AT_ONCE = 8
ANONYMOUS_CALLS_AT_ONCE = 16
INTERNAL_CALLS_AT_ONCE = 32
"""Calls of one user, address or internal service that are answered at the same time; their others wait for these.

An event loop answers in turns, so these many are what somebody else's call waits for at worst.
"""

REFUSALS = Rate(100, 1)
LONGEST_DELAY = 1.0
MAX_DELAYED = 512
"""A caller is told of that many refusals as they come; of more, up to LONGEST_DELAY seconds later.

Whoever repeats a refused call at once is held up by that, not the process. Beyond MAX_DELAYED, none is held back.
"""

UNLIMITED = Rate(1_000_000_000, 1)


@dataclass(frozen=True, slots=True)
class Limits:
    """The configured limits, per process; those of one user, unless a field says otherwise."""

    reads: Rate = UNLIMITED
    writes: Rate = UNLIMITED
    creates: Rate = UNLIMITED
    joins: Rate = UNLIMITED
    uploads: Rate = UNLIMITED
    failed_authentications: Rate = UNLIMITED
    internal_calls: Rate = UNLIMITED
    """All calls of one internal service."""
    share: float = 1.0
    """Most of the calls in flight, 0 to 1. An address and an internal service have twice that."""
    watches: int = 1_000_000
    watches_per_subject: int = 1_000_000

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the settings say."""
        return cls(
            reads=Rate.parse(settings.read_rate),
            writes=Rate.parse(settings.write_rate),
            creates=Rate.parse(settings.create_rate),
            joins=Rate.parse(settings.join_rate),
            uploads=Rate.parse(settings.upload_rate),
            failed_authentications=Rate.parse(settings.failed_authentication_rate),
            internal_calls=Rate.parse(settings.internal_rate),
            share=settings.caller_share,
            watches=settings.watchers_per_user,
            watches_per_subject=settings.watchers_per_user_and_stream,
        )


NO_LIMITS = Limits()


class Watches:
    """The server streams that each caller has open."""

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._open: Counter[object] = Counter()

    @contextmanager
    def open(self, key: object) -> Iterator[None]:
        """One more for the length of the block; raises TooManyWatches."""
        if self._open[key] >= self._at_most:
            raise TooManyWatches(self._at_most)
        self._open[key] += 1
        try:
            yield
        finally:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]


class StreamsWithoutToken:
    """The streams of health and reflection, where nobody proves who they are: so many for each address.

    gRPC counts them together with all calls of a process, so one stranger could hold all that there is.
    """

    PER_ADDRESS = 100

    def __init__(self) -> None:
        self._watches = Watches(self.PER_ADDRESS)

    @asynccontextmanager
    async def open(self, context: Any) -> AsyncIterator[None]:
        """One more for the length of the block; ends the call of `context` if its address has too many."""
        try:
            with self._watches.open(find_network(parse_peer_address(context.peer()))):
                yield
        except TooManyWatches as error:
            await context.abort(to_status_code(type(error)), str(error), build_trailing_metadata(error, ""))


@dataclass(frozen=True, slots=True)
class Group:
    """Callers of one kind: all have the same limits, counted for each caller apart."""

    rates: "Mapping[Access.Rate.ValueType, RateLimiter]"
    uploads: RateLimiter
    shares: CallShares
    watches: Watches
    watches_per_subject: Watches

    def take(self, method: Method, key: str) -> None:
        """Count a call of the caller; raises RateLimited."""
        if wait := self.rates[method.rate].take(key):
            raise RateLimited(wait)

    def take_upload(self, key: str) -> None:
        """Count a file that the caller sends; raises RateLimited."""
        if wait := self.uploads.take(key):
            raise RateLimited(wait)

    def check(self, method: Method, key: str) -> None:
        """Count a read, and raise RateLimited or TooManyCalls if a call of the method would be refused."""
        wait = self.rates[Access.RATE_READ].take(key) or self.rates[method.rate].check(key)
        if wait := wait or (self.uploads.check(key) if method.file else 0.0):
            raise RateLimited(wait)
        self.shares.check(key)


class CallerLimits:
    """Keeps the limits of all callers of a process."""

    def __init__(self, limits: Limits, max_in_flight: int) -> None:
        share = _compute_share(limits.share, max_in_flight)
        many = _compute_share(2 * limits.share, max_in_flight)
        self._users = _build_group(limits, 1, CallShares(CALLS_AT_ONCE, share, max_in_flight))
        addresses = CallShares(ANONYMOUS_CALLS_AT_ONCE, many, max_in_flight)
        self._addresses = _build_group(limits, USERS_PER_ADDRESS, addresses)
        internal = RateLimiter(limits.internal_calls)
        self._internal = Group(
            rates=dict.fromkeys(Access.Rate.values(), internal),
            uploads=internal,
            shares=CallShares(INTERNAL_CALLS_AT_ONCE, many, max_in_flight),
            watches=self._addresses.watches,
            watches_per_subject=self._addresses.watches_per_subject,
        )
        self._internal_scopes: set[str] = set()
        self._failed = RateLimiter(limits.failed_authentications.multiply(USERS_PER_ADDRESS))
        self._refusals = RateLimiter(REFUSALS)
        self._delayed = 0

    def register(self, method: Method) -> None:
        """Take whoever has the scope of an internal method for an internal service."""
        if method.scope:
            self._internal_scopes.add(method.scope)

    def find_group(self, call: Call) -> tuple[Group, str]:
        """Whose limits hold for the call, once its caller is known, and the key under which they are kept."""
        caller = call.caller
        if caller is None:
            return self._addresses, find_network(call.peer)
        if caller.scopes and self._is_internal(caller.scopes):
            return self._internal, caller.id
        return self._users, caller.id

    def _is_internal(self, scopes: Collection[str]) -> bool:
        return not self._internal_scopes.isdisjoint(scopes)

    def count_failed_authentication(self, call: Call) -> None:
        """Raise RateLimited if too many came from there. A good token is accepted from there all the same."""
        if wait := self._failed.take(find_network(call.peer)):
            raise RateLimited(wait)

    async def delay(self, refusal: CallerLimited | Unauthenticated, call: Call) -> None:
        """Wait before the caller is told, if they are being told all the time."""
        seconds = self._refusals.take_turn(self.find_group(call)[1], LONGEST_DELAY)
        if not seconds or self._delayed >= MAX_DELAYED:
            return
        self._delayed += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self._delayed -= 1
        if isinstance(refusal, CallerLimited):
            refusal.retry_after = max(0.001, refusal.retry_after - seconds)


def _build_group(limits: Limits, times: int, shares: CallShares) -> Group:
    def limiter(rate: Rate) -> RateLimiter:
        return RateLimiter(rate.multiply(times))

    writes = limiter(limits.writes)
    return Group(
        rates={
            Access.RATE_UNSPECIFIED: writes,
            Access.RATE_READ: limiter(limits.reads),
            Access.RATE_WRITE: writes,
            Access.RATE_CREATE: limiter(limits.creates),
            Access.RATE_JOIN: limiter(limits.joins),
        },
        uploads=limiter(limits.uploads),
        shares=shares,
        watches=Watches(limits.watches * times),
        watches_per_subject=Watches(limits.watches_per_subject * times),
    )


def _compute_share(share: float, max_in_flight: int) -> int:
    return max(1, min(max_in_flight, int(max_in_flight * share)))


@lru_cache(maxsize=1024)
def find_network(address: str) -> str:
    """What one customer has of addresses: an IPv4 address, or the first 64 bits of an IPv6 address (RFC 6177).

    An IPv4 address written as IPv6 (RFC 4291, section 2.5.5.2) is the former. What is no address stays as it is.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> 64 << 64))

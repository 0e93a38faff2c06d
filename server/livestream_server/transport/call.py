"""The call that is being answered: who asks for what, under which id."""

import string
from collections.abc import Collection, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from random import getrandbits
from typing import Protocol
from urllib.parse import unquote

from livestream_server.transport.forwarded import Network, client_address, parse_address

Metadata = Sequence[tuple[str, str | bytes]]

REQUEST_ID_LENGTH = 64
ADMISSION = ("x-admission", "check")
"""Metadata with which a gateway asks whether the call would be let in, before it has read the request."""
_VISIBLE = frozenset(string.ascii_letters + string.digits + string.punctuation)


class Caller(Protocol):
    """Whoever a verified token speaks for."""

    @property
    def id(self) -> str:
        """The person's id: 24 hexadecimal digits."""

    @property
    def scopes(self) -> Collection[str]:
        """What the token allows beyond being that person."""

    @property
    def expires_at(self) -> float:
        """When the token stops being accepted, in Unix seconds."""


@dataclass(slots=True)
class Call:
    """One call, from its first byte to its log line."""

    method: str
    request_id: str
    peer: str
    authorization: Sequence[str | bytes]
    """The values of that entry of the metadata, of which there should be at most one."""
    only_admission: bool = False
    """Whether nothing is asked but if the call would be let in."""
    caller: Caller | None = None
    sent: int | None = None
    """Answers so far, if the method streams them."""


_current: ContextVar[Call] = ContextVar("call")


def current_call() -> Call:
    """The call that this task answers."""
    return _current.get()


def current_caller() -> Caller:
    """The caller of a method that requires a token.

    Raises LookupError in a method that does not: such a method reads `current_call().caller`.
    """
    if caller := _current.get().caller:
        return caller
    raise LookupError("an anonymous call has no caller")


def begun(method: str, metadata: Metadata, peer: str, *, trusted_proxies: Sequence[Network]) -> Call:
    """A new call, the current one of this task and of the tasks that it starts.

    `peer` is gRPC's text for where it came from; `x-forwarded-for` counts as far as `trusted_proxies` have written it.
    """
    authorization, request_id, forwarded, only_admission = [], None, [], False
    for key, value in metadata:
        if key == "authorization":
            authorization.append(value)
        elif key == "x-request-id":
            request_id = request_id or value
        elif key == "x-forwarded-for":
            forwarded.append(value if isinstance(value, str) else "")
        elif key == ADMISSION[0]:
            only_admission = value == ADMISSION[1]
    address = peer_address(peer)
    if trusted_proxies and forwarded:
        address = client_address(address, forwarded, trusted_proxies)
    call = Call(method, request_id_of(request_id), address, authorization, only_admission)
    _current.set(call)
    return call


def is_request_id(text: str) -> bool:
    """Whether `text` can be an id: 1 to 64 visible ASCII characters."""
    return 0 < len(text) <= REQUEST_ID_LENGTH and _VISIBLE.issuperset(text)


def request_id_of(given: str | bytes | None) -> str:
    """The id that the caller gave, if it can be one, else a new one."""
    # The system's randomness would cost a switch of threads, and nothing rests on that nobody guesses the id of a call.
    return given if isinstance(given, str) and is_request_id(given) else f"{getrandbits(64):016x}"


@lru_cache(maxsize=1024)  # a connection has one, and many calls
def peer_address(peer: str) -> str:
    """The bare address in gRPC's peer text: `ipv4:10.0.0.7:5123` and `ipv6:%5B::1%5D:5123` lose scheme and port.

    So does `ipv6:[::ffff:10.0.0.7]:5123`, which is pygrpc-native's name for the first. Empty for any other peer.
    """
    scheme, _, rest = peer.partition(":")
    address = parse_address(unquote(rest)) if scheme in ("ipv4", "ipv6") else None
    return "" if address is None else str(address)

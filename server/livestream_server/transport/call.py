"""The call that is being answered: who asks for what, under which id."""

import string
from collections.abc import Collection, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from random import getrandbits
from typing import Protocol

Metadata = Sequence[tuple[str, str | bytes]]

REQUEST_ID_LENGTH = 64
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
    caller: Caller | None = None
    only_admission: bool = False
    """Whether the caller only asks if the call would be taken (`x-admission: check`), and who that caller is."""
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


def begun(method: str, metadata: Metadata, peer: str, *, trust_forwarded_for: bool) -> Call:
    """A new call, the current one of this task and of the tasks that it starts.

    `peer` is gRPC's text for where it came from; a proxy's word for that counts if `trust_forwarded_for`.
    """
    authorization, request_id, forwarded, only_admission = [], None, None, False
    for key, value in metadata:
        if key == "authorization":
            authorization.append(value)
        elif key == "x-request-id":
            request_id = request_id or value
        elif key == "x-forwarded-for":
            forwarded = forwarded or value
        elif key == "x-admission":
            only_admission = value == "check"
    address = peer_address(peer)
    if trust_forwarded_for and isinstance(forwarded, str):
        address = forwarded.partition(",")[0].strip()
    call = Call(method, request_id_of(request_id), address, authorization, only_admission=only_admission)
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

    So does `ipv6:[::ffff:10.0.0.7]:5123`, which is pygrpc-native's name for the first.
    """
    scheme, _, rest = peer.partition(":")
    if scheme not in ("ipv4", "ipv6"):
        return ""
    address = rest.rpartition(":")[0].replace("%5B", "").replace("%5D", "").strip("[]")
    return address.removeprefix("::ffff:")

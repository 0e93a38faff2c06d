"""The call that is being answered: who asks for what, under which id."""

import secrets
import string
from collections.abc import Collection, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
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
    metadata: Metadata
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


def begin(call: Call) -> None:
    """Make `call` the current one of this task, and of the tasks that it starts."""
    _current.set(call)


def first(metadata: Metadata, key: str) -> str | None:
    """The first text value of `key`, which is in lower case as gRPC sends it."""
    return next((value for name, value in metadata if name == key and isinstance(value, str)), None)


def is_request_id(text: str) -> bool:
    """Whether `text` can be an id: 1 to 64 visible ASCII characters."""
    return 0 < len(text) <= REQUEST_ID_LENGTH and _VISIBLE.issuperset(text)


def request_id_of(given: str | None) -> str:
    """The id that the caller gave, if it can be one, else a new one."""
    return given if given is not None and is_request_id(given) else secrets.token_hex(8)


def peer_address(peer: str) -> str:
    """The bare address in gRPC's peer text: `ipv4:10.0.0.7:5123` and `ipv6:%5B::1%5D:5123` lose scheme and port.

    So does `ipv6:[::ffff:10.0.0.7]:5123`, which is pygrpc-native's name for the first.
    """
    scheme, _, rest = peer.partition(":")
    if scheme not in ("ipv4", "ipv6"):
        return ""
    address = rest.rpartition(":")[0].replace("%5B", "").replace("%5D", "").strip("[]")
    return address.removeprefix("::ffff:")

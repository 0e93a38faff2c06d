"""The call that is being answered: who asks for what, under which id."""

import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import getrandbits
from urllib.parse import unquote

from livestream.addresses import Network, find_client, parse_address
from livestream_server.protocols import Caller

Metadata = Sequence[tuple[str, str | bytes]]

REQUEST_ID_LENGTH = 64
ADMISSION = ("x-admission", "check")
"""Metadata with which a gateway asks whether the call would be let in, before it has read the request."""
_VISIBLE = frozenset(string.ascii_letters + string.digits + string.punctuation)


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

    def require_caller(self) -> Caller:
        """The caller; raises LookupError for an anonymous call, which methods that require a token never get."""
        if self.caller is None:
            raise LookupError("an anonymous call has no caller")
        return self.caller

    @property
    def user_id(self) -> str:
        """The id of the user who calls; raises LookupError for an anonymous call."""
        return self.require_caller().id


def begin_call(method: str, metadata: Metadata, peer: str, *, trusted_proxies: Sequence[Network]) -> Call:
    """A new call.

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
    address = parse_peer_address(peer)
    if trusted_proxies and forwarded:
        address = find_client(address, forwarded, trusted_proxies)
    return Call(method, choose_request_id(request_id), address, authorization, only_admission)


def is_request_id(text: str) -> bool:
    """Whether `text` can be an id: 1 to 64 visible ASCII characters."""
    return 0 < len(text) <= REQUEST_ID_LENGTH and _VISIBLE.issuperset(text)


def choose_request_id(given: str | bytes | None) -> str:
    """The id that the caller gave, if it can be one, else a new one."""
    # The system's randomness would release the GIL, and to get it back takes long under load. Nobody needs ids of calls
    # that are hard to guess.
    return given if isinstance(given, str) and is_request_id(given) else f"{getrandbits(64):016x}"


@lru_cache(maxsize=1024)  # a connection has one, and many calls
def parse_peer_address(peer: str) -> str:
    """The bare address in gRPC's peer text: `ipv4:10.0.0.7:5123` and `ipv6:%5B::1%5D:5123` lose scheme and port.

    So does `ipv6:[::ffff:10.0.0.7]:5123`, which is pygrpc-native's name for the first. Empty for any other peer.
    """
    scheme, _, rest = peer.partition(":")
    address = parse_address(unquote(rest)) if scheme in ("ipv4", "ipv6") else None
    return "" if address is None else str(address)

"""Who a call comes from, as its verified token says. Nothing in a request body can change it."""

from dataclasses import dataclass, field
from math import inf


@dataclass(frozen=True, slots=True)
class Caller:
    """A user or a service: 24 lower-case hexadecimal digits, and the scopes that the issuer granted."""

    id: str
    scopes: frozenset[str]
    expires_at: float = field(default=inf, compare=False)
    """When the token stops being accepted, in Unix seconds. It says nothing about who the caller is."""

"""Who a call comes from, as its verified token says. Nothing in a request body can change it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """A person or a service: 24 lower-case hexadecimal digits, and the scopes that the issuer granted."""

    id: str
    scopes: frozenset[str]

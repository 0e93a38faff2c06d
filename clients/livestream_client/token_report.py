"""What an Agora token says, in lines for people."""

from collections.abc import Iterator
from datetime import datetime

from livestream_agora.inspection import Inspection

_CERTIFICATE = {True: "fits", False: "does not fit", None: "not checked"}


def report(found: Inspection) -> Iterator[str]:
    """A line for everything that the token tells; nothing of a token that cannot be read."""
    if found.version is None:
        return
    lines = {
        "version": found.version,
        "app id": found.app_id,
        "issued": _instant(found.issued_at),
        "expires": _instant(found.expires_at),
        "channel": found.channel,
        "uid": "any" if found.uid == "" else found.uid,
        "user id": found.user_id,
        "certificate": _CERTIFICATE[found.certificate_fits],
    }
    for service in found.services:
        for privilege in service.privileges:
            until = f"until {_instant(privilege.expires_at)}" if privilege.expires_at else "without end"
            lines[f"{service.name} {privilege.name}"] = until
    yield from (f"{name:<20} {value}" for name, value in lines.items() if value is not None)


def _instant(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"

"""What an Agora token says, in lines for humans."""

from collections.abc import Iterator
from datetime import datetime

from livestream_agora.inspection import Inspection, Service

_CERTIFICATE = {True: "fits", False: "does not fit", None: "not checked"}


def report(found: Inspection) -> Iterator[str]:
    """A line for everything that the token tells; none, if it cannot be read."""
    if found.version is None:
        return
    yield f"version      {found.version}"
    yield f"app id       {found.app_id}"
    if found.issued_at:
        yield f"issued       {_format_instant(found.issued_at)}"
    yield f"expires      {_format_instant(found.expires_at)}"
    yield f"certificate  {_CERTIFICATE[found.certificate_fits]}"
    for service in found.services:
        yield f"{service.name}          {_describe_subject(service)}"
        for privilege in service.privileges:
            yield f"             {privilege.name} {_format_end(privilege.expires_at)}"


def _describe_subject(service: Service) -> str:
    named = {"channel": service.channel, "uid": service.uid, "user id": service.user_id}
    told = [f"{name} {value or 'any'}" for name, value in named.items() if value is not None]
    # A 006 token holds checksums only: it answers to the right names, but does not tell them.
    return ", ".join(told) or "for whom is not told"


def _format_end(moment: datetime | None) -> str:
    return "without end" if moment is None else f"until {_format_instant(moment)}"


def _format_instant(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else "never"

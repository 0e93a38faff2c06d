"""The Agora tokens of an answer: decoded, verified with the certificate, and compared with what stands beside them."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from livestream_agora.inspection import Inspection, inspect

_WATCH = {"join channel"}
_PUBLISH = _WATCH | {"publish audio", "publish video", "publish data"}
RIGHTS: Mapping[Any, set[str]] = {"host": _PUBLISH, "guest": _PUBLISH, "audience": _WATCH}


def decode_tokens(body: Any, certificate: str) -> Iterator[tuple[str, Mapping[str, Any], Inspection]]:
    """What the tokens of an envelope say, as far as it has any; before that, the token's name and what is beside it."""
    data = body.get("data") if isinstance(body, Mapping) else None
    for name in ("agora", "rtm"):
        beside = data.get(name) if isinstance(data, Mapping) else None
        if isinstance(beside, Mapping):
            yield (
                name,
                beside,
                inspect(
                    str(beside.get("token")),
                    certificate=certificate,
                    channel=beside.get("channelName") if name == "agora" else None,
                    uid=beside.get("uid"),
                    user_id=beside.get("userId"),
                ),
            )


def find_token_faults(body: Any, certificate: str) -> Iterator[str]:
    """What is wrong with the tokens, in words."""
    for name, beside, found in decode_tokens(body, certificate):
        for problem in found.problems:
            yield f"{name}.token: {problem.kind}: {problem.detail}"
        if found.version is None:
            continue
        if found.certificate_fits is None:
            yield f"{name}.token: could not be verified with the certificate"
        if found.app_id != beside.get("appId"):
            yield f"{name}.token: is for the app id {found.app_id}"
        if found.expires_at is None or found.expires_at != _instant(beside.get("expiresAt")):
            yield f"{name}.expiresAt: is {beside.get('expiresAt')}, the token ends at {found.expires_at}"
        rights = {right.name for service in found.services for right in service.privileges}
        if rights != (RIGHTS.get(beside.get("role")) if name == "agora" else {"login"}):
            yield f"{name}.token: must not give just this: {', '.join(sorted(rights))}"


def describe_token(name: str, found: Inspection) -> Iterator[str]:
    """What the token of that name says, in lines for humans."""
    if found.version is None:
        yield f"{name}.token cannot be read"
        return
    signed = "signed with the certificate" if found.certificate_fits else "not signed with the certificate"
    yield f"{name}.token: version {found.version}, until {found.expires_at:%Y-%m-%dT%H:%M:%SZ}, {signed}"
    for service in found.services:
        named = {"channel": service.channel, "uid": service.uid, "user id": service.user_id}
        whom = ", ".join(f"{each} {value}" for each, value in named.items() if value is not None)
        yield f"  {service.name}: {whom}; may {', '.join(each.name for each in service.privileges)}"


def _instant(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None

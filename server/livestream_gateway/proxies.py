"""Replaces the proxy's address by the client's, before anything else looks at the request."""

from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from livestream.addresses import find_client, parse_network


class TrustedProxies:
    """An ASGI app around `app` that believes `X-Forwarded-For` as far as `proxies` have written it.

    `proxies` are addresses or networks. Raises ValueError if one is neither.
    """

    def __init__(self, app: ASGIApp, proxies: Iterable[str]) -> None:
        self._app = app
        self._trusted = tuple(map(parse_network, proxies))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (peer := scope.get("client")):
            forwarded = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
            scope["client"] = find_client(peer[0], forwarded, self._trusted), 0  # of the client's port nobody knows
        await self._app(scope, receive, send)

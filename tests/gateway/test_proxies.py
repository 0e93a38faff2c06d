"""The client's address, from the first proxy to the service's log."""

from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from structlog.testing import capture_logs

from livestream_gateway.app import create_app
from livestream_gateway.invoker import ChannelInvoker, Invoker, LocalInvoker
from livestream_gateway.proxies import TrustedProxies
from livestream_gateway.settings import GatewaySettings
from tests.support.environment import ServiceEnvironment, open_environment, settings_for, token

PROXY, CLIENT, FORGED = "192.0.2.1", "203.0.113.7", "198.51.100.1"


def in_process(env: ServiceEnvironment) -> Invoker:
    return LocalInvoker(env.service.handlers)


def split(env: ServiceEnvironment) -> Invoker:
    return ChannelInvoker(env.channel)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        (PROXY, f"{FORGED}, {CLIENT}", CLIENT),
        (f"::ffff:{PROXY}", CLIENT, CLIENT),  # a socket for both families
        (PROXY, "2001:DB8:0::7", "2001:db8::7"),
        (CLIENT, FORGED, CLIENT),
        (f"::ffff:{CLIENT}", FORGED, CLIENT),
    ],
)
@pytest.mark.parametrize(
    ("invoker", "gateways"), [(in_process, ()), (split, ("127.0.0.1",)), (split, ("127.0.0.0/8", "192.0.2.0/24"))]
)
async def test_the_service_knows_the_client_behind_proxy_and_gateway(
    mongo_uri: str,
    database_name: str,
    media: Path,
    invoker: Callable[[ServiceEnvironment], Invoker],
    gateways: tuple[str, ...],
    peer: str,
    forwarded: str,
    client: str,
) -> None:
    """Limits per address and audit lines rest on it, wherever the gateway runs."""
    settings = settings_for(mongo_uri, database_name, media, trusted_proxies=gateways)
    async with open_environment(settings) as env:
        app = create_app(invoker(env), settings=GatewaySettings(), ready=lambda: True, media_directory=None)
        transport = httpx2.ASGITransport(app=TrustedProxies(app, [PROXY]), client=(peer, 5123))
        async with httpx2.AsyncClient(transport=transport, base_url="http://gateway") as http:
            headers = {"authorization": f"Bearer {token('ayse')}", "x-forwarded-for": forwarded}
            with capture_logs() as logs:
                await http.get(f"/api/v1/live-stream/{'a' * 24}", headers=headers)
    assert [each["peer"] for each in logs if each["event"] == "call"] == [client]

"""TLS and mutual TLS, and certificates that change while the service runs."""

import asyncio
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx2
import pytest

from tests.promises.calls import lines, to_status_code, until
from tests.support.certificates import Authority, replace
from tests.support.environment import IDS, LiveService, environment_for, free_port, token, user_request

ROTATIONS = 5


@dataclass(frozen=True)
class Secured:
    """A service that asks its clients for certificates, and the files that it reads."""

    service: LiveService
    authority: Authority
    folder: Path
    first_serial: int

    def credentials(self, name: str | None = "client") -> grpc.ChannelCredentials:
        """What a client trusts and shows; nothing to show if `name` is None."""
        if name is None:
            return grpc.ssl_channel_credentials(self.authority.certificate)
        pair = self.authority.issue(name)
        return grpc.ssl_channel_credentials(self.authority.certificate, pair.key, pair.certificate)

    async def shown_serial(self) -> int:
        """The serial number of the certificate that a new connection gets."""
        context = ssl.create_default_context(cadata=self.authority.certificate.decode())
        context.set_alpn_protocols(["h2"])
        context.load_cert_chain(self.folder / "client.pem", self.folder / "client.key")
        host, port = self.service.grpc_target.split(":")
        _, writer = await asyncio.open_connection(host, int(port), ssl=context)
        shown = writer.get_extra_info("peercert")
        writer.transport.abort()
        return int(shown["serialNumber"], 16)

    async def shows(self, serial: int) -> bool:
        return await self.shown_serial() == serial


@pytest.fixture
async def secured(mongo_uri: str, database_name: str, tmp_path: Path) -> AsyncIterator[Secured]:
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    authority.issue("client").write(tmp_path / "client.pem", tmp_path / "client.key")
    first = authority.issue("first")
    first.write(tmp_path / "server.pem", tmp_path / "server.key")
    service = LiveService(
        {
            **environment_for(mongo_uri, database_name, tmp_path / "media"),
            "LIVESTREAM_TLS_CERTIFICATE_FILE": str(tmp_path / "server.pem"),
            "LIVESTREAM_TLS_KEY_FILE": str(tmp_path / "server.key"),
            "LIVESTREAM_TLS_CLIENT_CA_FILE": str(tmp_path / "ca.pem"),
        }
    )
    opened = Secured(service, authority, tmp_path, first.serial)
    await asyncio.to_thread(service.start)
    try:
        async with lines(service.grpc_target, 1, opened.credentials()) as (line,):
            request = user_request(IDS["ayse"], "ayse")
            metadata = (("authorization", f"Bearer {token('ayse', 'users:write')}"),)
            await line.users.PutUser(request, metadata=metadata)
        yield opened
    finally:
        await asyncio.to_thread(service.stop)


async def test_a_client_without_our_certificate_gets_nowhere(secured: Secured, figure: Callable[[str], None]) -> None:
    """Mutual TLS decides who may speak at all; a token alone is not enough."""
    stranger = Authority().issue("client")
    trusting = secured.authority.certificate
    turned_away = {
        "no certificate": secured.credentials(None),
        "a stranger's certificate": grpc.ssl_channel_credentials(trusting, stranger.key, stranger.certificate),
    }
    codes = {}
    for name, credentials in turned_away.items():
        async with grpc.aio.secure_channel(secured.service.grpc_target, credentials) as channel:
            call = channel.unary_unary("/livestream.v1.LiveStreamService/GetStream")
            codes[name] = await to_status_code(call(b"", timeout=5))
    async with grpc.aio.insecure_channel(secured.service.grpc_target) as channel:
        codes["no TLS"] = await to_status_code(
            channel.unary_unary("/livestream.v1.LiveStreamService/GetStream")(b"", timeout=5)
        )
    async with lines(secured.service.grpc_target, 1, secured.credentials()) as (line,):
        codes["ours"] = await to_status_code(line.create("ayse"))
    assert codes.pop("ours") == grpc.StatusCode.OK
    assert set(codes.values()) == {grpc.StatusCode.UNAVAILABLE}
    assert not [each for each in secured.service.log if b"GetStream" in each]
    figure(f"{len(codes)} of {len(codes)} strangers turned away ({', '.join(codes)}), 1 of 1 client let in")


async def test_certificates_change_without_a_restart(secured: Secured, figure: Callable[[str], None]) -> None:
    """A new pair counts for new connections, a broken one is not taken, and no call fails meanwhile."""
    failed = answered = 0
    stop = asyncio.Event()

    async def calls() -> None:
        nonlocal failed, answered
        async with lines(secured.service.grpc_target, 2, secured.credentials()) as opened:
            while not stop.is_set():
                codes = [await to_status_code(each.create("ayse")) for each in opened]
                failed += sum(each != grpc.StatusCode.OK for each in codes)
                answered += len(codes)

    certificate, key = secured.folder / "server.pem", secured.folder / "server.key"
    assert await secured.shown_serial() == secured.first_serial
    async with asyncio.TaskGroup() as group:
        group.create_task(calls())
        try:
            for number in range(ROTATIONS):
                fresh = secured.authority.issue(f"rotation {number}")
                fresh.write(certificate, key)
                await until(lambda serial=fresh.serial: secured.shows(serial))
            kept = 0
            other = secured.authority.issue("another's key")
            for broken_certificate, broken_key in ((b"broken", b"broken"), (b"", b""), (other.certificate, fresh.key)):
                replace(certificate, broken_certificate)
                replace(key, broken_key)
                kept += all([await secured.shows(fresh.serial) for _ in range(3)])
            certificate.unlink()
            kept += await secured.shows(fresh.serial)
            mended = secured.authority.issue("mended")
            mended.write(certificate, key)
            await until(lambda: secured.shows(mended.serial))
            async with lines(secured.service.grpc_target, 1, secured.credentials()) as (line,):
                assert await to_status_code(line.create("ayse")) == grpc.StatusCode.OK
        finally:
            stop.set()
    assert answered
    assert failed == 0
    assert kept == 4
    figure(
        f"{ROTATIONS + 1} rotations under {answered} calls: {failed} failed, each new pair shown to new connections; "
        f"{kept} broken pairs not taken"
    )


async def test_a_gateway_elsewhere_speaks_mutual_tls(secured: Secured, figure: Callable[[str], None]) -> None:
    """In a split deployment the calls between gateway and service cross a network."""
    files = ("--tls-ca", "ca.pem", "--tls-certificate", "client.pem", "--tls-key", "client.key")
    arguments = [each if each.startswith("--") else str(secured.folder / each) for each in files]
    with gateway(secured.service.grpc_target, arguments) as url:
        async with httpx2.AsyncClient(base_url=url, timeout=10) as http:

            async def ready() -> bool:
                try:
                    return (await http.get("/readyz")).status_code == 200
                except httpx2.TransportError:
                    return False

            await until(ready)
            answer = await http.post(
                "/api/v1/live-stream/create",
                json={"title": "Yeni ürün tanıtımı"},
                headers={"authorization": f"Bearer {token('ayse')}"},
            )
    assert answer.status_code == 201
    figure(f"POST create through a gateway of its own: {answer.status_code}")


@contextmanager
def gateway(target: str, arguments: Sequence[str]) -> Iterator[str]:
    """`livestream-server gateway` as a process; answers with its address."""
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "livestream_run", "gateway", "--target", target, "--http", address, *arguments]
    with subprocess.Popen(command, env=dict(os.environ), stderr=subprocess.DEVNULL) as process:
        try:
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(20)

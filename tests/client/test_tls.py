"""Encrypted connections, one-way and mutual, with certificates made for the test."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from livestream_client import LiveStreamClient, TlsFiles, Unavailable
from livestream_client.__main__ import main as livestream
from livestream_client.health import main as health
from tests.client.fake_service import FakeService, serving

STREAM = "64d15f9e2e6c8f4d5a123456"


@dataclass
class Pem:
    certificate: Path
    key: Path


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Pem:
    """One self-signed certificate for 127.0.0.1, which both sides trust."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "livestream")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    made = Pem(folder / "certificate.pem", folder / "key.pem")
    made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return made


@pytest.fixture(params=[False, True], ids=["server-only", "mutual"])
async def secured(pem: Pem, request: pytest.FixtureRequest) -> AsyncIterator[FakeService]:
    credentials = grpc.ssl_server_credentials(
        [(pem.key.read_bytes(), pem.certificate.read_bytes())],
        pem.certificate.read_bytes() if request.param else None,
        require_client_auth=request.param,
    )
    service = FakeService()
    async with serving(service, credentials):
        yield service


async def test_the_client_shows_its_certificate_and_trusts_the_given_ca(secured: FakeService, pem: Pem) -> None:
    """Tokens travel in these calls."""
    tls = TlsFiles(ca=pem.certificate, certificate=pem.certificate, key=pem.key)
    async with LiveStreamClient(secured.target, tls=tls) as client:
        await client.get_stream(STREAM)
    assert len(secured.received) == 1


async def test_a_server_that_is_not_trusted_gets_no_call(secured: FakeService) -> None:
    """With gRPC's public certificates alone, a self-signed server is a stranger; it must not see the token."""
    async with LiveStreamClient(secured.target, token="a-token", tls=TlsFiles()) as client:
        with pytest.raises(Unavailable):
            await client.get_stream(STREAM)
    assert not secured.received


async def test_command_and_health_check_speak_tls(secured: FakeService, pem: Pem) -> None:
    """Where the service asks for TLS, all tools of the package can follow."""
    files = ["--tls-ca", str(pem.certificate), "--tls-certificate", str(pem.certificate), "--tls-key", str(pem.key)]
    assert await asyncio.to_thread(livestream, ["--target", secured.target, *files, "get", STREAM]) == 0
    assert await asyncio.to_thread(health, ["--target", secured.target, *files]) is None

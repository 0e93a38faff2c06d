"""The server's certificates: checked before they are used, and read again when they change."""

import ssl
from pathlib import Path

import grpc
import structlog

from livestream_server.errors import UnusableSetting
from livestream_server.settings import Settings

_CERTIFICATE = "LIVESTREAM_TLS_CERTIFICATE_FILE"
_KEY = "LIVESTREAM_TLS_KEY_FILE"
_CLIENT_CA = "LIVESTREAM_TLS_CLIENT_CA_FILE"

_log = structlog.get_logger("livestream.server")


def build_server_credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """TLS, with client certificates demanded if a CA for them is set; None if TLS is not wanted.

    Files that changed count for connections that are made afterwards; such as cannot be used are logged, and the
    former ones stay. Raises UnusableSetting if they cannot be used at the start.
    """
    wanted = {
        _CERTIFICATE: settings.tls_certificate_file,
        _KEY: settings.tls_key_file,
        _CLIENT_CA: settings.tls_client_ca_file,
    }
    files = {name: path for name, path in wanted.items() if path}
    if _CERTIFICATE not in files:
        return None
    first = _read_configuration(files)
    seen = _read_modified(files)

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal seen
        now = _read_modified(files)
        if now == seen:
            return None
        seen = now
        try:
            fresh = _read_configuration(files)
        except UnusableSetting as error:
            _log.warning("the former certificates stay", error=str(error))
            return None
        _log.info("certificates read again")
        return fresh

    return grpc.dynamic_ssl_server_credentials(
        first,
        fetch,  # type: ignore[arg-type]  # None means unchanged; the stub does not know
        require_client_authentication=_CLIENT_CA in files,
    )


def _read_configuration(files: dict[str, Path]) -> grpc.ServerCertificateConfiguration:
    """What the files hold. gRPC itself would say of a bad pair that the port is busy."""
    content = {}
    for name, path in files.items():
        try:
            content[name] = path.read_bytes()
        except OSError as error:
            raise UnusableSetting(f"{name}: the file cannot be read ({error.strerror})") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # A password is given, else OpenSSL would ask for one at the terminal.
        context.load_cert_chain(files[_CERTIFICATE], files[_KEY], password="")
    except (OSError, ValueError) as error:
        raise UnusableSetting(f"{_CERTIFICATE} and {_KEY}: must be a certificate and its own key, in PEM") from error
    if _CLIENT_CA not in files:
        return grpc.ssl_server_certificate_configuration([(content[_KEY], content[_CERTIFICATE])])
    try:
        context.load_verify_locations(files[_CLIENT_CA])
    except OSError as error:
        raise UnusableSetting(f"{_CLIENT_CA}: must hold certificates in PEM") from error
    return grpc.ssl_server_certificate_configuration([(content[_KEY], content[_CERTIFICATE])], content[_CLIENT_CA])


def _read_modified(files: dict[str, Path]) -> list[int | None]:
    """When each file was changed; None for one that is gone."""
    return [path.stat().st_mtime_ns if path.exists() else None for path in files.values()]

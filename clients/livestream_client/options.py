"""What the command lines of this package share: TLS."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from livestream_client.channel import TlsFiles


def parse_with_tls(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse `argv` with the options of TLS added; the result's `tls` is a TlsFiles, or None for no encryption."""
    parser.add_argument(
        "--tls-ca", type=parse_readable_file, metavar="FILE", help="speak TLS, and trust the certificates in FILE"
    )
    parser.add_argument(
        "--tls-certificate", type=parse_readable_file, metavar="FILE", help="own certificate, for mutual TLS"
    )
    parser.add_argument("--tls-key", type=parse_readable_file, metavar="FILE", help="key of the own certificate")
    asked = parser.parse_args(argv)
    files = TlsFiles(ca=asked.tls_ca, certificate=asked.tls_certificate, key=asked.tls_key)
    if (files.certificate is None) != (files.key is None):
        parser.error("--tls-certificate and --tls-key belong together")
    asked.tls = None if files == TlsFiles() else files
    return asked


def parse_readable_file(text: str) -> Path:
    """An argparse type: the path of a file that can be read."""
    path = Path(text)
    try:
        path.open("rb").close()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot read {text}: {error.strerror}") from error
    return path

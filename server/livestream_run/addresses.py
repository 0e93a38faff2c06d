"""Addresses on a command line: `:50051`, `127.0.0.1:8080`, `[::1]:0`."""

import argparse
import errno
import socket
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port to listen on; an empty host means every interface."""

    host: str
    port: int

    def __str__(self) -> str:
        host = self.host or "0.0.0.0"  # noqa: S104 - what an empty host asks for
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


class AddressInUse(OSError):
    """Another program listens there."""

    def __init__(self, address: Address) -> None:
        super().__init__(
            errno.EADDRINUSE, f"{address} is in use by another program: stop that one, or choose another address"
        )
        self.address = address

    def __str__(self) -> str:
        return str(self.strerror)


def parse(text: str) -> Address:
    """The address that `text` means; raises argparse.ArgumentTypeError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535:  # noqa: PLR2004 - the highest port
        raise argparse.ArgumentTypeError(f"{text!r} is not host:port, for example 127.0.0.1:8080 or :8080")
    return Address(host.strip("[]"), int(port))


def require_free(address: Address) -> None:
    """Raise AddressInUse if anyone listens there, even one who would share the port."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise AddressInUse(address) from None
            raise

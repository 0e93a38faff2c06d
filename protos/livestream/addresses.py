"""The client's address behind proxies: `X-Forwarded-For` counts as far as trusted proxies have written it."""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MOST_PROXIES = 32
"""Entries that are looked at; what stands before them is ignored."""
_PORT = re.compile(r":[0-9]{1,5}\Z")
_MAPPED_BITS = 96  # of an IPv6 address before the IPv4 address that it stands for (RFC 4291, 2.5.5.2)


def find_client(peer: str, forwarded: Iterable[str], trusted: Sequence[Network]) -> str:
    """The address of the client, in its shortest form; `peer` as it is if that is no address.

    `peer` is the address that is connected, `forwarded` the values of all `X-Forwarded-For` headers in their order.
    Each proxy adds at the end whom it was called by. So the list is read from its end for as long as the address found
    last is a trusted proxy's, and an entry that is no address ends it: whoever is found last is the client.
    """
    client = parse_address(peer)
    if client is None:
        return peer
    entries = ",".join(forwarded).rsplit(",", MOST_PROXIES)
    while entries and any(client in network for network in trusted):
        entry = parse_address(entries.pop())
        if entry is None:
            break
        client = entry
    return str(client)


def parse_address(text: str) -> Address | None:
    """The address in `192.0.2.7`, `192.0.2.7:5123`, `2001:db8::1` or `[2001:db8::1]:5123`; None if there is none.

    A zone (`fe80::1%eth0`) is dropped, and an IPv4 address in the form of IPv6 (`::ffff:192.0.2.7`) becomes itself.
    """
    host = text.strip(" \t")
    if host.startswith("[") or host.count(":") == 1:
        host = _PORT.sub("", host)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))  # the number has no zone


def parse_network(text: str) -> Network:
    """The network in `10.0.0.0/8`, or that of one address. Raises ValueError if there is none."""
    network = ip_network(text)
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        return network if mapped is None else IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network

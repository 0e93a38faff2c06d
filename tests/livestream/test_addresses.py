from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from livestream.addresses import Address, find_client, parse_address, parse_network

TRUSTED = tuple(map(parse_network, ("10.0.0.0/8", "fd00::/8", "::ffff:192.0.2.0/120")))
PROXIES = st.one_of(
    st.ip_addresses(network="10.0.0.0/8"), st.ip_addresses(network="fd00::/8"), st.ip_addresses(network="192.0.2.0/24")
)
CLIENTS = st.one_of(st.ip_addresses(network="203.0.113.0/24"), st.ip_addresses(network="2001:db8::/32"))
GARBAGE = st.one_of(st.text(max_size=20), st.sampled_from(["", " ", "unknown", "_hidden", "1.2.3", "[::1", "::1]:5"]))


@st.composite
def spelled(draw: st.DrawFn, address: Address) -> str:
    """One of the ways in which proxies write an address."""
    text = draw(st.sampled_from([str(address), address.exploded.upper()]))
    if isinstance(address, IPv4Address):
        text = draw(st.sampled_from([text, f"{text}:{draw(st.integers(0, 65_535))}", f"::ffff:{address}"]))
    if isinstance(address, IPv6Address) or text.startswith("::"):
        text = draw(st.sampled_from([text, f"[{text}]", f"[{text}]:{draw(st.integers(0, 65_535))}"]))
    space = st.sampled_from(["", " ", "\t"])
    return draw(space) + text + draw(space)


@st.composite
def headers(draw: st.DrawFn, entries: Sequence[str]) -> list[str]:
    """The same list in one header or in several."""
    values = [""]
    for place, entry in enumerate(entries):
        if place and draw(st.booleans()):
            values.append(entry)
        else:
            values[-1] += f",{entry}" if place else entry
    return values


@given(st.data(), CLIENTS, st.lists(PROXIES, min_size=1, max_size=6), st.lists(GARBAGE | CLIENTS.map(str), max_size=4))
def test_whatever_a_client_writes_they_are_who_they_are(
    data: st.DataObject, client: Address, proxies: list[Address], forged: list[str]
) -> None:
    """Each proxy adds whom it was called by; a client can write only in front of that."""
    *added, peer = client, *proxies
    entries = [*forged, *(data.draw(spelled(each)) for each in added)]
    assert find_client(data.draw(spelled(peer)), data.draw(headers(entries)), TRUSTED) == str(client)


@given(st.data(), st.one_of(PROXIES, CLIENTS), st.lists(st.one_of(GARBAGE, PROXIES, CLIENTS), max_size=8))
def test_the_walk_ends_at_a_stranger_or_at_garbage(
    data: st.DataObject, peer: Address, entries: list[Address | str]
) -> None:
    """The reference: of what was found from the end on, the first whom we do not trust, else the last."""
    found = [peer]
    for each in reversed(entries):
        if isinstance(each, str):
            break
        found.append(each)
    wanted = next((each for each in found if not any(each in network for network in TRUSTED)), found[-1])
    texts = [each.replace(",", ";") if isinstance(each, str) else data.draw(spelled(each)) for each in entries]
    assert find_client(str(peer), data.draw(headers(texts)), TRUSTED) == str(wanted)


@given(st.text(), st.lists(st.text()))
@example("unix:", ["203.0.113.7"])
@example("10.0.0.1", ["203.0.113.7," + "10.0.0.1," * 10_000 + "10.0.0.1"])
def test_any_text_is_judged(peer: str, forwarded: list[str]) -> None:
    """Both come from outside."""
    judged = find_client(peer, forwarded, TRUSTED)
    assert judged == peer or parse_address(judged)


def test_a_list_without_end_is_not_read_to_its_beginning() -> None:
    """A trusted network that is too wide must not let a caller choose how much we do."""
    everyone = (parse_network("0.0.0.0/0"),)
    assert (
        find_client("10.0.0.1", ["203.0.113.7," + ",".join(f"10.0.1.{i}" for i in range(33))], everyone) == "10.0.1.1"
    )


@pytest.mark.parametrize("text", ["fe80::1%eth0", "[fe80::1%eth0]:443"])
def test_a_zone_is_dropped(text: str) -> None:
    """It is the proxy's name of an interface, and any text."""
    assert str(parse_address(text)) == "fe80::1"


@pytest.mark.parametrize("text", ["", "proxy.example.com", "10.0.0.1/8", "10.0.0.0/33", "*"])
def test_what_is_no_network_is_refused(text: str) -> None:
    """A proxy that is misspelled would be no proxy, and everybody behind it one client."""
    with pytest.raises(ValueError, match=r"appear to be|has host bits"):
        parse_network(text)

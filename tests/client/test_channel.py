"""The channel itself: what it says of itself to servers."""

import pytest

from livestream_client.channel import authority


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("ipv4:10.0.0.7:50051,10.0.0.8:50051", "10.0.0.7:50051"),
        ("ipv4:///10.0.0.7:50051,10.0.0.8:50051", "10.0.0.7:50051"),
        ("ipv6:[::1]:50051,[::2]:50051", "[::1]:50051"),
        ("dns:///livestream:50051", None),
        ("127.0.0.1:50051", None),
    ],
)
def test_a_list_of_addresses_is_no_authority(target: str, said: str | None) -> None:
    """By default gRPC sends the list, upon which strict servers reset every call, the health check's too."""
    assert dict(authority(target)).get("grpc.default_authority") == said

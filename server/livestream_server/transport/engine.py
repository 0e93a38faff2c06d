"""What speaks HTTP/2 and gRPC beneath the service: grpcio, or pygrpc-native where `LIVESTREAM_ENGINE` asks for it.

Both are a `grpc.aio.Server` to the rest. What pygrpc-native leaves out or does in another way stands in
`docs/deployment.md`.
"""

import grpc

from livestream_server.errors import UnusableSetting
from livestream_server.settings import Settings
from livestream_server.transport.methods import LARGE_REQUEST_BYTES

STREAMS_PER_CONNECTION = 100
"""Calls and watches that one HTTP/2 connection may have open. A client keeps further ones until there is room, or opens
another connection. A small number bounds what a rapid reset (CVE-2023-44487) costs."""

# reference: github.com/grpc/grpc doc/keepalive.md, and `grpc/impl/channel_arg_names.h` for the rest.
_OPTIONS = {
    "grpc.max_receive_message_length": LARGE_REQUEST_BYTES,
    "grpc.max_metadata_size": 8 * 1024,
    "grpc.absolute_max_metadata_size": 16 * 1024,
    "grpc.keepalive_time_ms": 60_000,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.max_concurrent_streams": STREAMS_PER_CONNECTION,
}
_GRPCIO_OPTIONS = {
    "grpc.server_handshake_timeout_ms": 5_000,
    # By itself gRPC lets each stream send up to 4 MiB that nobody reads. A message that is read gets the room it needs.
    "grpc.http2.bdp_probe": 0,
    "grpc.max_connection_age_ms": 10 * 60_000,
    "grpc.max_connection_age_grace_ms": 60_000,
    "grpc.max_connection_idle_ms": 5 * 60_000,
    "grpc.http2.min_ping_interval_without_data_ms": 30_000,
    # gRPC counts a stream until its memory is free, which is later than the client knows of its end. Without this room
    # the client's next call, sent at once, would be refused with UNAVAILABLE.
    "grpc.http2.max_deallocating_streams": STREAMS_PER_CONNECTION,
}


def create_server(settings: Settings, *, reuse_port: bool) -> grpc.aio.Server:
    """A server of the engine that the settings name, with our limits and without methods.

    Raises UnusableSetting if that engine is not installed.
    """
    options = _OPTIONS | {"grpc.so_reuseport": int(reuse_port)}
    if settings.engine == "native":
        return _create_native(options)
    # Backstops: our own limits answer with a reason and RetryInfo, and gRPC's queue, which by itself is
    # shorter than a crowd of watchers that reconnect, refuses with CANCELLED.
    most = 4 * settings.max_in_flight + 2 * settings.max_watchers
    options |= {"grpc.server.max_pending_requests": most, "grpc.server.max_pending_requests_hard_limit": 2 * most}
    return grpc.aio.server(options=[*options.items(), *_GRPCIO_OPTIONS.items()], maximum_concurrent_rpcs=most)


def _create_native(options: dict[str, int]) -> grpc.aio.Server:
    try:
        from livestream_server.transport.native import NativeServer  # noqa: PLC0415 - needs an extra
    except ImportError as error:
        raise UnusableSetting(f"LIVESTREAM_ENGINE: native needs pip install 'livestream[fast]' ({error})") from error
    return NativeServer(options=options.items())

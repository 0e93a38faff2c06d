"""What speaks HTTP/2 and gRPC beneath the service: grpcio, or pygrpc-native where `LIVESTREAM_ENGINE` asks for it.

Both are a `grpc.aio.Server` to the rest. What pygrpc-native leaves out or does in another way stands in
`docs/deployment.md`.
"""

import grpc

from livestream_server.errors import UnusableSetting
from livestream_server.settings import Settings
from livestream_server.transport.methods import LARGE_REQUEST_BYTES

# reference: github.com/grpc/grpc doc/keepalive.md, and `grpc/impl/channel_arg_names.h` for the rest.
_OPTIONS = {
    "grpc.max_receive_message_length": LARGE_REQUEST_BYTES,
    "grpc.max_metadata_size": 8 * 1024,
    "grpc.absolute_max_metadata_size": 16 * 1024,
    "grpc.keepalive_time_ms": 60_000,
    "grpc.keepalive_permit_without_calls": 1,
}
_GRPCIO_OPTIONS = {
    "grpc.server_handshake_timeout_ms": 5_000,
    "grpc.max_connection_age_ms": 10 * 60_000,
    "grpc.max_connection_age_grace_ms": 60_000,
    "grpc.max_connection_idle_ms": 5 * 60_000,
    "grpc.http2.min_ping_interval_without_data_ms": 30_000,
}


def bare_server(settings: Settings, *, reuse_port: bool) -> grpc.aio.Server:
    """A server of the engine that the settings name, with our limits and without methods.

    Raises UnusableSetting if that engine is not installed.
    """
    options = _OPTIONS | {
        "grpc.so_reuseport": int(reuse_port),
        # Bounds rapid resets. Above our own limit, because what HTTP/2 refuses reaches callers as UNAVAILABLE.
        "grpc.max_concurrent_streams": 2 * settings.max_in_flight + settings.max_watchers,
    }
    if settings.engine == "native":
        return _native(options)
    # Backstops, likewise: our own limits answer with a reason and RetryInfo, and gRPC's queue, which by itself is
    # shorter than a crowd of watchers that reconnect, refuses with CANCELLED.
    most = 4 * settings.max_in_flight + 2 * settings.max_watchers
    options |= {"grpc.server.max_pending_requests": most, "grpc.server.max_pending_requests_hard_limit": 2 * most}
    return grpc.aio.server(options=[*options.items(), *_GRPCIO_OPTIONS.items()], maximum_concurrent_rpcs=most)


def _native(options: dict[str, int]) -> grpc.aio.Server:
    try:
        from livestream_server.transport.native import NativeServer  # noqa: PLC0415 - needs an extra
    except ImportError as error:
        raise UnusableSetting(f"LIVESTREAM_ENGINE: native needs pip install 'livestream[fast]' ({error})") from error
    return NativeServer(options=options.items())

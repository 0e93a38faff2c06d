"""The gRPC channel to the service, with the deadlines, retries and errors that the contract asks for.

gRPC itself balances, checks health and retries. An interceptor adds the deadline, the caller's token and the
idempotency key, and turns failures into typed errors. So every generated stub on this channel behaves alike, also
those of services that are added later.
"""

import inspect
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import grpc

from livestream.service_config import timeouts
from livestream_client.contract import build_channel_config, read_connections_per_address
from livestream_client.errors import to_error

Request = TypeVar("Request")
Response = TypeVar("Response")

Token = str | Callable[[], str | Awaitable[str]]
"""A JWT without `Bearer`, or a function, sync or async, that is asked for one before every call."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files for an encrypted connection, read once, when the channel is made.

    Attributes:
        ca: Certificates to trust; None for gRPC's own set of public ones.
        certificate: Our own chain, where the service asks clients for one. Belongs together with `key`.
        key: Private key of `certificate`.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """Raises OSError if a file cannot be read."""
        ca, key, certificate = (
            None if each is None else each.read_bytes() for each in (self.ca, self.key, self.certificate)
        )
        return grpc.ssl_channel_credentials(ca, key, certificate)


def open_channel(target: str, *, token: Token | None = None, tls: TlsFiles | None = None) -> grpc.aio.Channel:
    """A channel for the running event loop; it connects at the first call.

    `target` is a gRPC name: `dns:///livestream:50051` balances over all addresses of that name.
    """
    options = (
        *channel_options(target, always_with_key=True),
        ("grpc.enable_retries", 1),
        # Finds out within 70 seconds that the other side is gone; the service allows a ping every 30.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 10_000),
    )
    policy = _CallPolicy(token)
    interceptors = (_Unary(policy), _Stream(policy))
    if tls is None:
        return grpc.aio.insecure_channel(target, options, interceptors=interceptors)
    return grpc.aio.secure_channel(target, tls.credentials(), options, interceptors=interceptors)


def channel_options(target: str, *, always_with_key: bool = False) -> Sequence[tuple[str, str | int]]:
    """What every channel to the service needs: balancing, retries, and further connections when one is full.

    The service takes 100 streams per connection. `always_with_key` is explained at `build_channel_config`.
    """
    return (
        ("grpc.service_config", build_channel_config(always_with_key=always_with_key)),
        (
            "grpc.max_connections_per_subchannel_cap",
            read_connections_per_address(),
        ),  # gRPC's own is 10, whatever is asked
        *authority(target),
    )


def authority(target: str) -> Sequence[tuple[str, str]]:
    """The channel option that a list of addresses needs, such as `ipv4:10.0.0.7:50051,10.0.0.8:50051`.

    By itself gRPC would name the whole list as the `:authority` of each call: no RFC 3986 authority, so strict servers
    and proxies reset the call.
    """
    if "," not in target:
        return ()
    first, _, _ = target.partition(",")
    return (("grpc.default_authority", re.sub(r"^ipv[46]:(//[^/]*/)?", "", first)),)


class _CallPolicy:
    """What is added to every call of this client."""

    def __init__(self, token: Token | None) -> None:
        self._token = token

    async def apply(self, given: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        """What was given, with our deadline unless it has one, and our token."""
        method = os.fsdecode(given.method)  # bytes, other than the type stubs say
        timeout = timeouts().get(method) if given.timeout is None else given.timeout
        metadata = grpc.aio.Metadata(*(given.metadata or ()))
        if self._token is not None:
            asked = self._token if isinstance(self._token, str) else self._token()
            token = await asked if inspect.isawaitable(asked) else asked
            metadata.add("authorization", f"Bearer {token.strip()}")  # what comes from a file ends in a line break
        return grpc.aio.ClientCallDetails(given.method, timeout, metadata, given.credentials, given.wait_for_ready)


class _Unary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, policy: _CallPolicy) -> None:
        self._policy = policy

    async def intercept_unary_unary(
        self,
        continuation: Callable[
            [grpc.aio.ClientCallDetails, Request], Awaitable[grpc.aio.UnaryUnaryCall[Request, Response]]
        ],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Request,
    ) -> grpc.aio.UnaryUnaryCall[Request, Response]:
        # Set in the caller's own message: sending that message once more is then the same request, not a second one.
        if getattr(request, "request_id", None) == "":
            request.request_id = str(uuid4())  # type: ignore[attr-defined] # no common type of such messages exists
        call = await continuation(await self._policy.apply(client_call_details), request)
        try:
            await call
        except grpc.aio.AioRpcError as failure:
            raise to_error(failure) from failure
        return call


class _Stream(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, policy: _CallPolicy) -> None:
        self._policy = policy

    async def intercept_unary_stream(
        self,
        continuation: Callable[
            [grpc.aio.ClientCallDetails, Request], Awaitable[grpc.aio.UnaryStreamCall[Request, Response]]
        ],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Request,
    ) -> AsyncIterator[Response]:
        return _translate_errors(await continuation(await self._policy.apply(client_call_details), request))


async def _translate_errors(call: grpc.aio.UnaryStreamCall[Request, Response]) -> AsyncIterator[Response]:
    try:
        async for each in call:
            yield each
    except grpc.aio.AioRpcError as failure:
        raise to_error(failure) from failure

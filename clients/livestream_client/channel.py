"""The way to the service: a gRPC channel that knows the contract's manners.

Deadlines, balancing, health and retries come from the contract's `service_config.json`. An interceptor adds the
caller's token and the idempotency key, and turns failures into typed errors. So any generated stub on this channel
behaves alike, also those of services that came after this file.
"""

import inspect
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from livestream_client.errors import error_of

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
        ("grpc.service_config", _service_config()),
        ("grpc.enable_retries", 1),
        # Finds out within 70 seconds that the other side is gone; the service allows a ping every 30.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 10_000),
    )
    interceptors = (_Manners(token),)
    if tls is None:
        return grpc.aio.insecure_channel(target, options, interceptors=interceptors)
    return grpc.aio.secure_channel(target, tls.credentials(), options, interceptors=interceptors)


class _Manners(grpc.aio.UnaryUnaryClientInterceptor):
    """What every call of this client does."""

    def __init__(self, token: Token | None) -> None:
        self._token = token

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
        call = await continuation(await self._with_token(client_call_details), request)
        try:
            await call
        except grpc.aio.AioRpcError as failure:
            raise error_of(failure) from failure
        return call

    async def _with_token(self, details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        if self._token is None:
            return details
        given = self._token if isinstance(self._token, str) else self._token()
        token = await given if inspect.isawaitable(given) else given
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        metadata.add("authorization", f"Bearer {token.strip()}")  # a token read from a file ends in a line break
        return grpc.aio.ClientCallDetails(
            details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
        )


def _service_config() -> str:
    """The contract's service config, with the retries of reads extended to methods that take an idempotency key.

    The contract cannot say so for all clients, for the key is optional there. This client always sends one.
    """
    config = json.loads(files("livestream.v1").joinpath("service_config.json").read_text())
    policy = next(each["retryPolicy"] for each in config["methodConfig"] if "retryPolicy" in each)
    keyed = _methods_with_a_key()
    for each in config["methodConfig"]:
        if all((name["service"], name["method"]) in keyed for name in each["name"]):
            each.setdefault("retryPolicy", policy)
    return json.dumps(config)


def _methods_with_a_key() -> set[tuple[str, str]]:
    """Every (service, method) of the contract whose request has a `request_id`."""
    contract = FileDescriptorSet.FromString(files("livestream.v1").joinpath("api.binpb").read_bytes())
    requests = {
        f".{file.package}.{message.name}"
        for file in contract.file
        for message in file.message_type
        if any(field.name == "request_id" for field in message.field)
    }
    return {
        (f"{file.package}.{service.name}", method.name)
        for file in contract.file
        for service in file.service
        for method in service.method
        if method.input_type in requests
    }

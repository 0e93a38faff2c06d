"""The gateway's settings: environment variables, typed and checked before anything starts."""

from ipaddress import ip_network
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

CommaSeparated = Annotated[tuple[str, ...], NoDecode]


class GatewaySettings(BaseSettings):
    """How the public HTTP side behaves."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", frozen=True)

    allowed_hosts: CommaSeparated = Field(
        ("*",),
        min_length=1,
        description="Host names that requests may ask for, comma separated; `*` for any, `*.example.com` for a domain.",
    )
    cors_origins: CommaSeparated = Field(
        (), description="Origins whose pages may call the API, comma separated, or `*`; none if absent."
    )
    request_timeout_seconds: float = Field(
        10.0, gt=0, le=300, description="Time for a request to arrive whole, from its first byte to its last."
    )
    idle_timeout_seconds: float = Field(
        10.0, gt=0, le=300, description="How long a connection may stay open without a request."
    )
    trusted_proxies: CommaSeparated = Field(
        (),
        description="Addresses or networks whose `X-Forwarded-For` is believed, comma separated; none if absent.",
    )
    max_connections: int = Field(
        3072,
        ge=1,
        description="Open connections per process; beyond it only probes are answered. Idle ones give way to new ones.",
    )
    max_upload_bytes: int = Field(
        64 * 1024 * 1024,
        ge=8 * 1024 * 1024,
        description="Bytes of request bodies above 64 KiB under way per process; more are refused with 503.",
    )
    max_uploads_per_caller: int = Field(
        2, ge=1, description="Request bodies above 64 KiB under way per caller; more are refused with 429."
    )
    operations_address: str | None = Field(
        None,
        pattern=r"^[\w.\[\]:-]*:\d+$",
        description="host:port of probes and metrics of `livestream-server gateway`; off if absent.",
    )

    @field_validator("allowed_hosts", "cors_origins", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies_are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            list(map(ip_network, value))
        except ValueError:
            raise ValueError("must be addresses or networks such as 10.0.0.0/8, without bits of a host") from None
        return value

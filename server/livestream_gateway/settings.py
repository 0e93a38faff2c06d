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
    max_connections: int = Field(1024, ge=1, description="Open connections per process; more are closed at once.")

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

"""The service's settings: environment variables, typed and checked before anything starts.

`docs/configuration.md` lists them all; a test compares. Secrets are `SecretStr` or `SecretBytes`, so that no
repr, log line or traceback shows them.
"""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Algorithm = Literal["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]
MIN_SECRET_BYTES = 32  # RFC 7518, section 3.2
CallRate = Annotated[str, StringConstraints(pattern=r"^[1-9]\d{0,8}/(second|minute|hour)$")]
Hex32 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{32}$")]


class MongoSettings(BaseSettings):
    """Where the data is."""

    model_config = SettingsConfigDict(env_prefix="MONGODB_", frozen=True)

    uri: SecretStr = Field(description="Connection string of a replica set or a sharded cluster.")
    database: str = Field("livestream", description="Name of the database.", pattern=r"^[A-Za-z0-9_-]{1,38}$")


class AgoraSettings(BaseSettings):
    """The Agora project that the tokens are for."""

    model_config = SettingsConfigDict(env_prefix="AGORA_", frozen=True, hide_input_in_errors=True)

    app_id: Hex32 = Field(description="App ID: 32 hexadecimal digits.")
    app_certificate: SecretStr = Field(description="App certificate: 32 hexadecimal digits. Signs the tokens.")
    token_version: Literal["007", "006"] = Field(
        "007", description="007 (AccessToken2), or 006 for SDKs older than RTC 4.0."
    )
    token_life_seconds: int = Field(3600, ge=120, le=86_400, description="Life of a token and all its privileges.")

    notification_secret: SecretStr | None = Field(
        None,
        min_length=1,
        description="Secret of the project's notifications, from the Agora console; absent to take none.",
    )

    @field_validator("app_certificate")
    @classmethod
    def _certificate_is_hexadecimal(cls, value: SecretStr) -> SecretStr:
        if not re.fullmatch(r"[0-9a-fA-F]{32}", value.get_secret_value()):
            raise ValueError("must be 32 hexadecimal digits")
        return value


class JwtSettings(BaseSettings):
    """How callers prove who they are. Exactly one source of keys is set."""

    model_config = SettingsConfigDict(env_prefix="JWT_", frozen=True, hide_input_in_errors=True)

    algorithms: Annotated[tuple[Algorithm, ...], NoDecode] = Field(
        ("HS256",), min_length=1, description="Accepted algorithms, comma separated, of one family."
    )
    secret: SecretStr | None = Field(None, description="Shared secret for HS algorithms: 32 bytes or more.")
    public_key_file: Path | None = Field(None, description="PEM file with the public key, for the other algorithms.")
    jwks_url: str | None = Field(
        None, pattern=r"^https?://", description="Address of the issuer's key set, for the other algorithms."
    )
    issuer: str | None = Field(None, description="Required value of `iss`. Must be set outside development.")
    audience: str | None = Field(None, description="Required value of `aud`. Must be set outside development.")
    leeway_seconds: int = Field(30, ge=0, le=120, description="How far the issuer's clock may be off.")

    @field_validator("algorithms", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(each.strip() for each in value.split(",")) if isinstance(value, str) else value

    @field_validator("secret")
    @classmethod
    def _secret_is_long(cls, value: SecretStr | None) -> SecretStr | None:
        if value and len(value.get_secret_value().encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"must be at least {MIN_SECRET_BYTES} bytes")
        return value

    @model_validator(mode="after")
    def _one_family(self) -> Self:
        families = {each[:2] for each in self.algorithms}
        if len(families) > 1:
            raise ValueError("JWT_ALGORITHMS must name algorithms of one family")
        sources = [self.secret] if families == {"HS"} else [self.public_key_file, self.jwks_url]
        others = [self.public_key_file, self.jwks_url] if families == {"HS"} else [self.secret]
        if sum(each is not None for each in sources) != 1 or any(each is not None for each in others):
            wanted = "JWT_SECRET" if families == {"HS"} else "JWT_PUBLIC_KEY_FILE or JWT_JWKS_URL"
            raise ValueError(f"{', '.join(self.algorithms)} needs {wanted}, and no other source of keys")
        return self


class MediaSettings(BaseSettings):
    """Where thumbnails are kept and how the public reaches them."""

    model_config = SettingsConfigDict(env_prefix="MEDIA_", frozen=True)

    directory: Path = Field(Path("media"), description="Local directory of the thumbnails, unless a bucket is set.")
    base_url: str = Field(
        "http://127.0.0.1:8080/media",
        pattern=r"^https?://\S+[^/]$",
        description="Public address of the thumbnails: the gateway's /media, a CDN, or the bucket.",
    )
    heic: bool = Field(False, description="Take HEIC, too; needs the extra `heic` (deployment.md).")
    s3_bucket: str | None = Field(None, description="S3 bucket of the thumbnails, instead of the directory.")
    s3_endpoint: str | None = Field(None, description="Address of an S3 service that is not Amazon's.")
    s3_region: str = Field("us-east-1", description="Region of the bucket.")
    s3_access_key_id: SecretStr | None = Field(None, description="Access key; absent to use the machine's role.")
    s3_secret_access_key: SecretStr | None = Field(None, description="Secret of the access key.")


class ProcessSettings(BaseSettings):
    """What every process that serves reads, one of the gateway alone as well."""

    model_config = SettingsConfigDict(env_prefix="LIVESTREAM_", frozen=True)

    stall_seconds: float = Field(
        30.0,
        ge=0,
        le=3600,
        description="A process whose event loop stands still that long is ended; 0 for never.",
    )


class Settings(ProcessSettings):
    """How the process behaves."""

    environment: Literal["production", "development"] = Field(
        "production", description="`development` allows tokens without issuer and audience."
    )
    engine: Literal["grpcio", "native"] = Field(
        "grpcio",
        description="What speaks gRPC: `grpcio`, or `native`: faster, for trusted networks only (deployment.md).",
    )
    reflection: bool = Field(False, description="Serve gRPC reflection (v1 and v1alpha), for grpcurl.")
    max_in_flight: int = Field(512, ge=1, description="Calls in flight per process; more are refused at once.")
    max_watchers: int = Field(2000, ge=1, description="Open server streams per process; more are refused at once.")
    read_rate: CallRate = Field("6000/minute", description="Reads of one user.")
    write_rate: CallRate = Field("600/minute", description="Writes of one user that have no rate of their own.")
    create_rate: CallRate = Field("60/minute", description="Streams that one user creates.")
    join_rate: CallRate = Field("120/minute", description="Joins of one user, and renewals of their tokens.")
    upload_rate: CallRate = Field("20/minute", description="Files that one user sends.")
    failed_authentication_rate: CallRate = Field(
        "60/minute", description="Calls without a good token, for each of the 100 users of one address."
    )
    internal_rate: CallRate = Field("60000/minute", description="All calls of one internal service.")
    caller_share: float = Field(
        0.25, gt=0, le=1, description="Most of the calls in flight that one user may have; more are refused at once."
    )
    watchers_per_user: int = Field(16, ge=1, description="Server streams that one user may have open.")
    watchers_per_user_and_stream: int = Field(4, ge=1, description="Of these, how many may watch the same stream.")
    heartbeat_seconds: float = Field(
        15.0, gt=0, le=300, description="A watcher to whom there is nothing else to say hears that often."
    )
    slow_watcher_seconds: float = Field(
        10.0, gt=0, description="How long a watcher may take to read one answer before it is cut off."
    )
    max_deadline_seconds: float = Field(30.0, gt=0, le=300, description="Longest time a call may take.")
    drain_seconds: float = Field(
        3.0, ge=0, description="How long a stopping process still takes calls, for balancers to notice."
    )
    grace_seconds: float = Field(10.0, ge=0, description="How long calls in flight may take to finish after that.")
    sweep_seconds: float = Field(
        10.0, gt=0, description="How often to look for streams that time has changed, and for rankings to count."
    )
    scheduled_wait_minutes: int = Field(60, ge=1, description="A scheduled stream without a start expires after that.")
    preparing_wait_minutes: int = Field(
        24 * 60, ge=1, description="A stream without a planned start expires that long after its creation."
    )
    longest_stream_minutes: int = Field(
        12 * 60,
        ge=1,
        le=1420,
        description="An active stream is ended after that; its tokens end five minutes later at the latest.",
    )
    host_grace_seconds: int = Field(120, ge=1, description="An active stream is ended when its host is gone that long.")
    user_cache_seconds: float = Field(5.0, ge=0, description="How long a user's summary may be out of date.")
    image_workers: int = Field(
        1, ge=1, le=16, description="Thumbnails decoded at the same time, for all workers together: a process for each."
    )
    image_queue: int = Field(
        16, ge=0, description="Thumbnails that may wait, of all workers together; more are refused at once."
    )
    image_share: int = Field(
        2, ge=1, description="Thumbnails of one user that may be decoded or wait at the same time."
    )
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Addresses or networks whose `x-forwarded-for` is believed over gRPC, comma separated: proxies and"
        " split gateways; none if absent.",
    )
    operations_address: str | None = Field(
        None, pattern=r"^[\w.\[\]:-]*:\d+$", description="host:port of probes and metrics; off if absent."
    )
    log_format: Literal["auto", "json", "console"] = Field("auto", description="`auto`: console on a terminal.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level that is logged.")
    tls_certificate_file: Path | None = Field(None, description="PEM chain for gRPC; read again when it changes.")
    tls_key_file: Path | None = Field(None, description="PEM key for gRPC; read again when it changes.")
    tls_client_ca_file: Path | None = Field(None, description="PEM of the CA that client certificates must come from.")

    mongo: MongoSettings = Field(default_factory=MongoSettings)
    agora: AgoraSettings = Field(default_factory=AgoraSettings)
    jwt: JwtSettings = Field(default_factory=JwtSettings)
    media: MediaSettings = Field(default_factory=MediaSettings)

    @field_validator("trusted_proxies", mode="before")
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

    @model_validator(mode="after")
    def _can_work(self) -> Self:
        if self.environment == "production" and not (self.jwt.issuer and self.jwt.audience):
            raise ValueError("JWT_ISSUER and JWT_AUDIENCE must be set outside development")
        if bool(self.tls_certificate_file) != bool(self.tls_key_file):
            raise ValueError("LIVESTREAM_TLS_CERTIFICATE_FILE and LIVESTREAM_TLS_KEY_FILE belong together")
        if self.tls_client_ca_file and not self.tls_certificate_file:
            raise ValueError("LIVESTREAM_TLS_CLIENT_CA_FILE needs LIVESTREAM_TLS_CERTIFICATE_FILE")
        if self.tls_certificate_file and self.engine == "native":
            raise ValueError("LIVESTREAM_TLS_CERTIFICATE_FILE needs LIVESTREAM_ENGINE=grpcio: native speaks no TLS")
        return self

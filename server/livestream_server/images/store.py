"""Keeps thumbnails: in a local directory or in an S3 bucket, under the hash of their bytes.

A key never names anything but its content, so an image is written once, may be cached for good, and two
processes that store the same one do not disturb each other.
"""

from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING

from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, S3Store

from livestream_server.errors import Unavailable, UnusableSetting
from livestream_server.images.pool import DecoderPool, DecodersUnavailable
from livestream_server.settings import MediaSettings

if TYPE_CHECKING:
    from obstore.store import S3Config  # exists for type checkers only

_ATTRIBUTES = {"Content-Type": "image/webp", "Cache-Control": "public, max-age=31536000, immutable"}
_S3_ATTEMPT = timedelta(seconds=5)
_S3_RETRIES = 2
_S3_PATIENCE = timedelta(seconds=10)


class MediaNotWritable(UnusableSetting):
    """The place that the settings name for images cannot be written. The message names the setting, not its value."""


class Thumbnails:
    """Has images decoded by `pool`, and stores the thumbnails."""

    def __init__(self, settings: MediaSettings, pool: DecoderPool) -> None:
        self._settings = settings
        self._pool = pool
        self._default_key: str | None = None

    async def start(self) -> None:
        """Store the default thumbnail, which shows that images can be decoded and stored.

        Raises MediaNotWritable or DecodersUnavailable.
        """
        setting = "MEDIA_S3_BUCKET" if self._settings.s3_bucket else "MEDIA_DIRECTORY"
        try:
            image = await self._pool.draw_default()
        except Unavailable as error:
            raise DecodersUnavailable from error
        try:
            self._default_key = await self._put(image)
        except (BaseError, OSError, NotImplementedError) as error:
            raise MediaNotWritable(f"{setting}: images cannot be written there: {_describe(error)}") from error

    async def store(self, data: bytes, user: str) -> str:
        """The key of the image that `user` sent, stored as a thumbnail: `thumbnails/<32 hex digits>.webp`.

        Raises InvalidArgument (see `encode_thumbnail`), ImageQueueFull or ImageShareExceeded (at once), or Unavailable
        (the decoders or the store do not answer).
        """
        encoded = await self._pool.decode(data, user)
        try:
            return await self._put(encoded)
        except (BaseError, OSError) as error:
            raise Unavailable from error

    def url(self, key: str | None) -> str:
        """Public address of the image, or of the default thumbnail if there is none. Needs `start`."""
        return f"{self._settings.base_url}/{key or self._default_key}"

    @cached_property
    def _store(self) -> LocalStore | S3Store:
        if not self._settings.s3_bucket:
            self._settings.directory.mkdir(parents=True, exist_ok=True)
            return LocalStore(self._settings.directory)
        return S3Store(
            self._settings.s3_bucket,
            config=_build_s3_config(self._settings),
            client_options={
                "allow_http": (self._settings.s3_endpoint or "").startswith("http://"),
                "timeout": _S3_ATTEMPT,
            },
            retry_config={"max_retries": _S3_RETRIES, "retry_timeout": _S3_PATIENCE},
        )

    async def _put(self, image: bytes) -> str:
        """Write the image unless it is there. Both stores show it whole or not at all."""
        key = _name_image(image)
        attributes = None if isinstance(self._store, LocalStore) else _ATTRIBUTES  # a plain file has none
        with suppress(AlreadyExistsError):
            await self._store.put_async(key, image, mode="create", attributes=attributes)
        return key


def _name_image(image: bytes) -> str:
    return f"thumbnails/{sha256(image).hexdigest()[:32]}.webp"


def _build_s3_config(settings: MediaSettings) -> "S3Config":
    config: S3Config = {"region": settings.s3_region}
    if settings.s3_endpoint:
        config |= {"endpoint": settings.s3_endpoint}
    if settings.s3_access_key_id:
        config |= {"access_key_id": settings.s3_access_key_id.get_secret_value()}
    if settings.s3_secret_access_key:
        config |= {"secret_access_key": settings.s3_secret_access_key.get_secret_value()}
    return config


def _describe(error: Exception) -> str:
    """The failure without paths and addresses, which the store's own words would spell out."""
    match error:
        case OSError(strerror=str(reason)):
            return reason
        case FileNotFoundError():
            return "there is no such bucket"
        case PermissionDeniedError() | UnauthenticatedError():
            return "access is denied"
        case _:
            return "it cannot be reached, or does not accept the write"

"""The directory of development: the lock, the secrets, the images and the database of one `make run`."""

import fcntl
import os
import secrets
import shlex
from pathlib import Path
from typing import BinaryIO, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from livestream_run.dev.private import make_private

DEFAULT = Path(".run")
OVERRIDE = "LIVESTREAM_DEV_DIRECTORY"
ISSUER = "livestream-dev"
AUDIENCE = "livestream"
FORMAT = "2"
"""Of the data in the directory; another one with every change that a service of today cannot read."""


class DevError(Exception):
    """A sentence for the developer at the terminal: what is wrong and what to do about it."""


class Secrets(BaseModel):
    """Made-up values of development, generated once per directory."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    jwt_secret: str = Field(min_length=32, repr=False)
    agora_app_id: str = Field(pattern=r"^[0-9a-f]{32}$")
    agora_app_certificate: str = Field(pattern=r"^[0-9a-f]{32}$", repr=False)


class DevDirectory:
    """Where `make run` keeps everything; entered as a context manager, it belongs to this process alone.

    Entering creates what is missing, takes the directory from all other users of the machine, and raises `DevError` if
    it cannot be written, is somebody else's, is in use by another process, holds data of another release, or its
    secrets are broken. Reading secrets needs no entering.

    Args:
        path: The directory; by default `LIVESTREAM_DEV_DIRECTORY`, else `.run` in the current directory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = (path or Path(os.environ.get(OVERRIDE) or DEFAULT)).resolve()
        self.database = self.path / "database"
        self.media = self.path / "media"
        self.sample_image = self.path / "sample.jpg"
        self._secrets = self.path / "secrets.json"
        self._lock: BinaryIO | None = None

    def __enter__(self) -> Self:
        try:
            make_private(self.path)
            self._acquire()
            try:
                self._require_format()
                self.media.mkdir(exist_ok=True)
                if not self._secrets.exists():
                    self._create_secrets()
                self.secrets()
            except BaseException:
                self._release()
                raise
        except OSError as error:
            raise DevError(
                f"Cannot write to {self.path} ({error.strerror}). Make that a directory of your own, or choose another "
                f"one with {OVERRIDE}."
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._release()

    def secrets(self) -> Secrets:
        """The generated secrets.

        Raises:
            DevError: There are none yet, or the file does not hold what was written.
        """
        try:
            return Secrets.model_validate_json(self._secrets.read_bytes())
        except FileNotFoundError as error:
            raise DevError(f"There is no development set-up in {self.path} yet: run `make run` first.") from error
        except ValidationError as error:
            remedy = shlex.join(["rm", str(self._secrets)])
            raise DevError(
                f"{self._secrets} does not hold the development secrets. Delete it, and the next start makes new ones: "
                f"{remedy}"
            ) from error

    def settings_environment(self, mongodb_uri: str, http_port: int) -> dict[str, str]:
        """The variables that the service and the gateway start with; what the environment already sets stays.

        Args:
            mongodb_uri: Connection string of the embedded database.
            http_port: The gateway's port, which the images' addresses carry.

        Raises:
            DevError: The environment sets one half of the Agora project, which does not fit a made-up other half.
        """
        if bool(os.environ.get("AGORA_APP_ID")) != bool(os.environ.get("AGORA_APP_CERTIFICATE")):
            raise DevError("AGORA_APP_ID and AGORA_APP_CERTIFICATE belong together: set both, or neither.")
        made_up = self.secrets()
        defaults = {
            "MONGODB_URI": mongodb_uri,
            "AGORA_APP_ID": made_up.agora_app_id,
            "AGORA_APP_CERTIFICATE": made_up.agora_app_certificate,
            "JWT_SECRET": made_up.jwt_secret,
            "JWT_ISSUER": ISSUER,
            "JWT_AUDIENCE": AUDIENCE,
            "LIVESTREAM_ENVIRONMENT": "development",
            "LIVESTREAM_REFLECTION": "true",
            "LIVESTREAM_DRAIN_SECONDS": "0",  # nothing balances load here
            "MEDIA_DIRECTORY": str(self.media),
            "MEDIA_BASE_URL": f"http://127.0.0.1:{http_port}/media",
        }
        return {name: os.environ.get(name) or value for name, value in defaults.items()}

    def _acquire(self) -> None:
        # The lock is the kernel's and ends with the process however it ends; the number inside is for the sentence.
        lock = (self.path / "lock").open("a+b")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            with lock:
                lock.seek(0)
                pid = lock.read(20).decode("ascii", "replace").strip() or "unknown"
            raise DevError(
                f"Another `make run` (process {pid}) is using {self.path}: stop it, or choose another directory with "
                f"{OVERRIDE}."
            ) from error
        lock.truncate(0)
        lock.write(b"%d\n" % os.getpid())
        lock.flush()
        self._lock = lock

    def _require_format(self) -> None:
        # No program rewrites the data of development: what is of another release is deleted by whoever made it.
        file = self.path / "format"
        known = file.read_bytes().strip() == FORMAT.encode() if file.exists() else False
        if self.database.exists() and not known:
            remedy = shlex.join(["rm", "-r", str(self.path)])
            raise DevError(
                f"The data in {self.path} is of another release, which this one cannot read. Delete it, and the next "
                f"start begins anew: {remedy}"
            )
        if not known:  # a start that can read the data leaves the file alone: a full disk would empty it
            file.write_text(FORMAT + "\n")

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _create_secrets(self) -> None:
        made_up = Secrets(
            jwt_secret=secrets.token_urlsafe(48),
            agora_app_id=secrets.token_hex(16),
            agora_app_certificate=secrets.token_hex(16),
        )
        unfinished = self._secrets.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(made_up.model_dump_json(indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._secrets)

"""`livestream-server dev`: the whole system on one machine, from an empty directory to lines to paste."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path

import uvloop

from livestream_client import LiveStreamClient
from livestream_run import logs
from livestream_run.addresses import Address, AddressInUse, require_free
from livestream_run.dev.banner import banner, write_sample_image
from livestream_run.dev.database import EmbeddedDatabase
from livestream_run.dev.directory import DevDirectory, DevError
from livestream_run.dev.users import USERS, demo_users, dev_token
from livestream_run.serve import Bound, serve
from livestream_server.settings import Settings


def develop(path: Path | None, *, grpc_address: Address, http_address: Address) -> None:
    """Run until Ctrl-C or SIGTERM; the data stays in the directory.

    Raises DevError with a sentence that says what to do.
    """
    for address, option in ((grpc_address, "--grpc"), (http_address, "--http")):
        _require_free(address, option)
    with DevDirectory(path) as directory, _database(directory) as uri:
        os.environ.update(directory.settings_environment(uri, http_address.port))
        settings = Settings()
        logs.configure(settings)
        write_sample_image(directory)

        async def started(bound: Bound) -> None:
            await register(str(bound.grpc), directory, settings.media.base_url)
            print(banner(f"http://{bound.http}", str(bound.grpc), directory), flush=True)

        uvloop.run(serve(settings, grpc_address=grpc_address, http_address=http_address, started=started))


async def register(target: str, directory: DevDirectory, media_base_url: str) -> None:
    """Record the demo users, as the user service would."""
    # gRPC would go through a proxy to this machine, too.
    os.environ["no_grpc_proxy"] = "127.0.0.1"  # noqa: SIM112 - gRPC reads it in lower case
    token = dev_token(directory, USERS[0].username, "users:write")
    async with LiveStreamClient(target, token=token) as client:
        for each in demo_users(directory.media, media_base_url):
            await client.put_user(each.user, updated_at=each.updated_at.ToDatetime(tzinfo=UTC))


@contextmanager
def _database(directory: DevDirectory) -> Iterator[str]:
    """The URI of MONGODB_URI, or of an embedded database that lives as long as the block."""
    if uri := os.environ.get("MONGODB_URI"):
        yield uri
        return
    with EmbeddedDatabase(directory.database) as database:
        yield database.uri


def _require_free(address: Address, option: str) -> None:
    try:
        require_free(address)
    except AddressInUse:
        raise DevError(
            f"Port {address.port} is in use by another program: stop that one (a former `make run`, perhaps), or start "
            f"with another port: livestream-server dev {option} {address.host}:{address.port + 1}"
        ) from None

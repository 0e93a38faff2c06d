"""`livestream-server token NAME`: a JWT for a demo user, signed with the secret of `make run`."""

import os

from livestream_run.dev.directory import AUDIENCE, ISSUER, DevDirectory
from livestream_run.dev.errors import DevError
from livestream_run.dev.users import USERS
from livestream_server.auth.minting import mint


def dev_token(directory: DevDirectory, name: str, scope: str = "") -> str:
    """A token that the service of `make run` accepts.

    Args:
        directory: The directory of the running set-up.
        name: Username of a demo user.
        scope: Space-separated scopes, for example `users:write access:write`, to call as an internal service.

    Raises:
        DevError: Nobody has that name, or there is no set-up yet.
    """
    user = next((each for each in USERS if each.username == name), None)
    if user is None:
        names = ", ".join(each.username for each in USERS)
        raise DevError(f"There is no demo user of that name. Names: {names}.")
    return mint(
        os.environ.get("JWT_SECRET") or directory.secrets().jwt_secret,
        user.id,
        issuer=os.environ.get("JWT_ISSUER") or ISSUER,
        audience=os.environ.get("JWT_AUDIENCE") or AUDIENCE,
        scope=scope,
    )

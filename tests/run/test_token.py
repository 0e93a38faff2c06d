"""`livestream-server token NAME`."""

from pathlib import Path
from typing import Any

import jwt
import pytest

from livestream_run.dev.directory import DevDirectory, DevError
from livestream_run.dev.users import USERS, DemoUser, dev_token


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JWT_SECRET", "JWT_ISSUER", "JWT_AUDIENCE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def directory(tmp_path: Path) -> DevDirectory:
    with DevDirectory(tmp_path) as made:
        return made


def claims(token: str, secret: str) -> dict[str, Any]:
    return jwt.decode(token, secret, algorithms=["HS256"], issuer="livestream-dev", audience="livestream")


@pytest.mark.parametrize("user", USERS, ids=lambda each: each.username)
def test_every_demo_user_gets_a_token_of_this_set_up(directory: DevDirectory, user: DemoUser) -> None:
    """The printed lines begin with it."""
    held = claims(dev_token(directory, user.username), directory.secrets().jwt_secret)
    assert held["sub"] == user.id
    assert held["exp"] > held["iat"]
    assert "scope" not in held


def test_scopes_are_carried(directory: DevDirectory) -> None:
    """The internal RPCs can be tried as well."""
    token = dev_token(directory, "ayse", "users:write access:write")
    assert claims(token, directory.secrets().jwt_secret)["scope"] == "users:write access:write"


def test_a_secret_of_the_environment_signs(directory: DevDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service of `make run` checks with that one."""
    monkeypatch.setenv("JWT_SECRET", "s" * 32)
    assert claims(dev_token(directory, "ayse"), "s" * 32)


def test_an_unknown_name_lists_the_names(directory: DevDirectory) -> None:
    """A typo should cost one try."""
    with pytest.raises(DevError, match="ayse, mehmet, john, jane, zeynep"):
        dev_token(directory, "nobody")


def test_without_a_set_up_the_sentence_says_make_run(tmp_path: Path) -> None:
    """Who starts with the second step should learn of the first."""
    with pytest.raises(DevError, match="run `make run` first"):
        dev_token(DevDirectory(tmp_path / "absent"), "ayse")

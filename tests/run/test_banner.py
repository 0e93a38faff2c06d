"""What `make run` prints. That the lines do what they say is tried on the running service elsewhere."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from livestream_run.dev.banner import banner, lines_to_paste
from livestream_run.dev.directory import DevDirectory
from livestream_run.dev.users import USERS

HTTP, GRPC = "http://127.0.0.1:8080", "127.0.0.1:50051"


@pytest.fixture(autouse=True)
def in_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIVESTREAM_DEV_DIRECTORY", raising=False)
    monkeypatch.chdir(tmp_path)


def test_it_names_addresses_users_and_lines() -> None:
    """The newcomer's first minute."""
    text = banner(HTTP, GRPC, DevDirectory())
    for wanted in (HTTP, f"{HTTP}/docs", GRPC, lines_to_paste(HTTP, GRPC, DevDirectory())):
        assert wanted in text
    for user in USERS:
        assert user.username in text
        assert user.id in text


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("folder", [".run", "it's a folder"])
def test_the_lines_are_good_shell(shell: str, folder: str) -> None:
    """Whatever the directory is called."""
    subprocess.run([shell, "-n", "-c", lines_to_paste(HTTP, GRPC, DevDirectory(Path(folder)))], check=True)


def test_the_lines_hold_no_comments() -> None:
    """An interactive zsh takes a comment for a command."""
    assert "#" not in lines_to_paste(HTTP, GRPC, DevDirectory())


def test_programs_are_the_ones_beside_this_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal without the environment activated must find them; short paths inside the project."""
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("livestream-server", "python", "grpcurl"):
        (programs / name).touch()
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    lines = lines_to_paste(HTTP, GRPC, DevDirectory())
    assert "TOKEN=$(.venv/bin/livestream-server token ayse)" in lines
    assert "\n.venv/bin/grpcurl -plaintext" in lines
    assert "\nbuf curl" in lines  # not beside it: left to PATH


def test_another_directory_is_told_to_the_other_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else `token` there would look into .run."""
    assert "export" not in lines_to_paste(HTTP, GRPC, DevDirectory())
    monkeypatch.setenv("LIVESTREAM_DEV_DIRECTORY", "some where")
    first = lines_to_paste(HTTP, GRPC, DevDirectory()).splitlines()[0]
    assert shlex.split(first) == ["export", f"LIVESTREAM_DEV_DIRECTORY={tmp_path / 'some where'}"]

"""The directory of development: one owner, secrets made once, sentences for what can go wrong."""

import errno
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from livestream_run.dev.directory import DevDirectory, DevError
from livestream_server.settings import Settings

HOLDER = """
import sys
from pathlib import Path
from livestream_run.dev.directory import DevDirectory
with DevDirectory(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AGORA_", "JWT_", "LIVESTREAM_", "MEDIA_", "MONGODB_")):
            monkeypatch.delenv(name)


def test_secrets_are_made_once_and_only_the_owner_reads_them(tmp_path: Path) -> None:
    """Tokens printed yesterday would stop working, or a colleague on the machine could sign their own."""
    with DevDirectory(tmp_path / "run") as first:
        made = first.secrets()
    with DevDirectory(tmp_path / "run") as second:
        assert second.secrets() == made
    with DevDirectory(tmp_path / "other") as other:
        assert other.secrets() != made
    assert (tmp_path / "run" / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700


def test_a_directory_that_was_open_to_others_is_closed(tmp_path: Path) -> None:
    """Everybody on the machine could read the secrets' neighbours: the database's files, with all that is in them."""
    directory = tmp_path / "run"
    directory.mkdir()
    directory.chmod(0o777)
    with DevDirectory(directory):
        assert directory.stat().st_mode & 0o777 == 0o700


def test_a_directory_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be closed must not be used."""

    def not_ours(_self: Path, _mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", not_ours)
    with pytest.raises(DevError, match="directory of your own"), DevDirectory(tmp_path / "run"):
        pass


def test_secrets_do_not_show_in_a_repr(tmp_path: Path) -> None:
    """A traceback or a log line must not give them away."""
    with DevDirectory(tmp_path) as directory:
        shown = repr(directory.secrets())
        assert directory.secrets().jwt_secret not in shown
        assert directory.secrets().agora_app_certificate not in shown


@pytest.mark.parametrize(
    "content",
    ["", "{}", "null", '{"jwt_secret": "short", "agora_app_id": "x", "agora_app_certificate": "y"}', "\x00\xff"],
)
def test_broken_secrets_get_a_sentence_and_a_line_that_helps(tmp_path: Path, content: str) -> None:
    """No traceback, no start with half a secret, and nothing of the file's content on the terminal."""
    (tmp_path / "secrets.json").write_text(content)
    with pytest.raises(DevError, match="does not hold the development secrets") as refusal:
        DevDirectory(tmp_path).__enter__()
    assert "short" not in str(refusal.value)
    subprocess.run(str(refusal.value).rpartition(": ")[2], shell=True, check=True)
    with DevDirectory(tmp_path) as directory:
        assert len(directory.secrets().agora_app_id) == 32


def test_a_second_start_names_the_first(tmp_path: Path) -> None:
    """Two set-ups on one directory would fight over its database; the developer learns which process to stop."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(DevError, match=rf"Another `make run` \(process {holder.pid}\) is using"):
            DevDirectory(tmp_path).__enter__()
        holder.kill()
    with DevDirectory(tmp_path) as directory:  # a killed owner leaves no lock behind
        assert directory.secrets()


def test_a_refused_start_leaves_the_lock_to_others(tmp_path: Path) -> None:
    """After the secrets are repaired the same process can enter."""
    (tmp_path / "secrets.json").write_text("{}")
    refused = DevDirectory(tmp_path)
    with pytest.raises(DevError):
        refused.__enter__()
    (tmp_path / "secrets.json").unlink()
    with DevDirectory(tmp_path):
        pass


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """No traceback when a file is in the way."""
    (tmp_path / "in-the-way").write_text("")
    with pytest.raises(DevError, match=r"Cannot write to .*in-the-way.*LIVESTREAM_DEV_DIRECTORY"):
        DevDirectory(tmp_path / "in-the-way").__enter__()


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's rights")
def test_missing_rights_are_named(tmp_path: Path) -> None:
    """No traceback in a checkout that belongs to somebody else."""
    os.seteuid(65534)
    try:
        with pytest.raises(DevError, match="Permission denied"):
            DevDirectory(tmp_path / "run").__enter__()
    finally:
        os.seteuid(0)


def test_the_directory_is_dot_run_unless_the_environment_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make run` and `livestream-server token` must find the same place."""
    monkeypatch.chdir(tmp_path)
    assert DevDirectory().path == tmp_path / ".run"
    monkeypatch.setenv("LIVESTREAM_DEV_DIRECTORY", "elsewhere")
    assert DevDirectory().path == tmp_path / "elsewhere"


def test_the_settings_accept_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A set-up whose own values the service refuses would never start."""
    with DevDirectory(tmp_path) as directory:
        for name, value in directory.settings_environment("mongodb://127.0.0.1:1/", 8081).items():
            monkeypatch.setenv(name, value)
        settings = Settings()
        assert settings.environment == "development"
        assert settings.reflection
        assert settings.mongo.uri.get_secret_value() == "mongodb://127.0.0.1:1/"
        assert settings.agora.app_id == directory.secrets().agora_app_id
        assert settings.media.base_url == "http://127.0.0.1:8081/media"
        assert settings.media.directory == tmp_path / "media"
        assert settings.drain_seconds == 0


def test_what_the_environment_sets_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own Agora project and database are used, as documented."""
    own = {"MONGODB_URI": "mongodb://elsewhere/", "AGORA_APP_ID": "a" * 32, "AGORA_APP_CERTIFICATE": "b" * 32}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("JWT_ISSUER", "")  # as good as unset
    with DevDirectory(tmp_path) as directory:
        environment = directory.settings_environment("mongodb://127.0.0.1:1/", 8080)
    assert environment.items() >= own.items()
    assert environment["JWT_ISSUER"] == "livestream-dev"


@pytest.mark.parametrize("name", ["AGORA_APP_ID", "AGORA_APP_CERTIFICATE"])
def test_half_an_agora_project_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """With a made-up other half every token would be refused by Agora, far from the cause."""
    monkeypatch.setenv(name, "a" * 32)
    with DevDirectory(tmp_path) as directory, pytest.raises(DevError, match="set both, or neither"):
        directory.settings_environment("mongodb://127.0.0.1:1/", 8080)


def test_interrupted_secrets_are_made_anew(tmp_path: Path) -> None:
    """A start that was killed while writing must not block the next."""
    (tmp_path / "secrets.new").write_text('{"jwt_')
    with DevDirectory(tmp_path):
        made = json.loads(Path(tmp_path / "secrets.json").read_text())
    assert set(made) == {"jwt_secret", "agora_app_id", "agora_app_certificate"}
    assert not (tmp_path / "secrets.new").exists()


def test_data_of_another_release_is_refused_with_the_line_that_deletes_it(tmp_path: Path) -> None:
    """Nothing rewrites it, and a service that reads half of it would show what nobody made."""
    directory = tmp_path / "run of before"
    (directory / "database").mkdir(parents=True)
    for written in (None, "1\n", "", "3\n"):
        if written is not None:
            (directory / "format").write_text(written)
        with pytest.raises(DevError, match="another release") as refusal, DevDirectory(directory):
            pass
        remedy = str(refusal.value).rpartition(": ")[2]
        assert shlex.split(remedy) == ["rm", "-r", str(directory)]
    subprocess.run(shlex.split(remedy), check=True)
    with DevDirectory(directory):
        (directory / "database").mkdir()
    with DevDirectory(directory):
        assert (directory / "format").read_text() == "2\n"


def test_a_full_disk_does_not_make_the_data_those_of_another_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start would advise to delete data that it can read."""
    directory = tmp_path / "run"
    with DevDirectory(directory):
        (directory / "database").mkdir()

    def run_out_of_space(self: Path, *_: object) -> int:
        self.open("wb").close()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", run_out_of_space)
    for _ in range(2):
        with DevDirectory(directory):
            pass


def test_a_format_that_is_no_text_is_of_another_release(tmp_path: Path) -> None:
    """The sentence would be of the decoder, and say nothing of what to do."""
    (tmp_path / "database").mkdir()
    (tmp_path / "format").write_bytes(b"\xff\xfe")
    with pytest.raises(DevError, match="another release"), DevDirectory(tmp_path):
        pass

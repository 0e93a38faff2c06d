"""No part is older than the version that mended its last known vulnerability, and none runs on a weaker backend."""

import re
from importlib.metadata import version
from pathlib import Path

import bson
import pymongo
import pytest
from google.protobuf.internal import api_implementation
from packaging.version import Version

FLOORS = {
    "grpcio": "1.85",  # CVE-2024-11407 and all before it
    "h11": "0.16.0",  # CVE-2025-43859, request smuggling; uvicorn brings it
    "pillow": "13.0.0",  # CVE-2026-112403 and CVE-2026-96639, both critical
    "protobuf": "7.35",  # CVE-2026-0994, CVE-2025-4565; and what the generated code asks for
    "pyjwt": "2.15.0",  # CVE-2026-102271 to -102275
    "pymongo": "4.18.2",  # CVE-2026-96749, a heap write
    "python-multipart": "0.0.32",  # CVE-2026-53538, and bounds that came later
    "starlette": "1.3.1",  # CVE-2026-54283, CVE-2026-48710
    "uvicorn": "0.54",  # the one that the gateway's own connection is written against
}
LOCK = Path(__file__).parents[1] / "requirements" / "run.txt"


@pytest.mark.parametrize(("name", "floor"), FLOORS.items())
def test_an_installed_part_is_not_older_than_its_floor(name: str, floor: str) -> None:
    """A resolver that goes back, or an old mirror, would bring a known hole back."""
    assert Version(version(name)) >= Version(floor)


@pytest.mark.parametrize(("name", "floor"), FLOORS.items())
def test_the_lock_of_the_image_is_not_older_than_its_floor(name: str, floor: str) -> None:
    """What is tested here is no help if the image is built from something older."""
    pinned = re.findall(rf"(?m)^{re.escape(name)}==(\S+)", LOCK.read_text(encoding="utf-8"))
    assert len(pinned) == 1
    assert Version(pinned[0]) >= Version(floor)


def test_every_pin_of_the_image_has_a_hash() -> None:
    """A pin without a hash is whatever an index says that it is."""
    pins = re.split(r"(?m)^(?=[a-z])", LOCK.read_text(encoding="utf-8"))[1:]
    assert len(pins) > len(FLOORS)
    assert [pin.split()[0] for pin in pins if "--hash=sha256:" not in pin] == []


def test_messages_are_parsed_by_the_c_library() -> None:
    """The pure-Python parser of protobuf recurses without a bound (CVE-2025-4565), and is many times slower."""
    assert api_implementation.Type() == "upb"


def test_documents_are_parsed_by_the_c_extension() -> None:
    """PyMongo falls back to Python in silence, and everything the database says takes several times as long."""
    assert pymongo.has_c()
    assert bson.has_c()

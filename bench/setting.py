"""Where a run took place: machine and versions, without anything that tells whose machine it is."""

import json
import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

OURS = (
    "grpcio",
    "pygrpc-native",
    "protobuf",
    "pymongo",
    "uvloop",
    "uvicorn",
    "httptools",
    "starlette",
    "orjson",
    "pyjwt",
    "structlog",
)
THEIRS = ("fastapi", "pydantic", "agora-token-builder", "flask", "gunicorn", "agoraiotools")
_EXPRESS = Path(__file__).parent / "peers" / "express" / "package.json"


def machine() -> str:
    model = next(
        (line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")), platform.machine()
    )
    kernel = platform.release().partition("-")[0]
    return f"{model}, {os.cpu_count()} cores, {platform.system()} {kernel}, load average {os.getloadavg()[0]:.1f}"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def versions() -> str:
    """Of Python, and of the packages that do the work in the service."""
    return f"Python {platform.python_version()}, {_packages(OURS)}"


def versions_of_peers() -> str:
    node = shutil.which("node")
    named = subprocess.run([node, "--version"], check=False, capture_output=True, text=True).stdout if node else ""
    there = json.loads(_EXPRESS.read_text())["dependencies"]
    packages = ", ".join(f"{name} {number}" for name, number in there.items())
    return f"{_packages(THEIRS)}; Node {named.strip().removeprefix('v') or 'is missing'}, {packages}"


def _packages(names: tuple[str, ...]) -> str:
    return ", ".join(f"{name} {number}" for name in names if (number := _version(name)))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None

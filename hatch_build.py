"""Builds what `protos/` promises: typed stubs, and one descriptor set that keeps the comments.

Runs at every `pip install`, and by hand as `python hatch_build.py`.
"""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent / "protos"


def generate() -> None:
    """Compile every .proto below `protos/`, in place."""
    import google.api  # noqa: PLC0415 - a build requirement, absent where only metadata is read

    googleapis = Path(next(iter(google.api.__path__))).parents[1]
    sources = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.proto"))
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            "--proto_path=.",
            f"--proto_path={googleapis}",
            "--python_out=.",
            "--grpc_python_out=.",
            "--mypy_out=quiet:.",
            "--mypy_grpc_out=quiet:.",
            "--include_imports",
            "--include_source_info",
            "--descriptor_set_out=livestream/v1/api.binpb",
            *sources,
        ],
        cwd=ROOT,
        # protoc finds its plugins (mypy-protobuf) on the PATH.
        env=os.environ | {"PATH": os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])},
        check=True,
    )
    # A service-free file needs no gRPC stubs.
    for stub in ROOT.rglob("*_pb2_grpc.py*"):
        if "service" not in stub.name:
            stub.unlink()


class BuildHook(BuildHookInterface):
    """Runs `generate` before files are collected."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        generate()


if __name__ == "__main__":
    generate()

"""Looks for bytes that a parser cannot stand: `python -m tests.fuzz TARGET [libFuzzer options]`, with atheris.

Starts from the committed corpus. What is new goes to `.fuzz/TARGET`, and what fails to `.fuzz/TARGET-crash-…`: mend it,
and commit those bytes to `tests/fuzz/corpus/TARGET`.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["livestream_gateway", "livestream_server", "livestream_agora", "starlette", "python_multipart", "uvicorn"]
):
    from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).with_name("corpus")
FOUND = Path(".fuzz")


def main() -> None:
    name, *options = sys.argv[1:]
    directory = FOUND / name
    directory.mkdir(parents=True, exist_ok=True)
    limits = ["-timeout=20", "-rss_limit_mb=2048", f"-artifact_prefix={directory}-"]
    atheris.Setup([sys.argv[0], *limits, *options, str(directory), str(CORPUS / name)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()

"""Pages of `docs/` that the code itself tells: every setting, and every error that a caller can meet.

`make docs` writes them; a test compares, so a page can be neither forgotten nor wrong.
"""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
from pydantic_settings import BaseSettings

from livestream_gateway.envelope import FIXED, STATUSES
from livestream_server.errors import InvalidArgument, ResourceExhausted, ServiceError, Unavailable, every_error
from livestream_server.transport.status import to_status_code

_CODE_AND_STATUS = re.compile(r" \([A-Z_]+, \d{3}\)")  # how a kind's docstring names what has columns of its own

_WORDS = {
    "string": "text",
    "password": "secret",
    "path": "path",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
}

PARTS = ("livestream_server.app", "livestream_gateway.app")
"""Importing them imports every class of settings and of errors that a running process has."""

_CONFIGURATION = """\
# Configuration

Written by `make docs` from the settings themselves; do not edit.

Every setting is an environment variable, read and checked once, at the start. A process whose settings cannot work
ends with exit code 2 and says which one is wrong and why, without its value. An empty variable is a value, not an
absent one. `livestream-server gateway` reads the `GATEWAY_` variables and `LIVESTREAM_STALL_SECONDS` only; `serve`
reads them all.

Variables of the tools: `LIVESTREAM_DEV_DIRECTORY` is where `make run` keeps its data (`.run`), `LIVESTREAM_TOKEN` is
the JWT that the command `livestream` sends, and `MONGODB_URI` makes `make run` and `make test` use that database
instead of the embedded one.
"""

_ERRORS = """\
# Errors

Written by `make docs` from the error classes; do not edit.

Over gRPC, every failure carries a `google.rpc.Status` with one `ErrorInfo`: `domain` is `livestream`, `reason` is
one of the words below and stays what it is for good, `metadata` holds what varies in the message. `INVALID_REQUEST`
adds a `BadRequest` with one violation per field, and a failure that may pass adds `RetryInfo`. `x-request-id` in the
trailing metadata is the id under which the log knows the call.

Over REST, `errors[0]` of the envelope is the fixed sentence of the status, and what follows says what is wrong. Where
gRPC has `RetryInfo`, REST has `Retry-After`.
"""

_STATUSES = """\

## HTTP statuses

A status without a gRPC code is the gateway's own refusal: the request never became a call.
"""


def configuration() -> str:
    """`docs/configuration.md`."""
    return _CONFIGURATION + "".join(map(_settings_section, every_settings_class()))


def every_settings_class() -> Sequence[type[BaseSettings]]:
    """The classes of the service and of the gateway, by prefix; of one that another extends, only the other."""
    return sorted((each for each in _ours(_subclasses(BaseSettings)) if not each.__subclasses__()), key=_prefix)


def errors() -> str:
    """`docs/errors.md`."""
    rows = sorted((_http_status(each), each.reason, *_error_cells(each)) for each in _ours(every_error()))
    return (
        _ERRORS
        + _table(
            ("HTTP", "Reason", "gRPC", "When", "Metadata", "Also"),
            [(str(status), f"`{reason}`", *cells) for status, reason, *cells in rows],
        )
        + _STATUSES
        + _table(
            ("HTTP", "`errors[0]`", "gRPC"),
            [(str(status), sentence, _codes_behind(status)) for status, sentence in FIXED.items()],
        )
    )


PAGES = {"configuration.md": configuration, "errors.md": errors}


def _ours(classes: Iterator[type[Any]]) -> list[type[Any]]:
    """Those of `classes` that belong to the product, once all of it is imported."""
    for each in PARTS:
        import_module(each)
    return [
        each for each in classes if each.__module__.partition(".")[0] in {"livestream_server", "livestream_gateway"}
    ]


def _subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    for each in kind.__subclasses__():
        yield each
        yield from _subclasses(each)


def _one_line(documented: type[Any]) -> str:
    return " ".join((documented.__doc__ or "").split())


def _prefix(settings: type[BaseSettings]) -> str:
    return settings.model_config.get("env_prefix", "")


def _settings_section(settings: type[BaseSettings]) -> str:
    schema = settings.model_json_schema()
    required = schema.get("required", [])
    rows = [
        (
            f"`{_prefix(settings)}{name.upper()}`",
            _kind(field, schema.get("$defs", {})),
            "**required**" if name in required else _default(field),
            field["description"],
        )
        for name, field in schema["properties"].items()
        if not _is_section(settings, name)
    ]
    return f"\n## `{_prefix(settings)}`\n\n{_one_line(settings)}\n" + _table(
        ("Variable", "Value", "Default", "Meaning"), rows
    )


def _is_section(settings: type[BaseSettings], name: str) -> bool:
    """Whether the field holds settings that have a section of their own."""
    kind = settings.model_fields[name].annotation
    return isinstance(kind, type) and issubclass(kind, BaseSettings)


def _kind(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """What a value may be, in a few words."""
    if choices := [each for each in field.get("anyOf", []) if each.get("type") != "null"]:
        return _kind(choices[0], definitions)
    if "$ref" in field:
        return _kind(definitions[field["$ref"].rpartition("/")[2]], definitions)
    if field.get("type") == "array":
        return f"list of {_kind(field['items'], definitions)}"
    if words := field.get("enum") or ([field["const"]] if "const" in field else []):
        return ", ".join(f"`{each}`" for each in words)
    if "pattern" in field:
        return f"text like `{field['pattern']}`"
    return _WORDS[field.get("format") or field["type"]] + _range(field)


def _range(field: Mapping[str, Any]) -> str:
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to"}
    bounds = [f"{word} {field[name]:,.10g}" for name, word in words.items() if name in field]
    return f", {' '.join(bounds)}" if bounds else ""


def _default(field: Mapping[str, Any]) -> str:
    match field.get("default"):
        case None | []:
            return "absent"
        case bool() as value:
            return f"`{str(value).lower()}`"
        case [*words]:
            return f"`{','.join(words)}`"
        case float() as value:
            return f"`{value:g}`"
        case value:
            return f"`{value}`"


def _error_cells(kind: type[ServiceError]) -> tuple[str, str, str, str]:
    """Code, when, metadata, further details."""
    when = _CODE_AND_STATUS.sub("", _one_line(kind))
    also = ""
    if issubclass(kind, InvalidArgument):
        also = "`BadRequest`"
    elif issubclass(kind, ResourceExhausted | Unavailable):
        known = "retry_after" not in inspect.signature(kind).parameters
        also = f"`RetryInfo`: {kind.retry_after:g} s" if known else "`RetryInfo`: as long as it takes"
    return to_status_code(kind).name, when, ", ".join(_metadata(kind)), also


def _metadata(kind: type[ServiceError]) -> list[str]:
    """The keywords that the class hands up to `ServiceError.__init__`, which are the names of its metadata."""
    source = ast.parse(textwrap.dedent(inspect.getsource(kind.__init__)))
    calls = (each for each in ast.walk(source) if isinstance(each, ast.Call))
    return [
        f"`{keyword.arg}`" if keyword.arg else "depends on the method"
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "__init__"
        for keyword in call.keywords
    ]


def _http_status(kind: type[ServiceError]) -> int:
    return STATUSES.get(to_status_code(kind), 500)


def _codes_behind(status: int) -> str:
    """The codes that become this status; whatever has no status of its own is 500."""
    if status == STATUSES.get(grpc.StatusCode.INTERNAL, 500):
        return "`INTERNAL` and every code that is not in this table"
    return ", ".join(f"`{code.name}`" for code, own in STATUSES.items() if own == status)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in escaped)


def main() -> None:
    """Write the pages into the directory that the command line names."""
    for name, page in PAGES.items():
        Path(sys.argv[1], name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()

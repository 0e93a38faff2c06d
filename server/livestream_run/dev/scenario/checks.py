"""Judges an answer: its status, its envelope, what the step asks of it, and the tokens in it."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from livestream_run.dev.scenario.steps import Answer, Call, Hear, Rest, Rpc, Step, Watch
from livestream_run.dev.scenario.tokens import find_token_faults

Kept = dict[str, Any]

ENVELOPE = ("isSuccess", "statusCode", "data", "errors", "timestamp")
REFUSALS = {
    400: "Validation failed",
    401: "Authentication required",
    403: "Insufficient permissions",
    404: "Resource not found",
    409: "Resource already exists or cannot be changed in its current state",
}
"""What `errors` begins with, by the public contract."""

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_NAMED = re.compile(r"\{([a-z ]+)\}")


class NotKept(Exception):
    """A step needs what no earlier step kept."""


class _Missing(Exception):
    """There is nothing at a path of the answer."""


def fill_in(call: Call, kept: Kept) -> Call:
    """The call with what its texts name; raises NotKept."""
    if isinstance(call, Rpc):
        return replace(call, arguments=_fill_in(call.arguments, kept))
    if isinstance(call, Watch | Hear):
        return replace(call, live_stream_id=_fill_in(call.live_stream_id, kept))
    return replace(call, path=_fill_in(call.path, kept), json=_fill_in(call.json, kept), form=_fill_in(call.form, kept))


def keep(step: Step, answer: Answer, kept: Kept) -> None:
    """Keep what the step says, as far as the answer has it."""
    for name, path in step.keep.items():
        try:
            kept[name] = _read_path(answer.body, path)
        except _Missing:
            kept.pop(name, None)


def find_faults(step: Step, answer: Answer, kept: Kept, certificate: str) -> list[str]:
    """What is wrong with the answer, in words; nothing, if it is as it must be."""
    found = (
        []
        if answer.status == step.expect
        else [f"the answer is {_format_status(answer.status)}, not {_format_status(step.expect)}"]
    )
    if isinstance(step.call, Rest) and step.call.path.startswith("/api/"):
        found += _find_envelope_faults(answer)
        found += find_token_faults(answer.body, certificate)
    for path, wanted in step.must.items():
        found += _unless(path, wanted, answer, kept, wanted_there=True)
    for path, unwanted in step.must_not.items():
        found += _unless(path, unwanted, answer, kept, wanted_there=False)
    return found


def _find_envelope_faults(answer: Answer) -> Iterator[str]:
    """Whatever the step is about, an envelope agrees with its status and with itself."""
    body, status = answer.body, answer.status
    if not isinstance(body, Mapping) or tuple(body) != ENVELOPE:
        yield f"the answer is no envelope of {', '.join(ENVELOPE)}"
        return
    if body["statusCode"] != status:
        yield f"the envelope says {body['statusCode']}, the status line {_format_status(status)}"
    if not _INSTANT.fullmatch(str(body["timestamp"])):
        yield f"timestamp: is {_format_value(body['timestamp'])}, must be an instant with milliseconds"
    refusal = REFUSALS.get(status) if isinstance(status, int) else None
    if body["isSuccess"] is not (refusal is None):
        yield f"isSuccess: is {_format_value(body['isSuccess'])} in a {_format_status(status)}"
    if refusal is None and body["errors"] != []:
        yield f"errors: is {_format_value(body['errors'])}, must be empty"
    if refusal is not None and (body["data"] is not None or body["errors"][:1] != [refusal]):
        yield f"a {_format_status(status)} has no data, and its errors begin with {_format_value(refusal)}"


def _unless(path: str, value: Any, answer: Answer, kept: Kept, *, wanted_there: bool) -> Iterator[str]:
    """A fault, unless `value` is, or is not, at the path."""
    try:
        value, found = _fill_in(value, kept), _read_path(answer.body, path)
    except _Missing:
        yield f"{path}: is missing"
        return
    except NotKept as name:
        yield f"{path}: cannot be compared, an earlier step did not give the {name}"
        return
    there = _matches(found, value)
    if there is not wanted_there:
        yield f"{path}: is {_format_value(found)}, must{'' if wanted_there else ' not'} be {_format_value(value)}"


def _matches(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, re.Pattern):
        return isinstance(found, str) and wanted.fullmatch(found) is not None
    # 1 is True and 1.0 in Python, but not in JSON.
    return type(found) is type(wanted) and found == wanted


def _fill_in(value: Any, kept: Kept) -> Any:
    if isinstance(value, Mapping):
        return {name: _fill_in(each, kept) for name, each in value.items()}
    if not isinstance(value, str):
        return value
    try:
        if whole := _NAMED.fullmatch(value):
            return kept[whole[1]]
        return _NAMED.sub(lambda name: str(kept[name[1]]), value)
    except KeyError as error:
        raise NotKept(error.args[0]) from None


def _read_path(body: Any, path: str) -> Any:
    for part in path.split("."):
        try:
            body = body[int(part)] if isinstance(body, list) else body[part]
        except (LookupError, TypeError, ValueError):
            raise _Missing from None
    return body


def _format_status(status: Any) -> str:
    return status.name if hasattr(status, "name") else str(status)


def _format_value(value: Any) -> str:
    return f"like {value.pattern}" if isinstance(value, re.Pattern) else json.dumps(value, ensure_ascii=False)

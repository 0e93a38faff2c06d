"""Prints the scenario. Colour on a terminal only, and not where NO_COLOR asks for none (https://no-color.org)."""

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from livestream_run.dev.scenario.steps import Answer, Call, Hear, Part, Rest, Step, Watch
from livestream_run.dev.scenario.tokens import decode_tokens, describe_token

WIDTH = 110
LONGEST_TEXT = 80
_NAMES = ("_id", "id", "title", "username")  # by which a reader recognises what was shown before

_BOLD, _DIM, _RED, _GREEN = "1", "2", "31", "32"


class Printer:
    """Tells on `out` what happens."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._coloured = out.isatty() and not os.environ.get("NO_COLOR")
        self._parts = 0
        # REST and gRPC write the same thing differently.
        self._shown: dict[bool, dict[str, Any]] = {True: {}, False: {}}

    def part(self, part: Part) -> None:
        self._parts += 1
        self._say(self._in(_BOLD, f"{self._parts}. {part.title}"), before="\n")

    def step(self, step: Step) -> None:
        self._say(f"  {step.sentence}", before="\n")

    def answer(self, call: Call, answer: Answer, certificate: str) -> None:
        """The call, its status and duration, the body, and what the tokens in it say."""
        status = answer.status if isinstance(answer.status, int) else answer.status.name
        self._say(f"  {_format_call(call)}  -> {self._in(_BOLD, str(status))}  {answer.seconds * 1000:.1f} ms")
        for line in lay_out(self._abridge(answer.body, self._shown[isinstance(call, Rest)])):
            self._say(self._in(_DIM, f"    {line}"))
        for name, _, found in decode_tokens(answer.body, certificate):
            for line in describe_token(name, found):
                self._say(f"    {line}")

    def faults(self, found: Sequence[str]) -> None:
        for each in found:
            self._say(self._in(_RED, f"  WRONG: {each}"))

    def end(self, count: int, wrong: Sequence[Step]) -> None:
        if not wrong:
            self._say(self._in(_GREEN, f"All {count} answers were as they must be."), before="\n")
            return
        self._say(self._in(_RED, f"{len(wrong)} of {count} answers were not as they must be:"), before="\n")
        for each in wrong:
            self._say(f"  {each.sentence}")

    def log(self, text: str) -> None:
        self._say(f"What the service said:\n{text}", before="\n")

    def _say(self, text: str, *, before: str = "") -> None:
        print(f"{before}{text}", file=self._out, flush=True)

    def _in(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text

    def _abridge(self, value: Any, known: dict[str, Any]) -> Any:
        """`value`, where what has an id is whole when first shown, and later only what changed of it."""
        if isinstance(value, list):
            return [self._abridge(each, known) for each in value]
        if not isinstance(value, dict):
            return _shorten(value) if isinstance(value, str) else value
        identity: str | None = value.get("_id") or value.get("id")
        before = known.get(identity, {}) if identity else {}
        if identity:
            known[identity] = before | value
        same = [name for name in value if name in before and before[name] == value[name] and name not in _NAMES]
        shown = {name: self._abridge(each, known) for name, each in value.items() if name not in same}
        return shown | ({"…": f"{len(same)} more, as before"} if same else {})


def lay_out(value: Any, width: int = WIDTH) -> Iterator[str]:
    """JSON for humans: as many members on a line as fit, and on lines of their own those that do not."""
    whole = json.dumps(value, ensure_ascii=False)
    if len(whole) <= width or not isinstance(value, dict | list) or not value:
        yield whole
        return
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    yield opening
    line = ""
    for member in _format_members(value, width - 4):
        first, *rest = member
        if line and (rest or len(line) + len(first) >= width - 2):
            yield f"  {line}"
            line = ""
        if rest:
            yield from (f"  {each}" for each in member)
        else:
            line = f"{line} {first}".lstrip()
    if line:
        yield f"  {line}"
    yield closing


def _format_members(value: dict[str, Any] | list[Any], width: int) -> Iterator[list[str]]:
    """The lines of each member, with its name and the comma that follows it."""
    named = [*value.items()] if isinstance(value, dict) else [(None, each) for each in value]
    for place, (name, each) in enumerate(named, 1):
        lines = [*lay_out(each, width)]
        if name is not None:
            lines[0] = f"{json.dumps(name, ensure_ascii=False)}: {lines[0]}"
        if place < len(named):
            lines[-1] += ","
        yield lines


def _format_call(call: Call) -> str:
    if isinstance(call, Rest):
        return f"{call.method} {call.path}"
    if isinstance(call, Watch):
        return f"gRPC watch_stream(live_stream_id={call.live_stream_id!r})"
    if isinstance(call, Hear):
        return f"the next {call.kind} that this client is told"
    return f"gRPC {call.method}({', '.join(f'{name}={value!r}' for name, value in call.arguments.items())})"


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 20]}… ({len(text)} characters)"

"""`livestream-server demo`: a scenario run against a fresh instance, every answer shown and checked.

`parts` is the scenario as data; a feature is added to it as a part.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence

from livestream_client import LiveStreamError
from livestream_run.dev.directory import DevError
from livestream_run.dev.program import register
from livestream_run.dev.scenario.calls import Caller, NoAnswer, WireCaller
from livestream_run.dev.scenario.checks import Kept, NotKept, fill_in, find_faults, keep
from livestream_run.dev.scenario.instance import Instance, temporary_instance
from livestream_run.dev.scenario.parts import PARTS
from livestream_run.dev.scenario.printer import Printer
from livestream_run.dev.scenario.steps import Part, Step
from livestream_run.dev.users import USERS
from livestream_run.logs import SOON

INTERRUPTED = 128 + signal.SIGINT


def run_demo() -> int:
    """Run the whole scenario; answers 0 only if every answer was as it must be.

    Raises DevError with a sentence that says what to do, if the scenario cannot begin.
    """
    printer = Printer(sys.stdout)
    # Ends as Ctrl-C does, with everything cleaned up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with temporary_instance() as instance:
            code = asyncio.run(_run_scenario(instance, printer))
            if code:
                time.sleep(2 * SOON)
                printer.log(instance.log.read_text(errors="replace"))
            return code
    except KeyboardInterrupt:
        return INTERRUPTED


async def _run_scenario(instance: Instance, printer: Printer) -> int:
    try:
        await register(instance.grpc_target, instance.directory, os.environ["MEDIA_BASE_URL"])
    except LiveStreamError as error:
        raise DevError(f"The demo users could not be registered: {error}") from error
    async with WireCaller(instance) as caller:
        return await run(PARTS, caller, printer, instance.certificate)


async def run(parts: Sequence[Part], caller: Caller, printer: Printer, certificate: str) -> int:
    """Take every step, whatever became of those before; answers 0 if all were as they must be, else 1.

    `certificate` is Agora's, to verify the tokens with.
    """
    kept: Kept = {each.username: each.id for each in USERS}
    wrong: list[Step] = []
    for part in parts:
        printer.part(part)
        for step in part.steps:
            printer.step(step)
            found = await _take(step, caller, printer, kept, certificate)
            printer.faults(found)
            if found:
                wrong.append(step)
    printer.end(sum(len(each.steps) for each in parts), wrong)
    return 1 if wrong else 0


async def _take(step: Step, caller: Caller, printer: Printer, kept: Kept, certificate: str) -> list[str]:
    """Make the step's call and show the answer; says what is wrong with it."""
    try:
        call = fill_in(step.call, kept)
        answer = await caller.answer(call, step.who)
    except NotKept as missing:
        return [f"cannot be tried: an earlier step did not give the {missing}"]
    except NoAnswer as error:
        return [str(error)]
    printer.answer(call, answer, certificate)
    found = find_faults(step, answer, kept, certificate)
    keep(step, answer, kept)
    return found

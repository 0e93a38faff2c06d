"""`livestream-server demo`: a story told against a fresh instance, every answer shown and checked.

`chapters` is the story as data; a feature is added to it as a chapter.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence

from livestream_client import LiveStreamError
from livestream_run.dev.errors import DevError
from livestream_run.dev.people import PEOPLE
from livestream_run.dev.program import register
from livestream_run.dev.story.calls import Caller, NoAnswer, WireCaller
from livestream_run.dev.story.chapters import CHAPTERS
from livestream_run.dev.story.checks import Kept, NotKept, faults, filled, keep
from livestream_run.dev.story.instance import Instance, temporary_instance
from livestream_run.dev.story.narrator import Narrator
from livestream_run.dev.story.steps import Chapter, Step
from livestream_run.logs import SOON

INTERRUPTED = 128 + signal.SIGINT


def tell() -> int:
    """Tell the whole story; answers 0 only if every answer was as it must be.

    Raises DevError with a sentence that says what to do, if the story cannot begin.
    """
    narrator = Narrator(sys.stdout)
    # Ends as Ctrl-C does, with everything cleaned up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with temporary_instance() as instance:
            code = asyncio.run(_tell(instance, narrator))
            if code:
                time.sleep(2 * SOON)
                narrator.log(instance.log.read_text(errors="replace"))
            return code
    except KeyboardInterrupt:
        return INTERRUPTED


async def _tell(instance: Instance, narrator: Narrator) -> int:
    try:
        await register(instance.grpc_target, instance.directory, os.environ["MEDIA_BASE_URL"])
    except LiveStreamError as error:
        raise DevError(f"The demo people could not be registered: {error}") from error
    async with WireCaller(instance) as caller:
        return await run(CHAPTERS, caller, narrator, instance.certificate)


async def run(chapters: Sequence[Chapter], caller: Caller, narrator: Narrator, certificate: str) -> int:
    """Take every step, whatever became of those before; answers 0 if all were as they must be, else 1.

    `certificate` is Agora's, to verify the tokens with.
    """
    kept: Kept = {each.username: each.id for each in PEOPLE}
    wrong: list[Step] = []
    for chapter in chapters:
        narrator.chapter(chapter)
        for step in chapter.steps:
            narrator.step(step)
            found = await _take(step, caller, narrator, kept, certificate)
            narrator.faults(found)
            if found:
                wrong.append(step)
    narrator.end(sum(len(each.steps) for each in chapters), wrong)
    return 1 if wrong else 0


async def _take(step: Step, caller: Caller, narrator: Narrator, kept: Kept, certificate: str) -> list[str]:
    """Make the step's call and show the answer; says what is wrong with it."""
    try:
        call = filled(step.call, kept)
        answer = await caller.answer(call, step.who)
    except NotKept as missing:
        return [f"cannot be tried: an earlier step did not give the {missing}"]
    except NoAnswer as error:
        return [str(error)]
    narrator.answer(call, answer, certificate)
    found = faults(step, answer, kept, certificate)
    keep(step, answer, kept)
    return found

"""The service can be stopped at any moment."""

import asyncio
import gc
from pathlib import Path

import pytest
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

from livestream_server.app import open_service
from tests.support.environment import settings_for


class AtPing(CommandListener):
    """Sets an event a few turns of the loop after the service began to ping its database."""

    def __init__(self, turns: int) -> None:
        self.reached = asyncio.Event()
        self._turns = turns

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name == "ping":
            self._turn(self._turns)

    def _turn(self, left: int) -> None:
        if left:
            asyncio.get_running_loop().call_soon(self._turn, left - 1)
        else:
            self.reached.set()

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


# The driver leaves a connection that it was cancelled in making to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("turns", range(6))
async def test_a_stop_in_the_middle_of_a_ping_is_a_stop(
    mongo_uri: str, database_name: str, media: Path, turns: int
) -> None:
    """On Python 3.11 the driver loses a cancellation that meets it while it writes; the process would run for ever."""
    listener = AtPing(turns)
    settings = settings_for(mongo_uri, database_name, media)
    async with asyncio.timeout(10) as limit, open_service(settings, listeners=[listener]):
        await listener.reached.wait()
    assert not limit.expired()
    left = [each.get_coro().__qualname__ for each in asyncio.all_tasks()]
    assert not [each for each in left if each in ("_watch_database", "Sweeper.run")]
    gc.collect()

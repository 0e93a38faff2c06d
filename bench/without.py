"""The service with one of the pieces that make it fast taken out: `python -m bench.without PIECE serve ...`.

So that what each of them gains can be measured beside the whole, in one run: `python -m bench --pieces`.
"""

import sys
import zlib
from collections.abc import Callable, Mapping
from random import SystemRandom
from typing import Any

from livestream_agora import access_token2
from livestream_gateway import exchange
from livestream_gateway.transcoding import render
from livestream_run import __main__ as program
from livestream_run import logs, memory
from livestream_server.auth import jwt
from livestream_server.mongo.batcher import Batcher
from livestream_server.streams import presenter, store
from livestream_server.tokens import agora
from livestream_server.transport import call
from livestream_server.users.store import Users


def _shared_commands() -> None:
    async def load(self: Batcher[Any, Any], item: Any) -> Any:
        (answer,) = await self._command([item])
        return answer

    Batcher.load = load  # type: ignore[method-assign]


def _unchanged_streams() -> None:
    store.CACHED_STREAMS = presenter.CACHED_STREAMS = 0


def _cached_json() -> None:
    render._CACHE_SIZE = 0


def _cached_users() -> None:
    whole = Users.__init__

    def forgetting(self: Users, database: Any, **_: Any) -> None:
        whole(self, database, cache_seconds=0)

    Users.__init__ = forgetting  # type: ignore[method-assign, assignment]


def _verified_tokens() -> None:
    jwt.CACHE_SECONDS = 0


def _stored_tokens() -> None:
    access_token2._stored = zlib.compress


def _lines_in_batches() -> None:
    logs._Lines.info = logs._Lines.warning  # type: ignore[method-assign]


def _own_randomness() -> None:
    system = SystemRandom()
    call.getrandbits = exchange.getrandbits = system.getrandbits
    agora.randint = system.randint


def _rare_collections() -> None:
    memory.collect_rarely = lambda: None


PIECES: Mapping[str, Callable[[], None]] = {
    "shared commands": _shared_commands,
    "unchanged streams": _unchanged_streams,
    "remembered JSON": _cached_json,
    "remembered users": _cached_users,
    "verified tokens": _verified_tokens,
    "stored tokens": _stored_tokens,
    "lines together": _lines_in_batches,
    "own randomness": _own_randomness,
    "rare collections": _rare_collections,
}


def main() -> int:
    piece = sys.argv.pop(1)
    PIECES[piece]()
    return program.main()


if __name__ == "__main__":
    sys.exit(main())

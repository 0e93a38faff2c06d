"""One watcher: what they have been told, and what comes next."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from livestream.v1.moderation_service_pb2 import BanActionType
from livestream.v1.watch_service_pb2 import BanLevel, Snapshot, ViewerCount, WatchStreamResponse
from livestream_server.errors import TooSlow

LAG = 128
"""How many changes a watcher may be behind. Half of what is kept, so that whoever is cut off can still resume."""


NOTHING = -1
"""The revision of somebody who has seen nothing. A stream begins with 0."""


class Journal(Protocol):
    """A stream at one revision."""

    @property
    def revision(self) -> int:
        """How many changes there were."""

    @property
    def changes(self) -> Sequence[WatchStreamResponse]:
        """The last of them, without a gap up to `revision`."""

    @property
    def active(self) -> bool:
        """Whether people can be in the audience."""

    @property
    def deleted(self) -> bool:
        """Whether the stream is absent from every other answer."""

    @property
    def over(self) -> bool:
        """Whether nothing else will happen."""

    async def seen_by(self, caller: str) -> Snapshot:
        """The stream as the caller sees it; raises NotAllowed if they may see none, NotFound if it was deleted."""


@dataclass(frozen=True, slots=True)
class Levels:
    """What holds now beside the changes."""

    viewers: int = 0
    bans: Mapping[str, str] = field(default_factory=dict)
    """What banned people may not do (`block` or `chat_only`), by their ids."""

    def ban_of(self, user: str) -> BanActionType.ValueType:
        """What `user` may not do, as the contract says it."""
        return BanActionType.Value(f"BAN_ACTION_TYPE_{self.bans.get(user, 'unspecified').upper()}")


class Watcher:
    """Where one watcher is in what happens to a stream."""

    def __init__(self, caller: str, resume_after: int | None) -> None:
        self._caller = caller
        self._seen = NOTHING if resume_after is None else resume_after
        self._told: tuple[int, BanActionType.ValueType] | tuple[None, None] = None, None

    def needs_snapshot(self, journal: Journal) -> bool:
        """Whether what they have seen leads to no change that is kept, so that they must begin with a snapshot."""
        return not journal.revision - len(journal.changes) <= self._seen <= journal.revision

    def snapshot(self, journal: Journal, seen: Snapshot, levels: Levels) -> WatchStreamResponse:
        """Everything; `seen` is the stream as they see it."""
        self._seen = journal.revision
        self._told = seen.viewer_count, seen.ban = levels.viewers, levels.ban_of(self._caller)
        return WatchStreamResponse(revision=self._seen, snapshot=seen)

    def changes(self, journal: Journal) -> Iterator[WatchStreamResponse]:
        """The changes after those that they have seen."""
        behind = journal.revision - self._seen
        if behind > 0:
            yield from journal.changes[-behind:]
        self._seen = journal.revision

    def keep_up(self, journal: Journal) -> None:
        """Raise TooSlow if too many changes have happened since they were last told some."""
        if journal.revision - self._seen > LAG:
            raise TooSlow(self._seen)

    def levels(self, levels: Levels) -> Iterator[WatchStreamResponse]:
        """The levels that are not as they were told."""
        viewers, ban = self._told
        own = levels.ban_of(self._caller)
        self._told = levels.viewers, own
        if viewers != levels.viewers:
            yield WatchStreamResponse(revision=self._seen, viewers=ViewerCount(viewer_count=levels.viewers))
        if ban != own:
            yield WatchStreamResponse(revision=self._seen, ban=BanLevel(ban=own))

    def heartbeat(self) -> WatchStreamResponse:
        """A sign of life."""
        return WatchStreamResponse(revision=self._seen)

"""One watcher: what they have been told, and what comes next."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from livestream.v1.moderation_service_pb2 import BanActionType
from livestream.v1.watch_service_pb2 import BanLevel, Snapshot, ViewerCount, WatchStreamResponse
from livestream_server.errors import TooSlow
from livestream_server.protocols import Journal

LAG = 128
"""How many changes a watcher may be behind. Half of what is kept, so that whoever is cut off can still resume."""


NOTHING = -1
"""The revision of somebody who has seen nothing. A stream begins with 0."""


@dataclass(frozen=True, slots=True)
class Levels:
    """What holds now beside the changes."""

    viewers: int = 0
    bans: Mapping[str, str] = field(default_factory=dict)
    """What banned users may not do (`block` or `chat_only`), by their ids."""

    @property
    def blocked(self) -> Collection[str]:
        """Who is shut out."""
        return [user for user, action in self.bans.items() if action == "block"]

    def ban_of(self, user: str) -> BanActionType.ValueType:
        """What `user` may not do, as the contract says it."""
        return BanActionType.Value(f"BAN_ACTION_TYPE_{self.bans.get(user, 'unspecified').upper()}")


class Watcher:
    """Where one watcher is in what happens to a stream."""

    def __init__(self, caller: str, resume_after: int | None, *, counts: bool) -> None:
        """`counts` says whether they are told how many watch."""
        self._caller = caller
        self._counts = counts
        self._seen = NOTHING if resume_after is None else resume_after
        self._told_viewers: int | None = None
        self._told_ban: BanActionType.ValueType | None = None

    def needs_snapshot(self, journal: Journal) -> bool:
        """Whether what they have seen leads to no change that is kept, so that they must begin with a snapshot."""
        return not journal.revision - len(journal.changes) <= self._seen <= journal.revision

    def snapshot(self, journal: Journal, seen: Snapshot, levels: Levels) -> WatchStreamResponse:
        """Everything; `seen` is the stream as they see it."""
        self._seen = journal.revision
        if self._counts:
            seen.viewer_count = self._told_viewers = levels.viewers
        seen.ban = self._told_ban = levels.ban_of(self._caller)
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
        if self._counts and self._told_viewers != levels.viewers:
            self._told_viewers = levels.viewers
            yield WatchStreamResponse(revision=self._seen, viewers=ViewerCount(viewer_count=levels.viewers))
        own = levels.ban_of(self._caller)
        if self._told_ban != own:
            self._told_ban = own
            yield WatchStreamResponse(revision=self._seen, ban=BanLevel(ban=own))

    def heartbeat(self) -> WatchStreamResponse:
        """A sign of life."""
        return WatchStreamResponse(revision=self._seen)

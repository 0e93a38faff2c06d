"""One watcher: what they have been sent, and what comes next."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from livestream_server.errors import TooSlow
from livestream_server.protocols import Change, Journal
from livestream_server.vocabulary import BanAction

LAG = 128
"""How many changes a watcher may be behind. Half of what is kept, so that a watcher who is cut off can still resume."""

NOTHING = -1
"""The revision of a watcher who has seen nothing. A stream begins with 0."""


@dataclass(frozen=True, slots=True)
class Levels:
    """What holds now beside the changes."""

    viewers: int = 0
    bans: Mapping[str, BanAction] = field(default_factory=dict)
    """What banned users may not do, by their ids."""

    @property
    def blocked(self) -> Collection[str]:
        """Users with a ban that forbids watching."""
        return [user for user, action in self.bans.items() if action is BanAction.BLOCK]


class ViewerLevel(NamedTuple):
    """How many users are in the audience."""

    viewers: int


class BanLevel(NamedTuple):
    """What the watcher may not do; None if they are not banned."""

    action: BanAction | None


LevelChange: TypeAlias = ViewerLevel | BanLevel


class Watcher:
    """How far one watcher has been sent what happens to a stream."""

    def __init__(self, caller: str, resume_after: int | None, *, counts: bool) -> None:
        """`counts` says whether they are sent how many users watch."""
        self._caller = caller
        self._counts = counts
        self._sent: dict[type, LevelChange] = {}
        self.seen = NOTHING if resume_after is None else resume_after
        """The revision up to which they have been sent the changes."""

    def needs_snapshot(self, journal: Journal) -> bool:
        """Whether the change after those that they have seen is no longer kept, so that they begin with a snapshot."""
        return not journal.revision - len(journal.changes) <= self.seen <= journal.revision

    def skip_to(self, journal: Journal) -> None:
        """Count all changes of the journal as sent: a snapshot contains them."""
        self.seen = journal.revision

    def take_changes(self, journal: Journal) -> Sequence[Change]:
        """The changes after those that they have seen, which count as sent from now on."""
        behind = journal.revision - self.seen
        self.seen = journal.revision
        return journal.changes[-behind:] if behind > 0 else ()

    def take_levels(self, levels: Levels) -> Iterator[LevelChange]:
        """The levels that differ from what was last sent, each of which counts as sent from now on."""
        if self._counts:
            yield from self._take(ViewerLevel(levels.viewers))
        yield from self._take(BanLevel(levels.bans.get(self._caller)))

    def _take(self, level: LevelChange) -> Iterator[LevelChange]:
        if self._sent.get(type(level)) != level:
            self._sent[type(level)] = level
            yield level

    def require_not_behind(self, journal: Journal) -> None:
        """Raise TooSlow if they are more than LAG changes behind."""
        if journal.revision - self.seen > LAG:
            raise TooSlow(self.seen)

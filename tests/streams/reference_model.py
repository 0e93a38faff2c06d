"""What a stream is, as the rules have it: a model to hold the service against, small enough to be read beside them."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from livestream_server.streams.expiry import Limits

LIMITS = Limits(
    scheduled=timedelta(minutes=60),
    preparing=timedelta(hours=24),
    active=timedelta(hours=12),
    host_gone=timedelta(minutes=2),
    host_silent=timedelta(minutes=62),
)
TO_COME = ("preparing", "scheduled")
NEAR = timedelta(hours=24)


class Refusal(Exception):
    """A rule forbids it; `args[0]` is the reason."""


def require(fact: bool, reason: str) -> None:
    if not fact:
        raise Refusal(reason)


@dataclass
class Reminder:
    minute: int | None
    due: datetime | None
    armed: bool = True


@dataclass
class Model:
    """One stream. Each verb changes it, or raises Refusal with the reason."""

    creator: str
    guest: str | None
    born: datetime
    planned: datetime | None
    paid: bool
    history: list[str] = field(default_factory=list)
    started: datetime | None = None
    ended: datetime | None = None
    end_reason: str | None = None
    host_seen: datetime | None = None
    host_gone: datetime | None = None
    deleted: bool = False
    on_stage: set[str] = field(default_factory=set)
    watching: set[str] = field(default_factory=set)
    """The creator or the guest, where they have joined as audience: they never count as viewers."""
    visits: dict[str, list[list[datetime]]] = field(default_factory=dict)
    granted: set[str] = field(default_factory=set)
    bans: dict[str, tuple[str, str]] = field(default_factory=dict)
    banned_at: dict[str, datetime] = field(default_factory=dict)
    reminders: dict[str, Reminder] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.history.append("scheduled" if self.planned else "preparing")

    @property
    def status(self) -> str:
        return self.history[-1]

    def role_of(self, who: str) -> str:
        return {self.creator: "host", self.guest: "guest"}.get(who, "audience")

    def exist(self) -> None:
        require(not self.deleted, "STREAM_NOT_FOUND")

    def be_role(self, who: str, role: str) -> None:
        reason = "NOT_THE_CREATOR" if role == "host" else "NOT_A_GUEST"
        require(role in ("audience", self.role_of(who)), reason)

    def shuts_out(self, who: str) -> bool:
        return self.bans.get(who, ("", ""))[1] == "BLOCK"

    # Life

    def admit(self, who: str, role: str) -> None:
        self.exist()
        require(not self.shuts_out(who), "BANNED")
        self.be_role(who, role)
        require(self.status == "active" or (role == "host" and self.status in TO_COME), "STREAM_NOT_JOINABLE")
        require(role != "audience" or not self.paid or who in self.granted, "PAYMENT_REQUIRED")

    def join(self, who: str, role: str, now: datetime, others: list["Model"]) -> None:
        self.admit(who, role)
        if self.status != "active":
            live = any(each.status == "active" and each.creator == who for each in others)
            require(not live, "CREATOR_ALREADY_LIVE")
            self.history.append("active")
            self.started = now
        self.enter(who, role, now)

    def renew(self, who: str, role: str | None, now: datetime) -> None:
        role = role or self.role_of(who)
        self.admit(who, role)
        require(who in ({*self.visits, *self.watching} if role == "audience" else self.on_stage), "NOT_JOINED")
        self.enter(who, role, now)

    def enter(self, who: str, role: str, now: datetime) -> None:
        if role != "audience":
            self.on_stage.add(who)
            if role == "host":
                self.host_seen, self.host_gone = now, None
            return
        if self.role_of(who) != "audience":
            self.watching.add(who)
            return
        visits = self.visits.setdefault(who, [])
        if not visits or visits[-1][1] <= now:
            visits.append([now, now])
        visits[-1][1] = now + LIMITS.host_silent

    def leave(self, who: str, role: str | None, now: datetime) -> None:
        role = role or self.role_of(who)
        self.exist()
        self.be_role(who, role)
        if self.status == "active" and role == "host":
            # Of a leave at the very instant at which the host was seen nobody knows whether it came after.
            known = self.host_gone is not None and self.host_gone != self.host_seen
            self.host_gone = self.host_gone if known else now
        elif self.status == "active" and role == "audience" and who in self.visits:
            self.visits[who][-1][1] = min(now, self.visits[who][-1][1])

    def end(self, who: str, moderator: bool, now: datetime) -> None:
        self.exist()
        require(moderator or who == self.creator, "NOT_THE_CREATOR")
        require(self.status in ("active", "ended"), "STREAM_NOT_ENDABLE")
        if self.status == "active":
            self.be_over("host" if who == self.creator else "moderator", now)

    def cancel(self, who: str) -> None:
        self.exist()
        require(not self.shuts_out(who), "BANNED")
        require(who in (self.creator, self.guest), "NOT_A_BROADCASTER")
        wanted = f"cancelled_by_{self.role_of(who)}"
        require(self.status in (*TO_COME, wanted), "STREAM_NOT_CANCELLABLE")
        if self.status != wanted:
            self.history.append(wanted)

    def delete(self, who: str) -> None:
        require(who == self.creator, "STREAM_NOT_FOUND" if self.deleted else "NOT_THE_CREATOR")
        require(self.status != "active", "STREAM_NOT_DELETABLE")
        self.deleted = True

    def be_over(self, reason: str, now: datetime) -> None:
        self.history.append("ended")
        self.ended, self.end_reason = now, reason

    def pass_time(self, now: datetime) -> None:
        if self.deleted:
            return
        if self.status == "active":
            too_long = (self.started or now) + LIMITS.active
            gone = (self.host_seen or now) + LIMITS.host_silent
            if self.host_gone:
                gone = min(gone, self.host_gone + LIMITS.host_gone)
            if min(too_long, gone) <= now:
                self.be_over("too_long" if too_long <= gone else "host_gone", now)
        elif self.status in TO_COME:
            due = self.planned + LIMITS.scheduled if self.planned else self.born + LIMITS.preparing
            if due <= now:
                self.history.append("expired")

    # Who watches

    def look_on(self, who: str) -> None:
        self.exist()
        require(not self.shuts_out(who), "BANNED")
        require(not self.paid or who in (self.creator, self.guest, *self.granted), "PAYMENT_REQUIRED")

    def viewers(self, who: str, now: datetime) -> set[str]:
        self.look_on(who)
        require(self.status == "active", "STREAM_NOT_ON_AIR")
        return {each for each, visits in self.visits.items() if visits[-1][1] > now and not self.shuts_out(each)}

    def statistics(self, who: str, now: datetime) -> tuple[int, float, int]:
        """How many viewers, minutes of them all, and the most at once: looked up at each instant that somebody came."""
        self.look_on(who)
        ends = {
            each: min(self.ended or now, self.banned_at[each] if self.shuts_out(each) else now) for each in self.visits
        }
        spans = [
            [(since, min(until, ends[each])) for since, until in visits if since < ends[each]]
            for each, visits in self.visits.items()
        ]
        watched = sum((until - since for each in spans for since, until in each), timedelta())
        came = [since for each in spans for since, _ in each]
        peak = max((sum(any(a <= at < b for a, b in each) for each in spans) for at in came), default=0)
        return len(spans), round(watched / timedelta(minutes=1), 2), peak

    # Bans and reminders

    def ban(self, who: str, target: str) -> None:
        require(who != target, "INVALID_REQUEST")
        self.exist()
        require(who == self.creator, "NOT_THE_CREATOR")
        require(target not in self.bans, "ALREADY_BANNED")

    def ban_of(self, who: str, target: str) -> str | None:
        self.exist()
        require(who in (target, self.creator), "NOT_THE_CREATOR")
        return self.bans[target][0] if target in self.bans else None

    def lift(self, who: str, ban_id: str) -> None:
        require(who == self.creator, "NOT_YOUR_BAN")
        self.bans = {target: ban for target, ban in self.bans.items() if ban[0] != ban_id}

    def remind(self, who: str, minute: int | None, now: datetime) -> None:
        self.exist()
        require(self.status in TO_COME, "STREAM_NOT_REMINDABLE")
        due = None
        if minute:
            require(self.planned is not None, "NO_PLANNED_START")
            due = (self.planned or now) - timedelta(minutes=minute)
            require(due > now, "REMINDER_TOO_LATE")
        if who not in self.reminders or self.reminders[who].minute != minute:
            self.reminders[who] = Reminder(minute, due)

    def take_reminders(self, now: datetime) -> set[tuple[str, bool]]:
        """Whom to remind now, and whether the stream has started; nobody twice."""
        started = self.status == "active"
        if self.deleted or not (started or self.status in TO_COME):
            return set()
        ready = {who: each for who, each in self.reminders.items() if started or (each.due and each.due <= now)}
        taken = {who for who, each in ready.items() if each.armed}
        for who in taken:
            self.reminders[who].armed = False
        return {(who, started) for who in taken}

    def will_remind(self, who: str) -> bool:
        return who in self.reminders and self.reminders[who].armed

    # In which lists of a user it is

    def is_in(self, feed: str, who: str, now: datetime) -> bool:
        broadcasts = who in (self.creator, self.guest)
        planned_near = self.planned is not None and abs(self.planned - now) <= NEAR
        return (
            not self.deleted
            and {
                "ListStreamsLiveNow": self.status == "active",
                "GetActiveStream": self.status == "active" and who == self.creator,
                "ListPastStreams": self.status == "ended" and who == self.creator,
                "ListMyBroadcastedStreams": self.status == "ended" and broadcasts,
                "ListMyWatchedStreams": self.status == "ended" and who in self.visits,
                "ListGuestStreams": who == self.guest,
                "ListUpcomingStreams": broadcasts
                and (self.status in ("active", "preparing") or (self.status == "scheduled" and planned_near)),
            }[feed]
        )

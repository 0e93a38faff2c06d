"""All verbs, by several people, in any order: the service on the real store against a model of it."""

import asyncio
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from livestream.v1 import live_stream_pb2 as pb
from livestream.v1 import live_stream_service_pb2 as rpc
from livestream_server.app import open_service
from livestream_server.mongo import client as mongo
from livestream_server.mongo.lease import Lease
from livestream_server.settings import Settings
from livestream_server.streams.deadlines import Limits
from livestream_server.streams.store import Streams
from livestream_server.streams.sweeper import Sweeper
from tests.support.direct import Aborted, call
from tests.support.world import IDS, metadata, person_request, settings_for

PEOPLE = ("ayse", "mehmet", "john")
LIMITS = Limits(
    scheduled=timedelta(minutes=60),
    preparing=timedelta(hours=24),
    active=timedelta(hours=12),
    host_gone=timedelta(minutes=2),
    host_silent=timedelta(minutes=62),
)
OVER = ("ended", "expired", "cancelled_by_host", "cancelled_by_guest")
STEPS = 10_000


@dataclass
class Model:
    """What a stream is, as the rules have it; each verb answers with the reason of its refusal, or nothing."""

    creator: str
    guest: str | None
    status: str
    due: datetime
    others: list["Model"]
    deleted: bool = False
    joined: set[tuple[str, str]] = field(default_factory=set)

    def join(self, who: str, role: str, now: datetime) -> str | None:
        if self.deleted:
            return "STREAM_NOT_FOUND"
        if role != "audience" and who != (self.creator if role == "host" else self.guest):
            return "NOT_THE_CREATOR" if role == "host" else "NOT_A_GUEST"
        if self.status != "active" and (role != "host" or self.status in OVER):
            return "STREAM_NOT_JOINABLE"
        if self.status != "active":
            if any(each.status == "active" and each.creator == who for each in self.others):
                return "CREATOR_ALREADY_LIVE"
            self.status, self.due = "active", now + LIMITS.host_silent
        self.joined.add((who, role))
        return None

    def renew(self, who: str) -> str | None:
        if self.deleted:
            return "STREAM_NOT_FOUND"
        role = {self.creator: "host", self.guest: "guest"}.get(who, "audience")
        if self.status != "active" and (role != "host" or self.status in OVER):
            return "STREAM_NOT_JOINABLE"
        return None if (who, role) in self.joined else "NOT_JOINED"

    def end(self, who: str) -> str | None:
        if self.deleted:
            return "STREAM_NOT_FOUND"
        if who != self.creator:
            return "NOT_THE_CREATOR"
        if self.status not in ("active", "ended"):
            return "STREAM_NOT_ENDABLE"
        self.status = "ended"
        return None

    def cancel(self, who: str) -> str | None:
        if self.deleted:
            return "STREAM_NOT_FOUND"
        if who not in (self.creator, self.guest):
            return "NOT_A_BROADCASTER"
        wanted = "cancelled_by_host" if who == self.creator else "cancelled_by_guest"
        if self.status not in ("preparing", "scheduled", wanted):
            return "STREAM_NOT_CANCELLABLE"
        self.status = wanted
        return None

    def delete(self, who: str) -> str | None:
        if who != self.creator:
            return "STREAM_NOT_FOUND" if self.deleted else "NOT_THE_CREATOR"
        if not self.deleted and self.status == "active":
            return "STREAM_NOT_DELETABLE"
        self.deleted = True
        return None

    def pass_time(self, now: datetime) -> None:
        if not self.deleted and self.status not in OVER and self.due <= now:
            self.status = "ended" if self.status == "active" else "expired"


class System:
    """The service in this process, on an event loop of its own, called without a socket."""

    def __init__(self, settings: Settings) -> None:
        self.runner = asyncio.Runner()
        self.now = datetime.now(UTC).replace(microsecond=0)
        self._opened = open_service(settings, clock=lambda: self.now)
        self._client = mongo.connect(settings.mongo)
        database = mongo.database(self._client, settings.mongo)
        self.streams = Streams(database, LIMITS)
        lease = Lease(database, "machine", timedelta(minutes=1))
        self.sweeper = Sweeper(self.streams, LIMITS, lease, lambda: self.now, every=timedelta(hours=1))
        self._handlers = self.runner.run(self._opened.__aenter__()).handlers
        for name in PEOPLE:
            self.call("PeopleService/PutPerson", "ayse", person_request(IDS[name], name), "people:write")

    def call(self, method: str, who: str, request: Message, scope: str = "") -> Any:
        """The answer, or the reason of the refusal."""
        try:
            return self.runner.run(call(self._handlers, method, request, metadata(who, scope)))
        except Aborted as refused:
            return refused.reason

    def forget(self) -> None:
        """Remove what an earlier run left behind: an active stream of it would be in the way."""
        self.runner.run(self.streams._streams.drop())
        self.runner.run(self.streams.prepare())

    def close(self) -> None:
        self.runner.run(self._opened.__aexit__(None, None, None))
        self.runner.run(self._client.close())
        self.runner.close()


class Life(RuleBasedStateMachine):
    """Steps of people and of time. The creators take turns, so that they meet at the one active stream."""

    system: ClassVar[System]
    made = Bundle("made")
    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.models: dict[str, Model] = {}
        self.system.forget()

    @rule(
        target=made,
        creator=st.sampled_from(PEOPLE[:2]),
        duo=st.booleans(),
        hours=st.sampled_from([None, None, 1, 30]),
    )
    def create(self, creator: str, duo: bool, hours: int | None) -> Any:
        guest = next(each for each in PEOPLE if each != creator) if duo else None
        start = self.system.now + timedelta(hours=hours) if hours else None
        request = rpc.CreateStreamRequest(title="t", guests=[IDS[guest]] if guest else [])
        request.live_stream_type = pb.LIVE_STREAM_TYPE_DUOSELF if guest else pb.LIVE_STREAM_TYPE_SOLO
        if start:
            planned = Timestamp()
            planned.FromDatetime(start)
            request.planned_start_date.CopyFrom(planned)
        stream_id = self.system.call("LiveStreamService/CreateStream", creator, request).live_stream.id
        due = start + LIMITS.scheduled if start else self.system.now + LIMITS.preparing
        status = "scheduled" if start else "preparing"
        self.models[stream_id] = Model(creator, guest, status, due, list(self.models.values()))
        Life.steps += 1
        for each in self.models.values():
            each.others = [other for other in self.models.values() if other is not each]
        return multiple(stream_id)

    def _agree(self, stream_id: str, answer: Any, expected: str | None) -> None:
        Life.steps += 1
        assert (answer if isinstance(answer, str) else None) == expected

    @rule(stream_id=made, who=st.sampled_from(PEOPLE), role=st.sampled_from(["host", "guest", "audience"]))
    def join(self, stream_id: str, who: str, role: str) -> None:
        request = rpc.JoinStreamRequest(live_stream_id=stream_id, role=f"ROLE_{role.upper()}")
        answer = self.system.call("LiveStreamService/JoinStream", who, request)
        model = self.models[stream_id]
        self._agree(stream_id, answer, model.join(who, role, self.system.now))
        if not isinstance(answer, str) and role == "host":
            self._host_seen(model)

    @rule(stream_id=made, who=st.sampled_from(PEOPLE))
    def renew(self, stream_id: str, who: str) -> None:
        answer = self.system.call(
            "LiveStreamService/RenewTokens", who, rpc.RenewTokensRequest(live_stream_id=stream_id)
        )
        model = self.models[stream_id]
        self._agree(stream_id, answer, model.renew(who))
        if not isinstance(answer, str) and who == model.creator:
            self._host_seen(model)

    def _host_seen(self, model: Model) -> None:
        """The store notes a host at most once a minute; time here moves in longer steps, or not at all."""
        model.due = self.system.now + LIMITS.host_silent

    @rule(stream_id=made, who=st.sampled_from(PEOPLE))
    def end(self, stream_id: str, who: str) -> None:
        answer = self.system.call("LiveStreamService/EndStream", who, rpc.EndStreamRequest(live_stream_id=stream_id))
        self._agree(stream_id, answer, self.models[stream_id].end(who))

    @rule(stream_id=made, who=st.sampled_from(PEOPLE))
    def cancel(self, stream_id: str, who: str) -> None:
        request = rpc.CancelStreamRequest(live_stream_id=stream_id)
        answer = self.system.call("LiveStreamService/CancelStream", who, request)
        self._agree(stream_id, answer, self.models[stream_id].cancel(who))

    @rule(stream_id=made, who=st.sampled_from(PEOPLE))
    def delete(self, stream_id: str, who: str) -> None:
        request = rpc.DeleteStreamRequest(live_stream_id=stream_id)
        answer = self.system.call("LiveStreamService/DeleteStream", who, request)
        self._agree(stream_id, answer, self.models[stream_id].delete(who))

    @rule(minutes=st.sampled_from([5, 61, 63, 24 * 60]))
    def time_passes(self, minutes: int) -> None:
        self.system.now += timedelta(minutes=minutes)
        self.system.runner.run(self.system.sweeper.sweep())
        for each in self.models.values():
            each.pass_time(self.system.now)
        Life.steps += 1

    @invariant()
    def a_creator_is_live_once(self) -> None:
        for creator in PEOPLE:
            live = [each for each in self.models.values() if each.creator == creator and each.status == "active"]
            assert len(live) <= 1

    def teardown(self) -> None:
        for stream_id, model in self.models.items():
            stream = self.system.runner.run(self.system.streams.get_even_deleted(stream_id))
            assert (stream.status.value, stream.deleted_at is not None) == (model.status, model.deleted)


@pytest.fixture
def system(mongo_uri: str, media: Path) -> Iterator[System]:
    opened = System(
        settings_for(mongo_uri, f"t_{secrets.token_hex(6)}", media, people_cache_seconds=600.0, sweep_seconds=3600.0)
    )
    yield opened
    opened.runner.run(opened._client.drop_database(opened.streams._streams.database.name))
    opened.close()


def test_no_verb_ever_makes_an_illegal_move(system: System) -> None:
    """10,000 steps by several people and by time: every answer, and every final state, is the model's."""
    Life.system = system
    Life.steps = 0
    while Life.steps < STEPS:
        run_state_machine_as_test(
            Life, settings=settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
        )
    print(f"{Life.steps} steps agreed with the model")

"""All verbs, by several people, in any order: the service on the real store against a model of it."""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
import structlog
from bson import ObjectId
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from livestream.v1 import audience_service_pb2 as audience
from livestream.v1 import feed_service_pb2 as feeds
from livestream.v1 import live_stream_pb2 as pb
from livestream.v1 import live_stream_service_pb2 as rpc
from livestream.v1 import moderation_service_pb2 as moderation
from livestream.v1 import reminder_service_pb2 as reminders
from livestream.v1.access_service_pb2 import GrantAccessRequest
from livestream_server.app import open_service
from livestream_server.mongo import client as mongo
from livestream_server.mongo.lease import Lease
from livestream_server.settings import Settings
from livestream_server.streams.journal import numbered
from livestream_server.streams.store import Streams
from livestream_server.streams.sweeper import Sweeper
from tests.streams.rules import LIMITS, Model, Refusal
from tests.support.direct import Aborted, call
from tests.support.world import IDS, metadata, person_request, settings_for

PEOPLE = ("ayse", "mehmet", "john")
NAMES = {IDS[each]: each for each in PEOPLE}
STEPS = 10_000
FEEDS = (
    "ListStreamsLiveNow",
    "GetMyActiveStream",
    "ListMyPastStreams",
    "ListMyBroadcastedStreams",
    "ListMyWatchedStreams",
    "ListGuestStreams",
    "ListMyUpcomingStreams",
)

someone = st.sampled_from(PEOPLE)
mostly_the_creator = st.sampled_from([None, None, *PEOPLE])  # None: whoever that is
a_role = st.sampled_from([None, None, "host", "guest", "audience", "audience"])  # None: what they are by invitation
some_minutes = st.sampled_from([None, 15, 50, 120])


class System:
    """The service in this process, on an event loop of its own, called without a socket."""

    def __init__(self, settings: Settings) -> None:
        self.runner = asyncio.Runner()
        self.now = datetime.now(UTC).replace(microsecond=0)
        self._opened = open_service(settings, clock=lambda: self.now)
        self._client = mongo.connect(settings.mongo)
        self.database = mongo.database(self._client, settings.mongo)
        streams = Streams(self.database, LIMITS)
        lease = Lease(self.database, "machine", timedelta(minutes=1))
        self._sweeper = Sweeper(streams, LIMITS, lease, lambda: self.now, every=timedelta(hours=1))
        self._handlers = self.runner.run(self._opened.__aenter__()).handlers
        self._tokens = {(who, scope): metadata(who, scope) for who in PEOPLE for scope in SCOPES}
        for name in PEOPLE:
            self.call("PeopleService/PutPerson", "ayse", person_request(IDS[name], name), "people:write")

    def call(self, method: str, who: str, request: Message, scope: str = "") -> Any:
        """The answer, or the refusal."""
        try:
            return self.runner.run(call(self._handlers, method, request, self._tokens[who, scope]))
        except Aborted as refused:
            return refused

    def pass_time(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        self.runner.run(self._sweeper.sweep())

    def stored(self, stream_id: str) -> Any:
        return self.runner.run(self.database["streams"].find_one({"_id": ObjectId(stream_id)}))

    def forget(self) -> None:
        """Remove what an earlier run left behind: an active stream of it would be in the way."""

        async def clear() -> None:
            for each in ("streams", "seats", "bans", "reminders", "reminder_batches", "access_grants"):
                await self.database[each].delete_many({})

        self.runner.run(clear())

    def close(self) -> None:
        self.runner.run(self._opened.__aexit__(None, None, None))
        self.runner.run(self._client.drop_database(self.database.name))
        self.runner.run(self._client.close())
        self.runner.close()


SCOPES = ("", "people:write", "access:write", "streams:moderate", "reminders:read")


class Life(RuleBasedStateMachine):
    """Steps of people and of time. The creators take turns, so that they meet at the one active stream."""

    system: ClassVar[System]
    steps: ClassVar[int] = 0
    made = Bundle("made")
    banned = Bundle("banned")

    def __init__(self) -> None:
        super().__init__()
        self.models: dict[str, Model] = {}
        self.system.forget()

    def _agree(self, method: str, who: str, request: Message, expected: Callable[[], Any], scope: str = "") -> Any:
        """The answer and what the model gives, or None if both refuse, for the same reason."""
        Life.steps += 1
        answer, told, refusal = self.system.call(method, who, request, scope), None, None
        try:
            told = expected()
        except Refusal as refused:
            refusal = refused.args[0]
        assert (answer.reason if isinstance(answer, Aborted) else None) == refusal
        return None if refusal else (answer, told)

    # Life

    @initialize(target=made, duo=st.booleans(), paid=st.booleans(), minute=some_minutes)
    def open_the_evening(self, duo: bool, paid: bool, minute: int | None) -> Any:
        """One stream on air, with somebody watching, and one to come: else few examples would get that far."""
        on_air = self._created("ayse", duo, paid, None)
        self.join(on_air, "ayse", "host")
        self.grant(on_air, "john")
        self.join(on_air, "john", "audience")
        to_come = self._created("mehmet", duo, paid, 1)
        self.remind(to_come, "john", minute)
        return multiple(on_air, to_come)

    @rule(
        target=made,
        creator=st.sampled_from(PEOPLE[:2]),
        duo=st.booleans(),
        paid=st.booleans(),
        start_in=st.sampled_from([None, None, 1, 30]),
    )
    def create(self, creator: str, duo: bool, paid: bool, start_in: int | None) -> Any:
        return multiple(self._created(creator, duo, paid, start_in))

    def _created(self, creator: str, duo: bool, paid: bool, start_in: int | None) -> str:
        """The id of a new stream; `start_in` counts hours."""
        guest = next(each for each in PEOPLE if each != creator) if duo else None
        planned = self.system.now + timedelta(hours=start_in) if start_in else None
        request = rpc.CreateStreamRequest(title="t", guests=[IDS[guest]] if guest else [])
        request.live_stream_type = pb.LIVE_STREAM_TYPE_DUOSELF if guest else pb.LIVE_STREAM_TYPE_SOLO
        if paid:
            request.price.value = "9.99"
        if planned:
            request.planned_start_date.CopyFrom(Timestamp(seconds=int(planned.timestamp())))
        model = Model(creator, guest, self.system.now, planned, paid)
        answer, _ = self._agree("LiveStreamService/CreateStream", creator, request, lambda: None)
        stream_id: str = answer.live_stream.id
        self.models[stream_id] = model
        return stream_id

    @rule(stream_id=made, who=someone, role=a_role)
    def join(self, stream_id: str, who: str, role: str | None) -> None:
        model, others = self.models[stream_id], list(self.models.values())
        role = role or model.role_of(who)
        request = rpc.JoinStreamRequest(live_stream_id=stream_id, role=f"ROLE_{role.upper()}")
        self._agree(
            "LiveStreamService/JoinStream", who, request, lambda: model.join(who, role, self.system.now, others)
        )

    @rule(stream_id=made, who=someone, role=a_role)
    def renew(self, stream_id: str, who: str, role: str | None) -> None:
        request = rpc.RenewTokensRequest(live_stream_id=stream_id, role=f"ROLE_{role.upper()}" if role else None)
        model = self.models[stream_id]
        self._agree("LiveStreamService/RenewTokens", who, request, lambda: model.renew(who, role, self.system.now))

    @rule(stream_id=made, who=someone, role=a_role)
    def leave(self, stream_id: str, who: str, role: str | None) -> None:
        request = rpc.LeaveStreamRequest(live_stream_id=stream_id, role=f"ROLE_{role.upper()}" if role else None)
        model = self.models[stream_id]
        self._agree("LiveStreamService/LeaveStream", who, request, lambda: model.leave(who, role, self.system.now))

    @rule(stream_id=made, who=mostly_the_creator, moderator=st.booleans())
    def end(self, stream_id: str, who: str | None, moderator: bool) -> None:
        request = rpc.EndStreamRequest(live_stream_id=stream_id)
        model = self.models[stream_id]
        person = who or model.creator
        scope = "streams:moderate" if moderator else ""
        self._agree(
            "LiveStreamService/EndStream", person, request, lambda: model.end(person, moderator, self.system.now), scope
        )

    @rule(stream_id=made, who=someone)
    def cancel(self, stream_id: str, who: str) -> None:
        request = rpc.CancelStreamRequest(live_stream_id=stream_id)
        self._agree("LiveStreamService/CancelStream", who, request, lambda: self.models[stream_id].cancel(who))

    @rule(stream_id=made, who=mostly_the_creator)
    def delete(self, stream_id: str, who: str | None) -> None:
        request = rpc.DeleteStreamRequest(live_stream_id=stream_id)
        model = self.models[stream_id]
        person = who or model.creator
        self._agree("LiveStreamService/DeleteStream", person, request, lambda: model.delete(person))

    @rule(stream_id=made, who=someone)
    def grant(self, stream_id: str, who: str) -> None:
        request = GrantAccessRequest(live_stream_id=stream_id, user_id=IDS[who])
        model = self.models[stream_id]
        if self._agree("AccessService/GrantAccess", who, request, model.exist, "access:write"):
            model.granted.add(who)

    @rule(minutes=st.sampled_from([1, 1, 1, 1, 3, 5, 20, 61, 63, 24 * 60]))
    def time_passes(self, minutes: int) -> None:
        Life.steps += 1
        self.system.pass_time(minutes)
        for each in self.models.values():
            each.pass_time(self.system.now)

    # Who watches

    @rule(stream_id=made, who=someone)
    def look_at_the_viewers(self, stream_id: str, who: str) -> None:
        request = audience.ListViewersRequest(live_stream_id=stream_id)
        model = self.models[stream_id]
        if both := self._agree("AudienceService/ListViewers", who, request, lambda: model.viewers(self.system.now)):
            answer, present = both
            assert {NAMES[each.id]: each.joined_at.ToDatetime(UTC) for each in answer.list} == {
                each: model.visits[each][0][0] for each in present
            }
            assert answer.participant_audience_total == answer.pagination.total_items == len(present)

    @rule(stream_id=made, who=someone)
    def read_the_statistics(self, stream_id: str, who: str) -> None:
        request = audience.GetStreamStatisticsRequest(live_stream_id=stream_id)
        model = self.models[stream_id]
        method = "AudienceService/GetStreamStatistics"
        if both := self._agree(method, who, request, lambda: model.statistics(self.system.now)):
            answer, told = both
            assert (answer.total_viewers, answer.total_watch_time_minutes, answer.peak_concurrent_viewers) == told

    # Bans

    @rule(
        target=banned,
        stream_id=made,
        who=mostly_the_creator,
        whom=someone,
        action=st.sampled_from(["BLOCK", "CHAT_ONLY"]),
    )
    def ban(self, stream_id: str, who: str | None, whom: str, action: str) -> Any:
        request = moderation.CreateBanRequest(live_stream_id=stream_id, target_user_id=IDS[whom])
        request.action_type = moderation.BanActionType.Value(f"BAN_ACTION_TYPE_{action}")
        model = self.models[stream_id]
        person = who or model.creator
        both = self._agree("ModerationService/CreateBan", person, request, lambda: model.ban(person, whom))
        if not both:
            return multiple()
        model.bans[whom] = both[0].ban.id, action
        return multiple((stream_id, both[0].ban.id))

    @rule(ban=banned, who=mostly_the_creator)
    def lift(self, ban: tuple[str, str], who: str | None) -> None:
        stream_id, ban_id = ban
        request = moderation.DeleteBanRequest(ban_id=ban_id)
        model = self.models[stream_id]
        person = who or model.creator
        self._agree("ModerationService/DeleteBan", person, request, lambda: model.lift(person, ban_id))

    @rule(stream_id=made, who=mostly_the_creator, whom=someone)
    def check_for_a_ban(self, stream_id: str, who: str | None, whom: str) -> None:
        request = moderation.CheckBanRequest(live_stream_id=stream_id, target_user_id=IDS[whom])
        model = self.models[stream_id]
        person = who or model.creator
        if both := self._agree("ModerationService/CheckBan", person, request, lambda: model.ban_of(person, whom)):
            answer, standing = both
            assert (answer.ban.id or None) == standing
            assert answer.is_banned is (standing is not None)

    @precondition(lambda self: any(each.bans for each in self.models.values()))
    @rule(who=someone)
    def list_the_bans(self, who: str) -> None:
        own = [each for each in self.models.values() if each.creator == who]
        answer, standing = self._agree(
            "ModerationService/ListBans",
            who,
            moderation.ListBansRequest(limit=100),
            lambda: {ban for each in own for ban in each.bans.values()},
        )
        kinds = moderation.BanActionType.Name
        assert {(each.id, kinds(each.action_type).removeprefix("BAN_ACTION_TYPE_")) for each in answer.list} == standing

    # Reminders

    @rule(stream_id=made, who=someone, minute=some_minutes)
    def remind(self, stream_id: str, who: str, minute: int | None) -> None:
        request = reminders.SetReminderRequest(live_stream_id=stream_id, minute=minute)
        model = self.models[stream_id]
        self._agree("ReminderService/SetReminder", who, request, lambda: model.remind(who, minute, self.system.now))

    @precondition(lambda self: any(each.reminders for each in self.models.values()))
    @rule(repeats=st.booleans())
    def take_due_reminders(self, repeats: bool) -> None:
        request = reminders.DueRemindersRequest(request_id=secrets.token_hex(8))
        answer, due = self._agree(
            "ReminderService/DueReminders",
            "ayse",
            request,
            lambda: {
                (key, who, started)
                for key, each in self.models.items()
                for who, started in each.take_reminders(self.system.now)
            },
            "reminders:read",
        )
        taken = [(each.live_stream_id, NAMES[each.user_id], each.started) for each in answer.reminders]
        assert sorted(taken) == sorted(due)
        if repeats:
            assert self.system.call("ReminderService/DueReminders", "ayse", request, "reminders:read") == answer

    # Lists

    @rule(who=someone, name=st.sampled_from(FEEDS))
    def look_at_a_list(self, who: str, name: str) -> None:
        request = getattr(feeds, f"{name}Request")()
        if "limit" in request.DESCRIPTOR.fields_by_name:
            request.limit = 100
        answer, there = self._agree(
            f"FeedService/{name}",
            who,
            request,
            lambda: {key for key, each in self.models.items() if each.is_in(name, who, self.system.now)},
        )
        if name == "ListMyUpcomingStreams":
            bells = {each.live_stream.id: each.is_reminder_active for each in answer.streams}
            assert bells == {key: self.models[key].will_remind(who) for key in there}
        elif name == "GetMyActiveStream":
            assert {answer.live_stream.id} - {""} == there
        else:
            listed = answer.streams if name == "ListMyPastStreams" else answer.page.list
            assert sorted(each.id for each in listed) == sorted(there)

    @invariant()
    def a_creator_is_live_once(self) -> None:
        live = [each.creator for each in self.models.values() if each.status == "active"]
        assert len(live) == len(set(live))

    def teardown(self) -> None:
        """What is stored at the end, and what a watcher was told on the way there, is the model's."""
        for stream_id, model in self.models.items():
            document = self.system.stored(stream_id)
            _, changes = numbered(document)
            told = [each["status"] for _, each in changes if "status" in each]
            assert told == model.history[1:]
            assert (document["status"], document["deleted_at"] is not None) == (model.status, model.deleted)
            assert document["end_reason"] == model.end_reason


@pytest.fixture
def system(mongo_uri: str, media: Path) -> Iterator[System]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # a line per step is no help
    opened = System(
        settings_for(mongo_uri, f"t_{secrets.token_hex(6)}", media, people_cache_seconds=600.0, sweep_seconds=3600.0)
    )
    yield opened
    opened.close()
    structlog.reset_defaults()


def test_no_verb_ever_makes_an_illegal_move(system: System) -> None:
    """10,000 steps by several people and by time: every answer, and every final state, is the model's."""
    Life.system = system
    Life.steps = 0
    while Life.steps < STEPS:
        run_state_machine_as_test(
            Life,
            settings=settings(
                max_examples=25, stateful_step_count=80, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
    print(f"{Life.steps} steps agreed with the model")

"""All verbs, by several users, in any order: the service on the real store against a model of it."""

import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
import structlog
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

from livestream.v1 import live_stream_pb2 as pb
from livestream.v1 import live_stream_service_pb2 as rpc
from livestream.v1 import moderation_service_pb2 as moderation
from livestream.v1 import reminder_service_pb2 as reminders
from livestream.v1.access_service_pb2 import GrantAccessRequest
from tests.streams.onlooking import FEEDS, NAMES, USERS, System, look_around, look_at_list, look_at_stream
from tests.streams.reference_model import Model
from tests.support.environment import IDS, settings_for

STEPS = 10_000

someone = st.sampled_from(USERS)
mostly_the_creator = st.sampled_from([None, None, *USERS])  # None: whoever that is
a_role = st.sampled_from([None, None, "host", "guest", "audience", "audience"])  # None: what they are by invitation
some_minutes = st.sampled_from([None, 15, 50, 120])


class Life(RuleBasedStateMachine):
    """Steps of users and of time. The creators take turns, so that they meet at the one active stream."""

    system: ClassVar[System]
    steps: ClassVar[int] = 0
    embedded: ClassVar[bool]
    """The embedded database never frees a place in a unique index: there, no ban follows a lifted one."""
    made = Bundle("made")
    banned = Bundle("banned")

    def __init__(self) -> None:
        super().__init__()
        self.models: dict[str, Model] = {}
        self.banned_once: set[tuple[str, str]] = set()
        self.system.forget()

    def _agree(self, method: str, who: str, request: Message, expected: Callable[[], Any], scope: str = "") -> Any:
        """The answer and what the model gives, or None if both refuse, for the same reason."""
        Life.steps += 1
        return self.system.agree(method, who, request, expected, scope)

    # Life

    @initialize(target=made, duo=st.booleans(), paid=st.booleans(), minute=some_minutes)
    def begin(self, duo: bool, paid: bool, minute: int | None) -> Any:
        """One stream on air, with somebody watching, and one to come: else few examples would get that far."""
        on_air = self._create("ayse", duo, paid, None)
        self.join(on_air, "ayse", "host")
        self.grant(on_air, "john")
        self.join(on_air, "john", "audience")
        to_come = self._create("mehmet", duo, paid, 1)
        self.remind(to_come, "john", minute)
        return multiple(on_air, to_come)

    @rule(
        target=made,
        creator=st.sampled_from(USERS[:2]),
        duo=st.booleans(),
        paid=st.booleans(),
        start_in=st.sampled_from([None, None, 1, 30]),
    )
    def create(self, creator: str, duo: bool, paid: bool, start_in: int | None) -> Any:
        return multiple(self._create(creator, duo, paid, start_in))

    def _create(self, creator: str, duo: bool, paid: bool, start_in: int | None) -> str:
        """The id of a new stream; `start_in` counts hours."""
        guest = next(each for each in USERS if each != creator) if duo else None
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

    @rule(stream_id=made, who=mostly_the_creator, role=a_role)
    def leave(self, stream_id: str, who: str | None, role: str | None) -> None:
        request = rpc.LeaveStreamRequest(live_stream_id=stream_id, role=f"ROLE_{role.upper()}" if role else None)
        model = self.models[stream_id]
        user = who or model.creator
        self._agree("LiveStreamService/LeaveStream", user, request, lambda: model.leave(user, role, self.system.now))

    @rule(stream_id=made, who=mostly_the_creator, moderator=st.booleans())
    def end(self, stream_id: str, who: str | None, moderator: bool) -> None:
        request = rpc.EndStreamRequest(live_stream_id=stream_id)
        model = self.models[stream_id]
        user = who or model.creator
        scope = "streams:moderate" if moderator else ""
        self._agree(
            "LiveStreamService/EndStream", user, request, lambda: model.end(user, moderator, self.system.now), scope
        )

    @rule(stream_id=made, who=someone)
    def cancel(self, stream_id: str, who: str) -> None:
        request = rpc.CancelStreamRequest(live_stream_id=stream_id)
        self._agree("LiveStreamService/CancelStream", who, request, lambda: self.models[stream_id].cancel(who))

    @rule(stream_id=made, who=mostly_the_creator)
    def delete(self, stream_id: str, who: str | None) -> None:
        request = rpc.DeleteStreamRequest(live_stream_id=stream_id)
        model = self.models[stream_id]
        user = who or model.creator
        self._agree("LiveStreamService/DeleteStream", user, request, lambda: model.delete(user))

    @rule(stream_id=made, who=someone)
    def grant(self, stream_id: str, who: str) -> None:
        request = GrantAccessRequest(live_stream_id=stream_id, user_id=IDS[who])
        model = self.models[stream_id]
        if self._agree("AccessService/GrantAccess", who, request, model.exist, "access:write"):
            model.granted.add(who)

    @rule(minutes=st.sampled_from([1, 1, 1, 1, 3, 3, 5, 20, 61, 63, 24 * 60]))
    def time_passes(self, minutes: int) -> None:
        Life.steps += 1
        self.system.pass_time(minutes)
        for each in self.models.values():
            each.pass_time(self.system.now)

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
        if self.embedded and (stream_id, whom) in self.banned_once and whom not in model.bans:
            return multiple()
        user = who or model.creator
        both = self._agree("ModerationService/CreateBan", user, request, lambda: model.ban(user, whom))
        if not both:
            return multiple()
        self.banned_once.add((stream_id, whom))
        model.bans[whom], model.banned_at[whom] = (both[0].ban.id, action), self.system.now
        return multiple((stream_id, both[0].ban.id))

    @rule(ban=banned, who=mostly_the_creator)
    def lift(self, ban: tuple[str, str], who: str | None) -> None:
        stream_id, ban_id = ban
        request = moderation.DeleteBanRequest(ban_id=ban_id)
        model = self.models[stream_id]
        user = who or model.creator
        self._agree("ModerationService/DeleteBan", user, request, lambda: model.lift(user, ban_id))

    # Reminders

    @rule(stream_id=made, who=someone, minute=some_minutes)
    def remind(self, stream_id: str, who: str, minute: int | None) -> None:
        request = reminders.SetReminderRequest(live_stream_id=stream_id, minute=minute)
        model = self.models[stream_id]
        self._agree("ReminderService/SetReminder", who, request, lambda: model.remind(who, minute, self.system.now))

    @precondition(lambda self: any(each.reminders for each in self.models.values()))
    @rule(repeats=st.booleans())
    def take_due_reminders(self, repeats: bool) -> None:
        request = reminders.ClaimDueRemindersRequest(request_id=secrets.token_hex(8))
        answer, due = self._agree(
            "ReminderService/ClaimDueReminders",
            "ayse",
            request,
            lambda: {
                (key, who, started)
                for key, each in self.models.items()
                for who, started in each.take_reminders(self.system.now)
            },
            "reminders:claim",
        )
        taken = [(each.live_stream_id, NAMES[each.user_id], each.started) for each in answer.reminders]
        assert sorted(taken) == sorted(due)
        if repeats:
            assert self.system.call("ReminderService/ClaimDueReminders", "ayse", request, "reminders:claim") == answer

    # What users see: all of it at the end of each example, and some of it on the way there

    @rule(stream_id=made, who=someone, name=st.sampled_from(FEEDS))
    def look(self, stream_id: str, who: str, name: str) -> None:
        look_at_stream(self.system, stream_id, self.models[stream_id], who)
        look_at_list(self.system, self.models, who, name)

    @invariant()
    def a_creator_is_live_once(self) -> None:
        live = [each.creator for each in self.models.values() if each.status == "active"]
        assert len(live) == len(set(live))

    def teardown(self) -> None:
        look_around(self.system, self.models)


@pytest.fixture
def system(mongo_uri: str, media: Path) -> Iterator[System]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # a line per step is no help
    opened = System(
        settings_for(mongo_uri, f"t_{secrets.token_hex(6)}", media, user_cache_seconds=600.0, sweep_seconds=3600.0)
    )
    yield opened
    opened.close()
    structlog.reset_defaults()


def test_no_verb_ever_makes_an_illegal_move(system: System, mongo_facts: dict[str, Any]) -> None:
    """10,000 steps by several users and by time: every answer, and every final state, is the model's."""
    Life.system, Life.embedded = system, mongo_facts["embedded"]
    Life.steps = 0
    while Life.steps < STEPS:
        run_state_machine_as_test(
            Life,
            settings=settings(
                max_examples=10, stateful_step_count=80, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
    print(f"{Life.steps} steps agreed with the model")

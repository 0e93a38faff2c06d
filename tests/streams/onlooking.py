"""The service in this process, for a machine that takes thousands of steps, and what users can see of it."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bson import ObjectId
from google.protobuf.message import Message

from livestream.v1 import audience_service_pb2 as audience
from livestream.v1 import feed_service_pb2 as feeds
from livestream.v1 import moderation_service_pb2 as moderation
from livestream_server.app import open_service
from livestream_server.mongo import client as mongo
from livestream_server.mongo.lease import Lease
from livestream_server.settings import Settings
from livestream_server.streams.expiry import Sweeper
from livestream_server.streams.journal import number_changes
from livestream_server.streams.store import Streams
from tests.streams.reference_model import LIMITS, Model, Refusal
from tests.support.direct import Aborted, call
from tests.support.environment import IDS, metadata, user_request

USERS = ("ayse", "mehmet", "john")
NAMES = {IDS[each]: each for each in USERS}
SCOPES = ("", "users:write", "access:write", "streams:moderate", "reminders:claim")
FEEDS = (
    "ListStreamsLiveNow",
    "GetActiveStream",
    "ListPastStreams",
    "ListMyBroadcastedStreams",
    "ListMyWatchedStreams",
    "ListGuestStreams",
    "ListUpcomingStreams",
)

Models = Mapping[str, Model]


class System:
    """The service on an event loop of its own, called without a socket; its clock stands until time passes."""

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
        self._tokens = {(who, scope): metadata(who, scope) for who in USERS for scope in SCOPES}
        for name in USERS:
            self.call("UserService/PutUser", "ayse", user_request(IDS[name], name), "users:write")

    def call(self, method: str, who: str, request: Message, scope: str = "") -> Any:
        """The answer, or the refusal."""
        try:
            return self.runner.run(call(self._handlers, method, request, self._tokens[who, scope]))
        except Aborted as refused:
            return refused

    def pass_time(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        self.runner.run(self._sweeper.sweep())

    def agree(self, method: str, who: str, request: Message, expected: Callable[[], Any], scope: str = "") -> Any:
        """The answer and what the model gives, or None if both refuse, for the same reason."""
        answer, told, refusal = self.call(method, who, request, scope), None, None
        try:
            told = expected()
        except Refusal as refused:
            refusal = refused.args[0]
        assert (answer.reason if isinstance(answer, Aborted) else None) == refusal
        return None if refusal else (answer, told)

    def read(self, stream_id: str) -> Any:
        return self.runner.run(self.database["streams"].find_one({"_id": ObjectId(stream_id)}))

    def forget(self) -> None:
        """Remove what an earlier run left behind: an active stream of it would be in the way."""

        async def clear() -> None:
            for each in ("streams", "on_air", "participants", "bans", "reminders", "reminder_batches", "access_grants"):
                await self.database[each].delete_many({})

        self.runner.run(clear())

    def close(self) -> None:
        self.runner.run(self._opened.__aexit__(None, None, None))
        self.runner.run(self._client.drop_database(self.database.name))
        self.runner.run(self._client.close())
        self.runner.close()


def look_at_stream(system: System, stream_id: str, model: Model, who: str) -> None:
    """Who watches, how it was watched, and whether `who` is banned."""
    request = audience.ListViewersRequest(live_stream_id=stream_id)
    if both := system.agree("AudienceService/ListViewers", who, request, lambda: model.viewers(who, system.now)):
        answer, present = both[0].page, both[1]
        assert {NAMES[each.id]: each.joined_at.ToDatetime(UTC) for each in answer.list} == {
            each: model.visits[each][0][0] for each in present
        }
        assert answer.participant_audience_total == answer.pagination.total_items == len(present)

    about = audience.GetStreamStatisticsRequest(live_stream_id=stream_id)
    if both := system.agree(
        "AudienceService/GetStreamStatistics", who, about, lambda: model.statistics(who, system.now)
    ):
        answer, told = both
        assert (answer.total_viewers, answer.total_watch_time_minutes, answer.peak_concurrent_viewers) == told

    for whom in USERS:
        look_for_ban(system, stream_id, model, who, whom)


def look_for_ban(system: System, stream_id: str, model: Model, who: str, whom: str) -> None:
    request = moderation.CheckBanRequest(live_stream_id=stream_id, target_user_id=IDS[whom])
    if both := system.agree("ModerationService/CheckBan", who, request, lambda: model.ban_of(who, whom)):
        answer, standing = both
        assert (answer.ban.id or None) == standing
        assert answer.is_banned is (standing is not None)
        assert answer.ban.HasField("created_by") is (standing is not None and who != whom)


def look_at_bans(system: System, models: Models, who: str) -> None:
    own = [each for each in models.values() if each.creator == who]
    answer, standing = system.agree(
        "ModerationService/ListBans",
        who,
        moderation.ListBansRequest(limit=100),
        lambda: {ban for each in own for ban in each.bans.values()},
    )
    kinds = moderation.BanActionType.Name
    found = {(each.id, kinds(each.action_type).removeprefix("BAN_ACTION_TYPE_")) for each in answer.page.list}
    assert found == standing


def look_at_list(system: System, models: Models, who: str, name: str) -> None:
    request = getattr(feeds, f"{name}Request")()
    if "limit" in request.DESCRIPTOR.fields_by_name:
        request.limit = 100
    answer, there = system.agree(
        f"FeedService/{name}",
        who,
        request,
        lambda: {key for key, each in models.items() if each.is_in(name, who, system.now)},
    )
    if name == "ListUpcomingStreams":
        armed = {each.live_stream.id: each.is_reminder_active for each in answer.streams}
        assert armed == {key: models[key].will_remind(who) for key in there}
    elif name == "GetActiveStream":
        assert {answer.live_stream.id} - {""} == there
    else:
        listed = answer.streams if name == "ListPastStreams" else answer.page.list
        assert sorted(each.id for each in listed) == sorted(there)


def look_around(system: System, models: Models) -> None:
    """Everything that anybody can see, and what watchers were told on the way there, is the model's."""
    for who in USERS:
        look_at_bans(system, models, who)
        for name in FEEDS:
            look_at_list(system, models, who, name)
    for stream_id, model in models.items():
        look_at_stream(system, stream_id, model, model.creator)
        document = system.read(stream_id)
        _, changes = number_changes(document)
        assert [each["status"] for _, each in changes if "status" in each] == model.history[1:]
        assert (document["status"], document["deleted_at"] is not None) == (model.status, model.deleted)
        assert document["end_reason"] == model.end_reason

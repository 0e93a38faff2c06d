"""Watching through a real channel, on the real store."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.type.decimal_pb2 import Decimal
from prometheus_client import REGISTRY
from pydantic import SecretStr
from structlog.testing import capture_logs

from livestream.v1.access_service_pb2 import GrantAccessRequest
from livestream.v1.audience_service_pb2 import ListViewersRequest
from livestream.v1.audience_service_pb2_grpc import AudienceServiceStub
from livestream.v1.live_stream_pb2 import (
    END_REASON_HOST,
    LIVE_STREAM_STATUS_ACTIVE,
    LIVE_STREAM_STATUS_CANCELLED_BY_HOST,
    LIVE_STREAM_STATUS_ENDED,
    LIVE_STREAM_STATUS_PREPARING,
    LIVE_STREAM_TYPE_DUOSELF,
    ROLE_AUDIENCE,
    ROLE_HOST,
    LiveStream,
    Role,
)
from livestream.v1.live_stream_service_pb2 import (
    CancelStreamRequest,
    CreateStreamRequest,
    DeleteStreamRequest,
    EndStreamRequest,
    GetStreamRequest,
    JoinStreamRequest,
    LeaveStreamRequest,
)
from livestream.v1.moderation_service_pb2 import (
    BAN_ACTION_TYPE_CHAT_ONLY,
    BAN_ACTION_TYPE_UNSPECIFIED,
    CreateBanRequest,
    DeleteBanRequest,
)
from livestream.v1.moderation_service_pb2_grpc import ModerationServiceStub
from livestream.v1.watch_service_pb2 import WatchStreamRequest, WatchStreamResponse
from livestream.v1.watch_service_pb2_grpc import WatchServiceStub
from livestream_server.auth.minting import mint
from livestream_server.mongo import client as mongo
from livestream_server.settings import JwtSettings, MongoSettings
from livestream_server.streams.model import Stream
from livestream_server.streams.store import Streams
from tests.promises.calls import until
from tests.streams.test_life import LIMITS
from tests.support.environment import (
    AUDIENCE,
    IDS,
    ISSUER,
    JWT_SECRET,
    ServiceEnvironment,
    metadata,
    open_environment,
    put_user,
    settings_for,
)
from tests.support.failures import Failure, failure

WATCH = {"grpc_type": "server_stream", "grpc_service": "livestream.v1.WatchService", "grpc_method": "WatchStream"}


@pytest.fixture(scope="module")
def another(
    mongo_uri: str, database_name: str, media: Path, engine: str
) -> Callable[..., AbstractAsyncContextManager[ServiceEnvironment]]:
    """Opens a further service on the same database, with other settings."""
    return lambda **changes: open_environment(settings_for(mongo_uri, database_name, media, engine=engine, **changes))


@pytest.fixture
async def streams(mongo_uri: str, database_name: str) -> AsyncIterator[Streams]:
    settings = MongoSettings(uri=SecretStr(mongo_uri), database=database_name)
    async with mongo.connect(settings) as client:
        yield Streams(mongo.database(client, settings), LIMITS)


@pytest.fixture
async def creator(env: ServiceEnvironment) -> str:
    user_id = secrets.token_hex(12)
    await put_user(env.users, user_id, f"creator-{user_id[:6]}")
    return user_id


@pytest.fixture
async def stream(env: ServiceEnvironment, creator: str) -> LiveStream:
    request = CreateStreamRequest(title="t")
    return (await env.streams.CreateStream(request, metadata=metadata(creator))).live_stream


async def join(env: ServiceEnvironment, who: str, stream: LiveStream, role: Role.ValueType) -> None:
    await env.streams.JoinStream(JoinStreamRequest(live_stream_id=stream.id, role=role), metadata=metadata(who))


async def end(env: ServiceEnvironment, who: str, stream: LiveStream) -> None:
    await env.streams.EndStream(EndStreamRequest(live_stream_id=stream.id), metadata=metadata(who))


class Watch:
    """A call whose answers are read one by one, with a limit for the patience."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self._answers = aiter(call)

    async def next(self) -> WatchStreamResponse:
        async with asyncio.timeout(10):
            answer: WatchStreamResponse = await anext(self._answers)
        return answer

    async def next_change(self) -> WatchStreamResponse:
        while (answer := await self.next()).WhichOneof("event") not in ("state", "broadcaster", "deletion"):
            pass
        return answer

    async def rest(self) -> tuple[list[WatchStreamResponse], grpc.StatusCode]:
        """What comes until the end, and how that is."""
        answers = []
        async with asyncio.timeout(20):
            with contextlib.suppress(grpc.aio.AioRpcError):
                async for each in self._answers:
                    answers.append(each)  # noqa: PERF401 - kept when it fails
            return answers, await self.call.code()

    async def failure(self) -> Failure:
        """How it fails, whatever comes before that."""

        async def read() -> None:
            async for _ in self._answers:
                pass

        async with asyncio.timeout(20):
            return await failure(read())


OVER: tuple[list[WatchStreamResponse], grpc.StatusCode] = ([], grpc.StatusCode.OK)


def watch(env: ServiceEnvironment, who: str, stream: LiveStream, after: int | None = None, **options: Any) -> Watch:
    options.setdefault("metadata", metadata(who))
    request = WatchStreamRequest(live_stream_id=stream.id, resume_after=after)
    return Watch(WatchServiceStub(env.channel).WatchStream(request, **options))


async def test_a_watcher_sees_a_life_from_the_announcement_to_the_end(
    env: ServiceEnvironment, creator: str, stream: LiveStream
) -> None:
    """What the whole package is for: no polling, no webhook, and then it ends by itself."""
    seen = watch(env, "john", stream)
    first = await seen.next()
    got = await env.streams.GetStream(GetStreamRequest(live_stream_id=stream.id), metadata=metadata("john"))
    assert (first.revision, first.snapshot.live_stream) == (0, got.live_stream)
    assert first.snapshot.live_stream.status == LIVE_STREAM_STATUS_PREPARING

    await join(env, creator, stream, ROLE_HOST)
    started, entered = await seen.next(), await seen.next()
    assert (started.revision, started.state.status) == (1, LIVE_STREAM_STATUS_ACTIVE)
    assert (entered.revision, entered.broadcaster.user) == (2, creator)
    assert (entered.broadcaster.role, entered.broadcaster.has_joined) == (ROLE_HOST, True)

    await join(env, "jane", stream, ROLE_AUDIENCE)
    counted = await seen.next()
    assert (counted.revision, counted.viewers.viewer_count) == (2, 1)
    leaving = LeaveStreamRequest(live_stream_id=stream.id, role=ROLE_AUDIENCE)
    await env.streams.LeaveStream(leaving, metadata=metadata("jane"))
    assert (await seen.next()).viewers.viewer_count == 0

    await end(env, creator, stream)
    ended = await seen.next()
    assert (ended.revision, ended.state.status, ended.state.end_reason) == (
        3,
        LIVE_STREAM_STATUS_ENDED,
        END_REASON_HOST,
    )
    assert await seen.rest() == OVER


async def test_after_a_change_a_new_snapshot_is_what_the_changes_said(
    env: ServiceEnvironment, creator: str, stream: LiveStream
) -> None:
    """Whoever resumes and whoever begins anew must see the same stream."""
    await join(env, creator, stream, ROLE_HOST)
    snapshot = (await watch(env, "john", stream).next()).snapshot.live_stream
    seen = watch(env, "john", stream, after=0)
    started, entered = await seen.next(), await seen.next()
    assert started.state.status == snapshot.status
    assert started.state.changed_at == snapshot.started_at
    assert entered.broadcaster.uid == snapshot.broadcasters[0].uid
    assert entered.broadcaster.has_joined == snapshot.broadcasters[0].has_joined


async def test_a_stream_that_is_over_is_told_and_ends(
    env: ServiceEnvironment, creator: str, stream: LiveStream
) -> None:
    """To whoever comes late: the last state; to whoever has seen the end: nothing more, and no error."""
    request = CancelStreamRequest(live_stream_id=stream.id)
    await env.streams.CancelStream(request, metadata=metadata(creator))
    late = watch(env, "john", stream)
    assert (await late.next()).snapshot.live_stream.status == LIVE_STREAM_STATUS_CANCELLED_BY_HOST
    assert await late.rest() == OVER
    assert await watch(env, "john", stream, after=1).rest() == OVER


async def test_a_deletion_ends_watching(env: ServiceEnvironment, creator: str, stream: LiveStream) -> None:
    """A deleted stream is absent from every answer afterwards."""
    seen = watch(env, "john", stream)
    await seen.next()
    request = DeleteStreamRequest(live_stream_id=stream.id)
    await env.streams.DeleteStream(request, metadata=metadata(creator))
    told = await seen.next_change()
    assert told.deletion.HasField("deleted_at")
    assert await seen.rest() == OVER
    for after in (None, 0, told.revision):
        refused = await watch(env, "john", stream, after).failure()
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "STREAM_NOT_FOUND")


async def test_watching_takes_what_reading_takes(env: ServiceEnvironment, stream: LiveStream) -> None:
    """Nobody may see by watching what they may not see by asking."""
    nobody = await watch(env, "", stream, metadata=()).failure()
    stranger = await watch(env, "f" * 24, stream).failure()
    unknown = await watch(env, "john", LiveStream(id="0" * 24)).failure()
    malformed = await watch(env, "john", LiveStream(id="x")).failure()
    assert [each.code.name for each in (nobody, stranger, unknown, malformed)] == [
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
        "NOT_FOUND",
        "INVALID_ARGUMENT",
    ]
    assert stranger.reason == "REGISTRATION_INCOMPLETE"
    resumed = await watch(env, "f" * 24, stream, after=0).failure()
    assert resumed.reason == "REGISTRATION_INCOMPLETE"


async def test_a_break_is_resumed_at_another_process_without_gap_or_repeat(
    env: ServiceEnvironment, another: Any, streams: Streams, creator: str, stream: LiveStream
) -> None:
    """A revision means the same everywhere, for it stands in the stream's own document."""
    await join(env, creator, stream, ROLE_HOST)
    async with another() as other:
        envs = [env, other]
        seen: list[int] = []
        for turn in range(4):
            watching = watch(envs[turn % 2], "john", stream, after=seen[-1] if seen else 0)
            while len(seen) < 10 * (turn + 1):
                if len(seen) % 5 == 2:
                    await changed(streams, stream, 5)
                seen.append((await watching.next_change()).revision)
            watching.call.cancel()
            await changed(streams, stream, 2)
    assert seen == list(range(1, 41))


async def changed(streams: Streams, stream: LiveStream, times: int) -> Stream:
    """Change the stream, as a host who enters again and again would."""
    found = await streams.get(stream.id)
    for _ in range(times):
        assert await streams.enter(found, found.creator, 7, found.updated_at)
    return found


@pytest.mark.parametrize("after", [1, 1_000_000])
async def test_a_revision_that_leads_nowhere_begins_with_a_snapshot(
    env: ServiceEnvironment, streams: Streams, creator: str, stream: LiveStream, after: int
) -> None:
    """Too old to be kept, or from another time: a fresh image, not an error that no waiting mends."""
    await join(env, creator, stream, ROLE_HOST)
    await changed(streams, stream, 300)
    first = await watch(env, "john", stream, after).next()
    assert (first.WhichOneof("event"), first.revision) == ("snapshot", 302)


async def test_the_log_in_a_document_is_bounded_and_stays_out_of_other_reads(
    env: ServiceEnvironment, streams: Streams, creator: str, stream: LiveStream
) -> None:
    """It must not make every join read more and more."""
    await join(env, creator, stream, ROLE_HOST)
    await changed(streams, stream, 300)
    _, document = await streams.get_with_changes(stream.id)
    assert (len(document["changes"]), document["revision"]) == (256, 302)


async def test_a_refused_change_is_no_change(
    env: ServiceEnvironment, streams: Streams, creator: str, stream: LiveStream
) -> None:
    """A revision for something that did not happen would be a gap in the image."""
    await join(env, creator, stream, ROLE_HOST)
    found = await streams.get(stream.id)
    assert await streams.start(found, 7, found.updated_at) is None
    _, document = await streams.get_with_changes(stream.id)
    assert document["revision"] == 2


async def test_what_agora_tells_of_a_broadcaster_is_told(
    env: ServiceEnvironment, streams: Streams, creator: str, stream: LiveStream
) -> None:
    """A guest whose app entered is on the stage, whoever it was that told us."""
    await join(env, creator, stream, ROLE_HOST)
    found = await streams.get(stream.id)
    assert found.started_at
    earlier = found.started_at - timedelta(seconds=1)
    await streams.record_entered(stream.id, creator, earlier)
    await streams.record_entered(stream.id, creator, found.started_at)  # later than what is known: no news
    seen = watch(env, "john", stream, after=2)
    told = await seen.next()
    assert (told.revision, told.broadcaster.user) == (3, creator)
    assert (await seen.next()).WhichOneof("event") == "viewers"


async def test_racing_changes_are_in_one_order_without_holes(
    env: ServiceEnvironment, streams: Streams, creator: str, stream: LiveStream
) -> None:
    """Every watcher, at every process, sees the very same order."""
    await join(env, creator, stream, ROLE_HOST)
    watchers = [watch(env, each, stream, after=0) for each in ("john", "jane", "mehmet")]
    await asyncio.gather(*(changed(streams, stream, 10) for _ in range(8)))
    told = [[await each.next_change() for _ in range(82)] for each in watchers]
    assert told[0] == told[1] == told[2]
    assert [each.revision for each in told[0]] == list(range(1, 83))


async def test_a_ban_is_told_to_the_banned_and_to_nobody_else(
    env: ServiceEnvironment, creator: str, stream: LiveStream
) -> None:
    """The app must close the chat at once, and open it again."""
    jane, john = watch(env, "jane", stream), watch(env, "john", stream)
    await jane.next()
    await john.next()
    moderation = ModerationServiceStub(env.channel)
    wanted = CreateBanRequest(
        live_stream_id=stream.id, target_user_id=IDS["jane"], action_type=BAN_ACTION_TYPE_CHAT_ONLY
    )
    made = await moderation.CreateBan(wanted, metadata=metadata(creator))
    assert (await jane.next()).ban.ban == BAN_ACTION_TYPE_CHAT_ONLY
    assert (await watch(env, "jane", stream).next()).snapshot.ban == BAN_ACTION_TYPE_CHAT_ONLY
    await moderation.DeleteBan(DeleteBanRequest(ban_id=made.ban.id), metadata=metadata(creator))
    assert (await jane.next()).ban.ban == BAN_ACTION_TYPE_UNSPECIFIED
    request = DeleteStreamRequest(live_stream_id=stream.id)
    await env.streams.DeleteStream(request, metadata=metadata(creator))
    assert (await john.next()).WhichOneof("event") == "deletion"


async def test_a_ban_ends_the_watching_of_the_banned(
    env: ServiceEnvironment, another: Any, creator: str, stream: LiveStream
) -> None:
    """Whoever was thrown out must not look on through the keyhole, at whichever process; and nobody else is bothered."""
    await join(env, creator, stream, ROLE_HOST)
    moderation = ModerationServiceStub(env.channel)
    async with another() as other:
        watches = [watch(each, "jane", stream) for each in (env, other)]
        john = watch(env, "john", stream)
        for each in (*watches, john):
            await each.next()
        request = CreateBanRequest(live_stream_id=stream.id, target_user_id=IDS["jane"])
        made = await moderation.CreateBan(request, metadata=metadata(creator))
        since = time.monotonic()
        for each in watches:
            refused = await each.failure()
            assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "BANNED")
        print(f"both watches of the banned had ended {time.monotonic() - since:.2f} s after the ban")
        for after in (None, 0, 2):
            assert (await watch(other, "jane", stream, after).failure()).reason == "BANNED"
        await moderation.DeleteBan(DeleteBanRequest(ban_id=made.ban.id), metadata=metadata(creator))
        assert (await watch(env, "jane", stream).next()).HasField("snapshot")
        await end(env, creator, stream)
        assert (await john.next_change()).state.status == LIVE_STREAM_STATUS_ENDED


async def test_no_creator_can_ban_moderators_out_of_sight(
    env: ServiceEnvironment, creator: str, stream: LiveStream
) -> None:
    """Else a creator who does harm would ban them first."""
    await join(env, creator, stream, ROLE_HOST)
    moderator = metadata("jane", "streams:moderate")
    seen = watch(env, "jane", stream, metadata=moderator)
    await seen.next()
    request = CreateBanRequest(live_stream_id=stream.id, target_user_id=IDS["jane"])
    await ModerationServiceStub(env.channel).CreateBan(request, metadata=metadata(creator))
    assert (await seen.next()).HasField("ban")
    audience = AudienceServiceStub(env.channel)
    await audience.ListViewers(ListViewersRequest(live_stream_id=stream.id), metadata=moderator)
    await env.streams.EndStream(EndStreamRequest(live_stream_id=stream.id), metadata=moderator)
    assert (await seen.next_change()).state.status == LIVE_STREAM_STATUS_ENDED


async def test_moderators_need_not_be_users(env: ServiceEnvironment, creator: str, stream: LiveStream) -> None:
    """A service may moderate, too; for all other things it registers like anybody."""
    await join(env, creator, stream, ROLE_HOST)
    service = metadata("f" * 24, "streams:moderate")
    await AudienceServiceStub(env.channel).ListViewers(ListViewersRequest(live_stream_id=stream.id), metadata=service)
    await env.streams.EndStream(EndStreamRequest(live_stream_id=stream.id), metadata=service)
    request = GetStreamRequest(live_stream_id=stream.id)
    refused = await failure(env.streams.GetStream(request, metadata=service))
    assert refused.reason == "REGISTRATION_INCOMPLETE"


async def test_a_count_goes_down_by_the_banned(env: ServiceEnvironment, creator: str, stream: LiveStream) -> None:
    """They are no viewers from the ban on, though Agora may still see them."""
    await join(env, creator, stream, ROLE_HOST)
    for each in ("jane", "mehmet"):
        await join(env, each, stream, ROLE_AUDIENCE)
    seen = watch(env, "john", stream)
    assert (await seen.next()).snapshot.viewer_count == 2
    moderation = ModerationServiceStub(env.channel)
    request = CreateBanRequest(live_stream_id=stream.id, target_user_id=IDS["jane"])
    made = await moderation.CreateBan(request, metadata=metadata(creator))
    assert (await seen.next()).viewers.viewer_count == 1
    await moderation.DeleteBan(DeleteBanRequest(ban_id=made.ban.id), metadata=metadata(creator))
    assert (await seen.next()).viewers.viewer_count == 2
    await end(env, creator, stream)


async def test_how_many_paid_is_for_those_whom_it_concerns(env: ServiceEnvironment, creator: str) -> None:
    """Without a ticket one follows the stream, and is not told how it sells."""
    request = CreateStreamRequest(
        title="t", guests=[IDS["mehmet"]], live_stream_type=LIVE_STREAM_TYPE_DUOSELF, price=Decimal(value="9.99")
    )
    stream = (await env.streams.CreateStream(request, metadata=metadata(creator))).live_stream
    grant = GrantAccessRequest(live_stream_id=stream.id, user_id=IDS["jane"])
    await env.access.GrantAccess(grant, metadata=metadata(creator, "access:write"))
    told = [watch(env, each, stream) for each in (creator, "mehmet", "jane")]
    told.append(watch(env, "zeynep", stream, metadata=metadata("zeynep", "streams:moderate")))
    outside = watch(env, "john", stream)
    assert not (await outside.next()).snapshot.HasField("viewer_count")
    for each in told:
        assert (await each.next()).snapshot.HasField("viewer_count")
    await join(env, creator, stream, ROLE_HOST)
    await join(env, "jane", stream, ROLE_AUDIENCE)
    for each in told:
        while (answer := await each.next()).WhichOneof("event") != "viewers":
            pass
        assert answer.viewers.viewer_count == 1
    await end(env, creator, stream)
    rest, code = await outside.rest()
    assert (code, [each.WhichOneof("event") for each in rest]) == (
        grpc.StatusCode.OK,
        ["state", "broadcaster", "state"],
    )


async def test_a_watcher_hears_heartbeats(another: Any, stream: LiveStream) -> None:
    """Else nobody could tell silence from a connection that is gone."""
    async with another(heartbeat_seconds=0.05) as env:
        seen = watch(env, "john", stream)
        await seen.next()
        assert [each.WhichOneof("event") for each in [await seen.next(), await seen.next()]] == [None, None]


async def test_watching_ends_with_the_token(another: Any, stream: LiveStream) -> None:
    """A token that was withdrawn or has run out must not see for another hour what happens."""
    impatient = JwtSettings(secret=SecretStr(JWT_SECRET), issuer=ISSUER, audience=AUDIENCE, leeway_seconds=0)
    async with another(jwt=impatient) as env:
        token = mint(JWT_SECRET, IDS["john"], issuer=ISSUER, audience=AUDIENCE, life_seconds=3, now=time.time() - 2)
        seen = watch(env, "john", stream, metadata=(("authorization", f"Bearer {token}"),))
        await seen.next()
        refused = await seen.failure()
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")


async def test_watching_ends_with_the_callers_deadline(env: ServiceEnvironment, stream: LiveStream) -> None:
    """Whoever asks for a minute must not be kept for an hour."""
    _, code = await watch(env, "john", stream, timeout=0.3).rest()
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_watchers_have_a_limit_of_their_own(another: Any, stream: LiveStream) -> None:
    """However many watch, calls are answered; and one too many is told so at once."""
    async with another(max_watchers=2, max_in_flight=1) as env:
        seen = [watch(env, each, stream) for each in ("john", "jane")]
        for each in seen:
            await each.next()
        refused = await watch(env, "mehmet", stream).failure()
        assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert refused.retry_after
        await env.streams.GetStream(GetStreamRequest(live_stream_id=stream.id), metadata=metadata("john"))
        seen[0].call.cancel()
        await until(lambda: _let_in(env, stream))


async def _let_in(env: ServiceEnvironment, stream: LiveStream) -> bool:
    seen = watch(env, "mehmet", stream)
    with contextlib.suppress(grpc.aio.AioRpcError):
        await seen.next()
        return True
    return False


async def test_a_process_that_stops_sends_its_watchers_elsewhere(another: Any, stream: LiveStream) -> None:
    """They are cut off with a status upon which clients resume, and nothing waits for them."""
    async with another() as env:
        seen = watch(env, "john", stream)
        await seen.next()
        env.service.end_streams()
        refused = await seen.failure()
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")
        assert (await watch(env, "john", stream).failure()).code is grpc.StatusCode.UNAVAILABLE


async def test_a_watcher_who_does_not_read_is_cut_off_and_can_resume(
    another: Any, streams: Streams, env: ServiceEnvironment, creator: str, stream: LiveStream
) -> None:
    """One slow phone must not fill the memory of the process; and it must lose nothing."""
    await join(env, creator, stream, ROLE_HOST)
    options = (("grpc.http2.lookahead_bytes", 1024), ("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1))
    async with (
        another(slow_watcher_seconds=0.3) as slow,
        grpc.aio.insecure_channel(slow.target, options) as channel,
    ):
        request = WatchStreamRequest(live_stream_id=stream.id)
        seen = Watch(WatchServiceStub(channel).WatchStream(request, metadata=metadata("john")))
        first = await seen.next()
        made = 0
        with capture_logs() as logs:
            while not any(each.get("reason") == "WATCHER_TOO_SLOW" for each in logs):
                await changed(streams, stream, 50)
                made += 50
                assert made < 20_000, "nobody was cut off"
        buffered: list[WatchStreamResponse] = []
        refused = await failure(_into(buffered, seen))
    told = [first.revision, *(each.revision for each in buffered if each.WhichOneof("event") == "broadcaster")]
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "WATCHER_TOO_SLOW")
    assert told[-1] - int(refused.metadata["last"]) in (0, 1)
    assert told == list(range(told[0], told[-1] + 1))
    again = await watch(env, "john", stream, after=told[-1]).next()
    assert again.revision == told[-1] + 1 or again.WhichOneof("event") == "snapshot"


async def _into(answers: list[WatchStreamResponse], seen: Watch) -> None:
    while True:
        answers.append(await seen.next())


async def test_a_watch_is_one_log_line_and_counted(env: ServiceEnvironment, creator: str, stream: LiveStream) -> None:
    """Operators see how long users watch, and how many answers that took."""

    def sample(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, {**WATCH, **labels}) or 0.0

    sent, handled = sample("grpc_server_msg_sent_total"), sample("grpc_server_handled_total", grpc_code="OK")
    await join(env, creator, stream, ROLE_HOST)
    with capture_logs() as logs:
        seen = watch(env, "john", stream)
        await seen.next()
        assert (REGISTRY.get_sample_value("livestream_streams_open") or 0) >= 1
        await end(env, creator, stream)
        await seen.next()
        assert await seen.rest() == OVER
        await until(lambda: any(each.get("method", "").endswith("/WatchStream") for each in logs))
    line = next(each for each in logs if each.get("method", "").endswith("/WatchStream"))
    assert (line["event"], line["code"], line["sent"], line["caller"]) == ("call", "OK", 2, IDS["john"])
    assert dict(await seen.call.trailing_metadata())["x-request-id"] == line["request_id"]
    assert sample("grpc_server_msg_sent_total") == sent + 2
    assert sample("grpc_server_handled_total", grpc_code="OK") == handled + 1

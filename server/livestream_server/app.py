"""One door: every part of the service is built here and handed on through constructors."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta
from typing import Any

import structlog

from livestream.addresses import parse_network
from livestream_server.access.service import AccessServicer
from livestream_server.access.store import AccessGrants
from livestream_server.auth.jwt import Authenticator
from livestream_server.clock import utc_now
from livestream_server.feeds.rankings import Rankings
from livestream_server.feeds.service import FeedServicer
from livestream_server.feeds.store import Feeds
from livestream_server.images.pool import DecoderPool, open_decoders
from livestream_server.images.store import Thumbnails
from livestream_server.moderation.service import ModerationServicer
from livestream_server.moderation.store import Bans
from livestream_server.mongo import client as mongo
from livestream_server.mongo import failures
from livestream_server.mongo.lease import Lease
from livestream_server.notifications.service import NotificationServicer
from livestream_server.notifications.store import Inbox
from livestream_server.notifications.worker import Worker
from livestream_server.participants.service import AudienceServicer
from livestream_server.participants.store import Participants
from livestream_server.protocols import Clock
from livestream_server.reminders.service import ReminderServicer
from livestream_server.reminders.store import Reminders
from livestream_server.settings import Settings
from livestream_server.streams.admission import Admission
from livestream_server.streams.expiry import Limits, Sweeper
from livestream_server.streams.presenter import Journals, StoredStreamPresenter
from livestream_server.streams.service import LiveStreamServicer
from livestream_server.streams.store import StreamLists, Streams
from livestream_server.tokens.agora import create_token_issuer
from livestream_server.transport import limits as caller_limits
from livestream_server.transport.pipeline import Guards, Handler, Registry
from livestream_server.users.presenter import UserPresenter
from livestream_server.users.service import UserServicer
from livestream_server.users.store import Users
from livestream_server.watch.hub import WatchHub
from livestream_server.watch.service import WatchServicer
from livestream_server.watch.store import ChangeNotifier

PING_EVERY = 1.0
PING_TIMEOUT = 2.0
WORK_EVERY = timedelta(seconds=1)  # how long a notification may wait for its effect
CANCEL_AGAIN = 0.5  # as long as a task takes to tidy up behind itself

_log = structlog.get_logger("livestream.service")


class Service:
    """The running service: its wrapped handlers, and whether it can answer."""

    def __init__(
        self, handlers: Mapping[str, Handler], end_streams: Callable[[], None], keys_known: Callable[[], bool]
    ) -> None:
        self.handlers = handlers
        self.end_streams = end_streams
        """Ends all watching, so that the watchers go on elsewhere; for a process that is about to stop."""
        self.keys_known = keys_known
        """Whether the keys of callers' tokens are up to date; old ones stay in use while the issuer is away."""
        self.ready = False


@asynccontextmanager
async def open_service(
    settings: Settings,
    *,
    clock: Clock = utc_now,
    listeners: Sequence[mongo.CommandListener] = (),
    on_ready: Callable[[bool], Any] | None = None,
    decoders: DecoderPool | None = None,
) -> AsyncIterator[Service]:
    """Build the service on its database; close everything at the end.

    `on_ready` is awaited with True or False whenever the database comes or goes. `decoders` are shared with other
    workers; without them the service has its own. Raises UnusableSetting for a setting that cannot work,
    DatabaseUnreachable if the database does not answer at the start, and DecodersUnavailable likewise.
    """
    tokens = create_token_issuer(settings.agora)
    auth = Authenticator(settings.jwt)
    async with (
        nullcontext(decoders) if decoders else open_decoders(settings) as pool,
        mongo.connect(settings.mongo, listeners=listeners) as client,
    ):
        thumbnails = Thumbnails(settings.media, pool)
        database = mongo.database(client, settings.mongo)
        limits = _limits(settings)
        streams, participants, grants = (
            Streams(database, limits),
            Participants(database, limits.host_silent),
            AccessGrants(database),
        )
        stored_users = Users(database, cache_seconds=settings.user_cache_seconds)
        users = UserPresenter(stored_users)
        inbox = Inbox(database)
        bans = Bans(database)
        reminders = Reminders(database)
        stream_lists = StreamLists(database)
        feeds = Feeds(stream_lists, participants)
        rankings = Rankings(database, feeds, participants, clock, every=timedelta(seconds=settings.sweep_seconds))
        await auth.start()
        await thumbnails.start()
        with failures.translate_start_failures():
            for each in (streams, stream_lists, participants, stored_users, inbox, bans, reminders):
                await each.prepare()

        registry = Registry(
            Guards(
                authenticate=auth.authenticate,
                translate=failures.to_service_error,
                database_deadline=failures.deadline,
                max_in_flight=settings.max_in_flight,
                max_deadline=settings.max_deadline_seconds,
                max_streams=settings.max_watchers,
                slow_seconds=settings.slow_watcher_seconds,
                trusted_proxies=tuple(map(parse_network, settings.trusted_proxies)),
                limits=caller_limits.Limits.of(settings),
            )
        )
        admission = Admission(streams, users, bans, grants)
        servicer = LiveStreamServicer(
            streams=streams,
            participants=participants,
            users=users,
            admission=admission,
            thumbnails=thumbnails,
            tokens=tokens,
            limits=limits,
            clock=clock,
        )
        registry.add("livestream.v1.LiveStreamService", servicer)
        registry.add("livestream.v1.UserService", UserServicer(stored_users, clock))
        registry.add("livestream.v1.AccessService", AccessServicer(grants, streams, users, clock))
        viewers = AudienceServicer(participants=participants, admission=admission, bans=bans, users=users, clock=clock)
        registry.add("livestream.v1.AudienceService", viewers)
        notifications = NotificationServicer(inbox, settings.agora.notification_secret, clock)
        registry.add("livestream.v1.NotificationService", notifications)
        moderation = ModerationServicer(bans=bans, streams=streams, users=users, clock=clock)
        registry.add("livestream.v1.ModerationService", moderation)

        registry.add("livestream.v1.ReminderService", ReminderServicer(reminders, streams, users, clock))

        lists = FeedServicer(
            feeds=feeds,
            rankings=rankings,
            presenter=StoredStreamPresenter(thumbnails),
            users=users,
            reminders=reminders,
            clock=clock,
        )
        registry.add("livestream.v1.FeedService", lists)

        hub = WatchHub(
            Journals(streams, admission, users, thumbnails), participants, bans, ChangeNotifier(database), clock
        )
        watch = WatchServicer(hub, users, heartbeat=settings.heartbeat_seconds)
        registry.add("livestream.v1.WatchService", watch)

        service = Service(registry.handlers, registry.end_streams, auth.keys_known)
        every = timedelta(seconds=settings.sweep_seconds)
        sweeper = Sweeper(streams, limits, Lease(database, "sweeper", 3 * every), clock, every=every)
        worker = Worker(
            inbox, participants, streams, Lease(database, "inbox", 10 * WORK_EVERY), clock, every=WORK_EVERY
        )
        tasks = [
            asyncio.create_task(_watch_database(database, service, on_ready)),
            asyncio.create_task(pool.keep_running()),
            asyncio.create_task(sweeper.run()),
            *([asyncio.create_task(worker.run())] if settings.agora.notification_secret else []),
            asyncio.create_task(rankings.run()),
            *map(asyncio.create_task, hub.work()),
        ]
        try:
            yield service
        finally:
            await _end(tasks)


async def _end(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel the tasks until they have ended, before the database that they use is closed.

    Once is not enough: the driver writes under `asyncio.wait_for`, which on Python 3.11 loses a cancellation that
    arrives when the write is done (python/cpython#81839).
    """
    pending = set(tasks)
    while pending:
        for each in pending:
            each.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN)


def _limits(settings: Settings) -> Limits:
    grace = timedelta(seconds=settings.host_grace_seconds)
    return Limits(
        scheduled=timedelta(minutes=settings.scheduled_wait_minutes),
        preparing=timedelta(minutes=settings.preparing_wait_minutes),
        active=timedelta(minutes=settings.longest_stream_minutes),
        host_gone=grace,
        host_silent=timedelta(seconds=settings.agora.token_life_seconds) + grace,
    )


async def _watch_database(database: mongo.Database, service: Service, on_ready: Callable[[bool], Any] | None) -> None:
    """Ping the database every second; the service is ready while it answers."""
    while True:
        try:
            with failures.deadline(PING_TIMEOUT):
                await database.command("ping")
            ready = True
        except Exception as error:  # noqa: BLE001 - whatever it is, the database did not answer
            ready = False
            if service.ready:
                _log.warning("the database does not answer", error=type(error).__name__)
        if ready != service.ready:
            service.ready = ready
            if on_ready:
                await on_ready(ready)
        await asyncio.sleep(PING_EVERY)

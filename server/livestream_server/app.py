"""Builds every part of the service, one function per feature package, and hands it on through constructors."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

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
from livestream_server.tokens.agora import TokenIssuer, create_token_issuer
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
        database, thumbnails = mongo.database(client, settings.mongo), Thumbnails(settings.media, pool)
        parts = _Parts(settings, clock, database, thumbnails, tokens)
        packages = [build(parts) for build in _PACKAGES]
        await auth.start()
        await thumbnails.start()
        with failures.translate_start_failures():
            for each in (store for package in packages for store in package.stores):
                await each.prepare()
        registry = Registry(_build_guards(settings, auth))
        for package in packages:
            registry.add(package.service, package.servicer)
        service = Service(registry.handlers, registry.end_streams, auth.keys_known)
        work = [_watch_database(database, service, on_ready), pool.keep_running()]
        work += [task for package in packages for task in package.work()]
        tasks = [asyncio.create_task(each) for each in work]
        try:
            yield service
        finally:
            await _end(tasks)


class _Store(Protocol):
    async def prepare(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class _Package:
    """What a feature package brings."""

    service: str
    servicer: object
    stores: Sequence[_Store] = ()
    """Whose indexes the start creates."""
    work: Callable[[], Iterable[Coroutine[Any, Any, None]]] = tuple
    """Coroutines that run beside the calls, until the end."""


class _Parts:
    """What more than one package is given."""

    def __init__(
        self, settings: Settings, clock: Clock, database: mongo.Database, thumbnails: Thumbnails, tokens: TokenIssuer
    ) -> None:
        self.settings, self.clock, self.database = settings, clock, database
        self.thumbnails, self.tokens = thumbnails, tokens
        self.limits = _derive_limits(settings)
        self.sweep_every = timedelta(seconds=settings.sweep_seconds)
        self.stored_users = Users(database, cache_seconds=settings.user_cache_seconds)
        self.users = UserPresenter(self.stored_users)
        self.streams = Streams(database, self.limits)
        self.participants = Participants(database, self.limits.host_silent)
        self.grants = AccessGrants(database)
        self.bans = Bans(database)
        self.reminders = Reminders(database)
        self.admission = Admission(self.streams, self.users, self.bans, self.grants)


def _streams(parts: _Parts) -> _Package:
    servicer = LiveStreamServicer(
        streams=parts.streams,
        participants=parts.participants,
        users=parts.users,
        admission=parts.admission,
        thumbnails=parts.thumbnails,
        tokens=parts.tokens,
        limits=parts.limits,
        clock=parts.clock,
    )
    every = parts.sweep_every
    lease = Lease(parts.database, "sweeper", 3 * every)
    sweeper = Sweeper(parts.streams, parts.limits, lease, parts.clock, every=every)
    return _Package(
        service="livestream.v1.LiveStreamService",
        servicer=servicer,
        stores=[parts.streams],
        work=lambda: [sweeper.run()],
    )


def _users(parts: _Parts) -> _Package:
    servicer = UserServicer(parts.stored_users, parts.clock)
    return _Package(service="livestream.v1.UserService", servicer=servicer, stores=[parts.stored_users])


def _access(parts: _Parts) -> _Package:
    servicer = AccessServicer(parts.grants, parts.streams, parts.users, parts.clock)
    return _Package(service="livestream.v1.AccessService", servicer=servicer)


def _participants(parts: _Parts) -> _Package:
    servicer = AudienceServicer(
        participants=parts.participants,
        admission=parts.admission,
        bans=parts.bans,
        users=parts.users,
        clock=parts.clock,
    )
    return _Package(service="livestream.v1.AudienceService", servicer=servicer, stores=[parts.participants])


def _notifications(parts: _Parts) -> _Package:
    inbox, secret = Inbox(parts.database), parts.settings.agora.notification_secret
    lease = Lease(parts.database, "inbox", 10 * WORK_EVERY)
    worker = Worker(inbox, parts.participants, parts.streams, lease, parts.clock, every=WORK_EVERY)
    return _Package(
        service="livestream.v1.NotificationService",
        servicer=NotificationServicer(inbox, secret, parts.clock),
        stores=[inbox],
        work=lambda: [worker.run()] if secret else [],
    )


def _moderation(parts: _Parts) -> _Package:
    servicer = ModerationServicer(bans=parts.bans, streams=parts.streams, users=parts.users, clock=parts.clock)
    return _Package(service="livestream.v1.ModerationService", servicer=servicer, stores=[parts.bans])


def _reminders(parts: _Parts) -> _Package:
    servicer = ReminderServicer(parts.reminders, parts.streams, parts.users, parts.clock)
    return _Package(service="livestream.v1.ReminderService", servicer=servicer, stores=[parts.reminders])


def _feeds(parts: _Parts) -> _Package:
    lists = StreamLists(parts.database)
    feeds = Feeds(lists, parts.participants)
    rankings = Rankings(parts.database, feeds, parts.participants, parts.clock, every=parts.sweep_every)
    servicer = FeedServicer(
        feeds=feeds,
        rankings=rankings,
        presenter=StoredStreamPresenter(parts.thumbnails),
        users=parts.users,
        reminders=parts.reminders,
        clock=parts.clock,
    )
    return _Package(
        service="livestream.v1.FeedService", servicer=servicer, stores=[lists], work=lambda: [rankings.run()]
    )


def _watch(parts: _Parts) -> _Package:
    journals = Journals(parts.streams, parts.admission, parts.users, parts.thumbnails)
    hub = WatchHub(journals, parts.participants, parts.bans, ChangeNotifier(parts.database), parts.clock)
    servicer = WatchServicer(hub, parts.users, heartbeat=parts.settings.heartbeat_seconds)
    return _Package(service="livestream.v1.WatchService", servicer=servicer, work=hub.work)


_PACKAGES = (
    _streams,
    _users,
    _access,
    _participants,
    _notifications,
    _moderation,
    _reminders,
    _feeds,
    _watch,
)


def _build_guards(settings: Settings, auth: Authenticator) -> Guards:
    return Guards(
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


def _derive_limits(settings: Settings) -> Limits:
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

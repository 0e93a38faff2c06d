"""The package's own parts on the module's database, beside the service that tests call."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from livestream_server.mongo import client as mongo
from livestream_server.mongo.lease import Lease
from livestream_server.notifications.store import Inbox
from livestream_server.notifications.worker import Worker
from livestream_server.participants.store import Participants
from livestream_server.settings import MongoSettings
from livestream_server.streams.expiry import Limits
from livestream_server.streams.store import Streams
from tests.support.environment import LiveService, ServiceEnvironment, environment_for, running

STAY = timedelta(seconds=3720)  # the usual life of a token and the grace
LIMITS = Limits(
    scheduled=timedelta(hours=1),
    preparing=timedelta(hours=24),
    active=timedelta(hours=12),
    host_gone=timedelta(minutes=2),
    host_silent=STAY,
)


@dataclass(frozen=True)
class Backstage:
    """What works behind the RPCs."""

    database: mongo.Database
    streams: Streams
    participants: Participants
    inbox: Inbox
    worker: Worker


@pytest.fixture
async def backstage(env: ServiceEnvironment, mongo_uri: str, database_name: str) -> AsyncIterator[Backstage]:
    """The inbox and its worker; `env` has created the indexes, and without a secret it works on nothing itself."""
    settings = MongoSettings(uri=SecretStr(mongo_uri), database=database_name)
    async with mongo.connect(settings) as client:
        database = mongo.database(client, settings)
        streams, participants, inbox = Streams(database, LIMITS), Participants(database, STAY), Inbox(database)
        lease = Lease(database, "inbox-of-tests", timedelta(seconds=10))
        every = timedelta(seconds=1)
        worker = Worker(inbox, participants, streams, lease, lambda: datetime.now(UTC), every=every)
        yield Backstage(database, streams, participants, inbox, worker)


@pytest.fixture(scope="module")
def live_service(mongo_uri: str, database_name: str, media: Path, engine: str) -> Iterator[LiveService]:
    """The whole system, as two processes."""
    with running(LiveService(environment_for(mongo_uri, database_name, media, engine), workers=2)) as service:
        yield service

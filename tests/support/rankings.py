"""The counting of what is watched most, set off by a test instead of by time."""

from datetime import datetime, timedelta

from livestream_server.feeds.rankings import Rankings
from livestream_server.feeds.store import Feeds
from livestream_server.mongo.client import Database
from livestream_server.participants.store import Participants
from livestream_server.streams.store import StreamLists


def rankings_of(database: Database, now: datetime, every: timedelta = timedelta(hours=1)) -> Rankings:
    """Rankings of another process, at `now`."""
    participants = Participants(database, stay=timedelta(hours=1))
    return Rankings(database, Feeds(StreamLists(database), participants), participants, lambda: now, every=every)

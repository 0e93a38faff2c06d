"""AudienceService: who watches, and how it was watched."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from livestream.v1 import audience_service_pb2 as rpc
from livestream.v1.audience_service_pb2_grpc import AudienceServiceServicer
from livestream.v1.people_service_pb2 import PersonProfile
from livestream.v1.user_pb2 import UserSummary
from livestream_server.audience.store import Audience
from livestream_server.errors import Invalid, Violation
from livestream_server.transport.call import Caller, current_caller
from livestream_server.transport.paging import page_of
from livestream_server.transport.pipeline import Context
from livestream_server.transport.values import object_id, timestamp

USUAL_LIMIT = 20
MAX_SEARCH = 100


class Stream(Protocol):
    """What this room needs to know of a stream."""

    @property
    def id(self) -> str:
        """The stream's id."""

    @property
    def started_at(self) -> datetime | None:
        """When it became active."""

    @property
    def ended_at(self) -> datetime | None:
        """When it ended."""

    @property
    def has_bans(self) -> bool:
        """Whether someone was ever shut out."""

    def require_on_air(self) -> None:
        """Raise Refused unless the stream is active."""


class Admission(Protocol):
    """What this room needs of the streams room."""

    async def stream_with_audience(self, stream_id: str, caller: Caller) -> Stream:
        """The stream, whose viewers and statistics the caller may see; raises NotFound or NotAllowed."""


class Bans(Protocol):
    """What this room needs of the moderation room."""

    async def blocked(self, stream_id: str) -> Mapping[str, datetime]:
        """Whom bans shut out of the stream, and since when."""


class Person(Protocol):
    """What this room needs to know of a person."""

    @property
    def card(self) -> UserSummary:
        """The person as lists show them."""

    @property
    def profile(self) -> PersonProfile:
        """What some lists show beside that."""


class People(Protocol):
    """What this room needs of the people room."""

    async def recorded(self, ids: Collection[str]) -> Mapping[str, Person]:
        """Those of `ids` who are known, in one read."""


class AudienceRoom(AudienceServiceServicer):
    """Answers AudienceService."""

    def __init__(
        self,
        *,
        audience: Audience,
        admission: Admission,
        bans: Bans,
        people: People,
        clock: Callable[[], datetime],
    ) -> None:
        self._audience = audience
        self._admission = admission
        self._bans = bans
        self._people = people
        self._clock = clock

    async def ListViewers(self, request: rpc.ListViewersRequest, context: Context) -> rpc.ListViewersResponse:  # noqa: ARG002 - gRPC's signature
        page = page_of(
            request.page if request.HasField("page") else None,
            request.limit if request.HasField("limit") else None,
            usual_limit=USUAL_LIMIT,
        )
        search = _search_of(request)
        stream_id = object_id("live_stream_id", request.live_stream_id)
        stream = await self._admission.stream_with_audience(stream_id, current_caller())
        stream.require_on_air()
        blocked = await self._blocked(stream)
        present = await self._audience.present(stream.id, blocked, page, search, self._clock())
        people = await self._people.recorded([user for user, _ in present.joined])
        return rpc.ListViewersResponse(
            list=[_viewer(people[user], at) for user, at in present.joined if user in people],
            pagination=page.of(present.matching),
            participant_audience_total=present.total,
        )

    async def GetStreamStatistics(
        self,
        request: rpc.GetStreamStatisticsRequest,
        context: Context,  # noqa: ARG002 - gRPC's signature
    ) -> rpc.GetStreamStatisticsResponse:
        now = self._clock()
        stream_id = object_id("live_stream_id", request.live_stream_id)
        stream = await self._admission.stream_with_audience(stream_id, current_caller())
        blocked = await self._blocked(stream)
        tally = await self._audience.tally(stream.id, blocked, stream.started_at or now, stream.ended_at or now)
        return rpc.GetStreamStatisticsResponse(
            stream_id=stream.id,
            total_viewers=tally.viewers,
            average_watch_time_minutes=_minutes(tally.average),
            total_watch_time_minutes=_minutes(tally.watched),
            peak_concurrent_viewers=tally.peak,
        )

    async def _blocked(self, stream: Stream) -> Mapping[str, datetime]:
        """Who is no viewer any more, whatever is known of their presence, and since when."""
        return await self._bans.blocked(stream.id) if stream.has_bans else {}


def _search_of(request: rpc.ListViewersRequest) -> str:
    if len(request.search) > MAX_SEARCH or not (request.search.isprintable()):
        raise Invalid(Violation("search", f"must be at most {MAX_SEARCH} characters, no control characters"))
    return request.search.strip()


def _minutes(time: timedelta) -> float:
    return round(time / timedelta(minutes=1), 2)


def _viewer(person: Person, joined_at: datetime) -> rpc.Viewer:
    card, profile = person.card, person.profile
    return rpc.Viewer(
        id=card.id,
        username=card.username,
        name=card.name,
        surname=card.surname,
        profile_photo=card.profile_photo if card.HasField("profile_photo") else None,
        followers_count=profile.followers_count if profile.HasField("followers_count") else None,
        following_count=profile.following_count if profile.HasField("following_count") else None,
        expertise=profile.expertise if profile.HasField("expertise") else None,
        joined_at=timestamp(joined_at),
    )

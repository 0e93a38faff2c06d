"""AudienceService: who watches, and how it was watched."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from livestream.v1 import audience_service_pb2 as rpc
from livestream_server.errors import InvalidArgument, Violation
from livestream_server.participants.store import Participants
from livestream_server.protocols import Admission, Bans, Clock, StreamFacts, UserFacts, Users
from livestream_server.transport.call import Call
from livestream_server.transport.paging import encode_page_token, parse_page_request
from livestream_server.transport.parsing import parse_object_id
from livestream_server.transport.presenting import to_timestamp

USUAL_LIMIT = 20
MAX_SEARCH = 100
VIEWERS = "viewers"
"""The name of the list in page tokens, before the id of its stream."""


class AudienceServicer:
    """Answers AudienceService."""

    def __init__(
        self,
        *,
        participants: Participants,
        admission: Admission,
        bans: Bans,
        users: Users,
        clock: Clock,
    ) -> None:
        self._participants = participants
        self._admission = admission
        self._bans = bans
        self._users = users
        self._clock = clock

    async def ListViewers(self, request: rpc.ListViewersRequest, call: Call) -> rpc.ListViewersResponse:
        listing = f"{VIEWERS}.{request.live_stream_id}"
        asked = parse_page_request(request, listing, usual_limit=USUAL_LIMIT, keys=(datetime, int))
        search = _parse_search(request)
        stream_id = parse_object_id("live_stream_id", request.live_stream_id)
        stream = await self._admission.stream_with_audience(stream_id, call.require_caller())
        stream.require_on_air()
        blocked = await self._blocked(stream)
        present = await self._participants.list_present(stream.id, blocked, asked, search, self._clock())
        users = await self._users.find([user for user, _ in present.joined])
        page = rpc.ViewerPage(
            list=[_present_viewer(users[user], at) for user, at in present.joined if user in users],
            pagination=None if present.matching is None else asked.page.of(present.matching),
            participant_audience_total=present.total,
        )
        token = encode_page_token(listing, present.last) if present.last else ""
        return rpc.ListViewersResponse(page=page, next_page_token=token)

    async def GetStreamStatistics(
        self,
        request: rpc.GetStreamStatisticsRequest,
        call: Call,
    ) -> rpc.GetStreamStatisticsResponse:
        now = self._clock()
        stream_id = parse_object_id("live_stream_id", request.live_stream_id)
        stream = await self._admission.stream_with_audience(stream_id, call.require_caller())
        blocked = await self._blocked(stream)
        tally = await self._participants.compute_tally(
            stream.id, blocked, stream.started_at or now, stream.ended_at or now
        )
        return rpc.GetStreamStatisticsResponse(
            stream_id=stream.id,
            total_viewers=tally.viewers,
            average_watch_time_minutes=_to_minutes(tally.average),
            total_watch_time_minutes=_to_minutes(tally.watched),
            peak_concurrent_viewers=tally.peak,
        )

    async def _blocked(self, stream: StreamFacts) -> Mapping[str, datetime]:
        """Who is no viewer any more, whatever is known of their presence, and since when."""
        return await self._bans.find_blocked(stream.id) if stream.has_bans else {}


def _parse_search(request: rpc.ListViewersRequest) -> str:
    if len(request.search) > MAX_SEARCH or not (request.search.isprintable()):
        raise InvalidArgument(Violation("search", f"must be at most {MAX_SEARCH} characters, no control characters"))
    return request.search.strip()


def _to_minutes(time: timedelta) -> float:
    return round(time / timedelta(minutes=1), 2)


def _present_viewer(user: UserFacts, joined_at: datetime) -> rpc.Viewer:
    summary, profile = user.summary, user.profile
    return rpc.Viewer(
        id=summary.id,
        username=summary.username,
        name=summary.name,
        surname=summary.surname,
        profile_photo=summary.profile_photo if summary.HasField("profile_photo") else None,
        followers_count=profile.followers_count if profile.HasField("followers_count") else None,
        following_count=profile.following_count if profile.HasField("following_count") else None,
        expertise=profile.expertise if profile.HasField("expertise") else None,
        joined_at=to_timestamp(joined_at),
    )

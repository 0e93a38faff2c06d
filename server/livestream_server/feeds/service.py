"""FeedService: lists of streams as the caller may see them."""

from collections.abc import Sequence

from livestream.v1 import feed_service_pb2 as rpc
from livestream.v1.live_stream_pb2 import ROLE_AUDIENCE, LiveStream
from livestream.v1.user_pb2 import UserSummary
from livestream.v1.user_service_pb2 import UserProfile
from livestream_server.feeds import listings
from livestream_server.feeds.rankings import CREATORS, FEATURED, Rankings
from livestream_server.feeds.requests import (
    parse_guest_listing,
    parse_limited,
    parse_paged,
    parse_ranked,
    parse_selection,
    parse_user,
    parse_watched,
    parse_window,
)
from livestream_server.feeds.store import Feeds, Slice
from livestream_server.protocols import Clock, Reminders, StreamPresenter, Summaries, Users
from livestream_server.transport.call import Call
from livestream_server.transport.paging import Page, PageRequest
from livestream_server.vocabulary import Status

ALL, STREAMERS, UPCOMING, PAST = 100, 20, 10, 20
"""How many items a list without pages has if the caller does not say."""
ONE = PageRequest(Page(1, 1), None)


class FeedServicer:
    """Answers FeedService."""

    def __init__(
        self,
        *,
        feeds: Feeds,
        rankings: Rankings,
        presenter: StreamPresenter,
        users: Users,
        reminders: Reminders,
        clock: Clock,
    ) -> None:
        self._feeds = feeds
        self._rankings = rankings
        self._presenter = presenter
        self._users = users
        self._reminders = reminders
        self._clock = clock

    async def ListStreams(self, request: rpc.ListStreamsRequest, call: Call) -> rpc.ListStreamsResponse:
        listing = listings.newest()
        found = await self._feeds.read(listing, parse_limited(request, listing, ALL))
        streams = self._present(call, found, await self._users.find_summaries_for(call.user_id, found.users))
        return rpc.ListStreamsResponse(streams=streams, next_page_token=found.next_page_token)

    async def ListFeaturedStreams(
        self, request: rpc.ListFeaturedStreamsRequest, call: Call
    ) -> rpc.ListFeaturedStreamsResponse:
        ids, token = parse_ranked(request, FEATURED, await self._rankings.featured())
        found = await self._feeds.read_among(ids, Status.ACTIVE)
        streams = self._present(call, found, await self._users.find_summaries(found.users))
        return rpc.ListFeaturedStreamsResponse(streams=streams, next_page_token=token)

    async def ListCatchStreamers(
        self, request: rpc.ListCatchStreamersRequest, call: Call
    ) -> rpc.ListCatchStreamersResponse:
        listing = listings.live()
        found = await self._feeds.read(listing, parse_limited(request, listing, STREAMERS, cut=True))
        streams = self._present(call, found, await self._users.find_summaries(found.users))
        streamers = [rpc.CatchStreamer(creator=each.creator, active_live_stream=each) for each in streams]
        return rpc.ListCatchStreamersResponse(streamers=streamers, next_page_token=found.next_page_token)

    async def ListStreamsLiveNow(
        self, request: rpc.ListStreamsLiveNowRequest, call: Call
    ) -> rpc.ListStreamsLiveNowResponse:
        listing = listings.live()
        found = await self._feeds.read_page(listing, parse_paged(request, listing))
        page = self._present_page(call, found, await self._users.find_summaries(found.users))
        return rpc.ListStreamsLiveNowResponse(page=page, next_page_token=found.next_page_token)

    async def ListStreamsForYou(
        self, request: rpc.ListStreamsForYouRequest, call: Call
    ) -> rpc.ListStreamsForYouResponse:
        user = (await self._users.find([call.user_id])).get(call.user_id)
        interests = set(user.profile.interests) if user else set()
        listing = listings.for_you(parse_selection(request), interests)
        asked = parse_paged(request, listing, lenient=True)
        found = await self._feeds.read_page(listing, asked) if interests else Slice((), pagination=asked.page.of(0))
        page = await self._present_own_page(call, found)
        return rpc.ListStreamsForYouResponse(page=page, next_page_token=found.next_page_token)

    async def ListGuestStreams(self, request: rpc.ListGuestStreamsRequest, call: Call) -> rpc.ListGuestStreamsResponse:
        listing = parse_guest_listing(request, call.user_id)
        found = await self._feeds.read_page(listing, parse_paged(request, listing))
        page = await self._present_own_page(call, found)
        return rpc.ListGuestStreamsResponse(page=page, next_page_token=found.next_page_token)

    async def ListUpcomingStreams(
        self, request: rpc.ListUpcomingStreamsRequest, call: Call
    ) -> rpc.ListUpcomingStreamsResponse:
        listing = listings.upcoming(parse_user(request, call), *parse_window(request, self._clock()))
        found = await self._feeds.read(listing, parse_limited(request, listing, UPCOMING, cut=True))
        streams = await self._present_upcoming(call, await self._present_of_user(request.user_id, call, found))
        return rpc.ListUpcomingStreamsResponse(streams=streams, next_page_token=found.next_page_token)

    async def GetActiveStream(self, request: rpc.GetActiveStreamRequest, call: Call) -> rpc.GetActiveStreamResponse:
        if not request.user_id and call.caller is None:
            return rpc.GetActiveStreamResponse()
        found = await self._feeds.read(listings.hosted_now(parse_user(request, call)), ONE)
        if request.user_id:
            summaries = await self._users.find_summaries_with(request.user_id, found.users)
        else:  # a caller without a registration hosts nothing, either
            summaries = await self._users.find_summaries(found.users)
        return rpc.GetActiveStreamResponse(live_stream=next(iter(self._present(call, found, summaries)), None))

    async def ListPastStreams(self, request: rpc.ListPastStreamsRequest, call: Call) -> rpc.ListPastStreamsResponse:
        listing = listings.past(parse_user(request, call))
        found = await self._feeds.read(listing, parse_limited(request, listing, PAST))
        streams = await self._present_of_user(request.user_id, call, found)
        return rpc.ListPastStreamsResponse(streams=streams, next_page_token=found.next_page_token)

    async def ListMyBroadcastedStreams(
        self, request: rpc.ListMyBroadcastedStreamsRequest, call: Call
    ) -> rpc.ListMyBroadcastedStreamsResponse:
        listing = listings.broadcasted(call.user_id)
        found = await self._feeds.read_page(listing, parse_paged(request, listing))
        page = await self._present_own_page(call, found)
        return rpc.ListMyBroadcastedStreamsResponse(page=page, next_page_token=found.next_page_token)

    async def ListMyWatchedStreams(
        self, request: rpc.ListMyWatchedStreamsRequest, call: Call
    ) -> rpc.ListMyWatchedStreamsResponse:
        found = await self._feeds.read_watched(call.user_id, parse_watched(request))
        page = await self._present_own_page(call, found)
        for each in page.list:
            each.role = ROLE_AUDIENCE
        return rpc.ListMyWatchedStreamsResponse(page=page, next_page_token=found.next_page_token)

    async def ListMostWatchedCreators(
        self, request: rpc.ListMostWatchedCreatorsRequest, _call: Call
    ) -> rpc.ListMostWatchedCreatorsResponse:
        ids, token = parse_ranked(request, CREATORS, await self._rankings.creators())
        users = await self._users.find(ids)
        creators = [_present_creator(users[each].summary, users[each].profile) for each in ids if each in users]
        return rpc.ListMostWatchedCreatorsResponse(creators=creators, next_page_token=token)

    def _present(self, call: Call, found: Slice, summaries: Summaries) -> list[LiveStream]:
        caller = call.caller
        return [self._presenter.present(each, caller.id if caller else None, summaries) for each in found.documents]

    def _present_page(self, call: Call, found: Slice, summaries: Summaries) -> rpc.StreamPage:
        return rpc.StreamPage(list=self._present(call, found, summaries), pagination=found.pagination)

    async def _present_own_page(self, call: Call, found: Slice) -> rpc.StreamPage:
        """A page of the caller's own; raises PermissionDenied if they are not registered."""
        return self._present_page(call, found, await self._users.find_summaries_for(call.user_id, found.users))

    async def _present_of_user(self, user: str, call: Call, found: Slice) -> list[LiveStream]:
        """Streams of `user`, who must be recorded, or of the caller, who must be registered, if it is empty."""
        find, whose = (
            (self._users.find_summaries_with, user) if user else (self._users.find_summaries_for, call.user_id)
        )
        return self._present(call, found, await find(whose, found.users))

    async def _present_upcoming(self, call: Call, streams: Sequence[LiveStream]) -> list[rpc.UpcomingStream]:
        if call.caller is None:
            return [rpc.UpcomingStream(live_stream=each) for each in streams]
        reminded = await self._reminders.find_active_for(call.user_id, [each.id for each in streams])
        return [rpc.UpcomingStream(live_stream=each, is_reminder_active=each.id in reminded) for each in streams]


def _present_creator(summary: UserSummary, profile: UserProfile) -> rpc.MostWatchedCreator:
    return rpc.MostWatchedCreator(
        id=summary.id,
        username=summary.username,
        name=summary.name,
        surname=summary.surname,
        availability_status=summary.availability_status,
        profile_photo=summary.profile_photo if summary.HasField("profile_photo") else None,
        expertise=profile.expertise if profile.HasField("expertise") else None,
    )

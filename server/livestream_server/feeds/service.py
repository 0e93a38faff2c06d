"""FeedService: lists of streams as the caller may see them."""

from livestream.v1 import feed_service_pb2 as rpc
from livestream.v1.live_stream_pb2 import ROLE_AUDIENCE, LiveStream
from livestream.v1.paging_pb2 import Pagination
from livestream.v1.user_pb2 import UserSummary
from livestream.v1.user_service_pb2 import UserProfile
from livestream_server.feeds import listings
from livestream_server.feeds.listings import Listing
from livestream_server.feeds.model import parse_cursor
from livestream_server.feeds.rankings import FEATURED_LENGTH, Rankings
from livestream_server.feeds.requests import (
    PageRequest,
    parse_guest_listing,
    parse_limit,
    parse_page_request,
    parse_page_request_leniently,
    parse_selection,
    parse_window,
)
from livestream_server.feeds.store import Feeds, Slice
from livestream_server.protocols import Clock, Reminders, StreamPresenter, Summaries, Users
from livestream_server.transport.call import Call
from livestream_server.transport.values import parse_object_id

ALL, STREAMERS, UPCOMING, PAST = 100, 20, 10, 20
"""How many items a list without pages has if the caller does not say."""


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
        found = await self._read_part(listings.newest(), parse_limit(request, ALL), request.cursor)
        summaries = await self._users.find_summaries_for(call.user_id, found.users)
        return rpc.ListStreamsResponse(streams=self._present(call, found, summaries), next_cursor=found.cursor)

    async def ListFeaturedStreams(
        self,
        _request: rpc.ListFeaturedStreamsRequest,
        call: Call,
    ) -> rpc.ListFeaturedStreamsResponse:
        ranked = await self._rankings.featured()
        found = await self._feeds.read(listings.among(ranked), FEATURED_LENGTH)
        streams = self._present(call, found, await self._users.find_summaries(found.users))
        return rpc.ListFeaturedStreamsResponse(streams=sorted(streams, key=lambda each: ranked.index(each.id)))

    async def ListCatchStreamers(
        self,
        request: rpc.ListCatchStreamersRequest,
        call: Call,
    ) -> rpc.ListCatchStreamersResponse:
        found = await self._read_part(listings.live(), parse_limit(request, STREAMERS, cut=True), request.cursor)
        streams = self._present(call, found, await self._users.find_summaries(found.users))
        streamers = [rpc.CatchStreamer(creator=each.creator, active_live_stream=each) for each in streams]
        return rpc.ListCatchStreamersResponse(streamers=streamers, next_cursor=found.cursor)

    async def ListStreamsLiveNow(
        self,
        request: rpc.ListStreamsLiveNowRequest,
        call: Call,
    ) -> rpc.ListStreamsLiveNowResponse:
        listing = listings.live()
        found, pagination = await self._read_page(listing, parse_page_request(request, listing))
        page = self._present_page(call, found, pagination, await self._users.find_summaries(found.users))
        return rpc.ListStreamsLiveNowResponse(page=page, next_cursor=found.cursor)

    async def ListStreamsForYou(
        self,
        request: rpc.ListStreamsForYouRequest,
        call: Call,
    ) -> rpc.ListStreamsForYouResponse:
        caller = call.user_id
        user = (await self._users.find([caller])).get(caller)
        interests = set(user.profile.interests) if user else set()
        listing = listings.for_you(parse_selection(request), interests)
        asked = parse_page_request_leniently(request, listing)
        found, pagination = await self._read_page(listing, asked) if interests else (Slice(()), asked.page.of(0))
        page = self._present_page(call, found, pagination, await self._users.find_summaries_for(caller, found.users))
        return rpc.ListStreamsForYouResponse(page=page, next_cursor=found.cursor)

    async def ListGuestStreams(
        self,
        request: rpc.ListGuestStreamsRequest,
        call: Call,
    ) -> rpc.ListGuestStreamsResponse:
        caller = call.user_id
        listing = parse_guest_listing(request, caller)
        found, pagination = await self._read_page(listing, parse_page_request(request, listing))
        page = self._present_page(call, found, pagination, await self._users.find_summaries_for(caller, found.users))
        return rpc.ListGuestStreamsResponse(page=page, next_cursor=found.cursor)

    async def ListUpcomingStreams(
        self,
        request: rpc.ListUpcomingStreamsRequest,
        call: Call,
    ) -> rpc.ListUpcomingStreamsResponse:
        user = parse_object_id("user_id", request.user_id)
        listing = listings.upcoming(user, *parse_window(request, self._clock()))
        found = await self._feeds.read(listing, parse_limit(request, UPCOMING, cut=True))
        summaries = await self._users.find_summaries_with(user, found.users)
        return rpc.ListUpcomingStreamsResponse(streams=await self._present_upcoming(call, found, summaries))

    async def ListMyUpcomingStreams(
        self,
        request: rpc.ListMyUpcomingStreamsRequest,
        call: Call,
    ) -> rpc.ListMyUpcomingStreamsResponse:
        caller = call.user_id
        listing = listings.upcoming(caller, *parse_window(request, self._clock()))
        found = await self._feeds.read(listing, parse_limit(request, UPCOMING, cut=True))
        summaries = await self._users.find_summaries_for(caller, found.users)
        return rpc.ListMyUpcomingStreamsResponse(streams=await self._present_upcoming(call, found, summaries))

    async def GetActiveStream(
        self,
        request: rpc.GetActiveStreamRequest,
        call: Call,
    ) -> rpc.GetActiveStreamResponse:
        user = parse_object_id("user_id", request.user_id)
        found = await self._feeds.read(listings.hosted_now(user), 1)
        streams = self._present(call, found, await self._users.find_summaries_with(user, found.users))
        return rpc.GetActiveStreamResponse(live_stream=next(iter(streams), None))

    async def GetMyActiveStream(
        self,
        _request: rpc.GetMyActiveStreamRequest,
        call: Call,
    ) -> rpc.GetMyActiveStreamResponse:
        caller = call.caller
        if caller is None:
            return rpc.GetMyActiveStreamResponse()
        found = await self._feeds.read(listings.hosted_now(caller.id), 1)
        streams = self._present(call, found, await self._users.find_summaries(found.users))
        return rpc.GetMyActiveStreamResponse(live_stream=next(iter(streams), None))

    async def ListPastStreams(
        self,
        request: rpc.ListPastStreamsRequest,
        call: Call,
    ) -> rpc.ListPastStreamsResponse:
        user = parse_object_id("user_id", request.user_id)
        found = await self._read_part(listings.past(user), parse_limit(request, PAST), request.cursor)
        summaries = await self._users.find_summaries_with(user, found.users)
        return rpc.ListPastStreamsResponse(streams=self._present(call, found, summaries), next_cursor=found.cursor)

    async def ListMyPastStreams(
        self,
        request: rpc.ListMyPastStreamsRequest,
        call: Call,
    ) -> rpc.ListMyPastStreamsResponse:
        caller = call.user_id
        found = await self._read_part(listings.past(caller), parse_limit(request, PAST), request.cursor)
        summaries = await self._users.find_summaries_for(caller, found.users)
        return rpc.ListMyPastStreamsResponse(streams=self._present(call, found, summaries), next_cursor=found.cursor)

    async def ListMyBroadcastedStreams(
        self,
        request: rpc.ListMyBroadcastedStreamsRequest,
        call: Call,
    ) -> rpc.ListMyBroadcastedStreamsResponse:
        caller = call.user_id
        listing = listings.broadcasted(caller)
        found, pagination = await self._read_page(listing, parse_page_request(request, listing))
        page = self._present_page(call, found, pagination, await self._users.find_summaries_for(caller, found.users))
        return rpc.ListMyBroadcastedStreamsResponse(page=page, next_cursor=found.cursor)

    async def ListMyWatchedStreams(
        self,
        request: rpc.ListMyWatchedStreamsRequest,
        call: Call,
    ) -> rpc.ListMyWatchedStreamsResponse:
        caller = call.user_id
        listing = listings.watched(caller)
        found, pagination = await self._read_page(listing, parse_page_request(request, listing))
        page = self._present_page(call, found, pagination, await self._users.find_summaries_for(caller, found.users))
        for each in page.list:
            each.role = ROLE_AUDIENCE
        return rpc.ListMyWatchedStreamsResponse(page=page, next_cursor=found.cursor)

    async def ListMostWatchedCreators(
        self,
        _request: rpc.ListMostWatchedCreatorsRequest,
        _call: Call,
    ) -> rpc.ListMostWatchedCreatorsResponse:
        ranked = await self._rankings.creators()
        users = await self._users.find(ranked)
        creators = [_present_creator(users[each].summary, users[each].profile) for each in ranked if each in users]
        return rpc.ListMostWatchedCreatorsResponse(creators=creators)

    async def _read_part(self, listing: Listing, limit: int, cursor: str) -> Slice:
        return await self._feeds.read(listing, limit, after=parse_cursor(cursor, listing.name))

    async def _read_page(self, listing: Listing, asked: PageRequest) -> tuple[Slice, Pagination | None]:
        """The part of the list, and where it lies in the whole, which is counted only for pages by number."""
        if asked.after:
            return await self._feeds.read(listing, asked.page.limit, after=asked.after), None
        found = await self._feeds.read(listing, asked.page.limit, skip=asked.page.skip)
        return found, asked.page.of(await self._feeds.count(listing))

    def _present(self, call: Call, found: Slice, summaries: Summaries) -> list[LiveStream]:
        caller = call.caller
        return [self._presenter.present(each, caller.id if caller else None, summaries) for each in found.documents]

    def _present_page(
        self, call: Call, found: Slice, pagination: Pagination | None, summaries: Summaries
    ) -> rpc.StreamPage:
        return rpc.StreamPage(list=self._present(call, found, summaries), pagination=pagination)

    async def _present_upcoming(self, call: Call, found: Slice, summaries: Summaries) -> list[rpc.UpcomingStream]:
        streams = self._present(call, found, summaries)
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

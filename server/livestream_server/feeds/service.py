"""FeedService: lists of streams as the caller may see them."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from livestream.v1 import feed_service_pb2 as rpc
from livestream.v1.feed_service_pb2_grpc import FeedServiceServicer
from livestream.v1.live_stream_pb2 import ROLE_AUDIENCE, LiveStream
from livestream.v1.paging_pb2 import Pagination
from livestream.v1.people_service_pb2 import PersonProfile
from livestream.v1.user_pb2 import UserSummary
from livestream_server.feeds import listings
from livestream_server.feeds.listings import Listing
from livestream_server.feeds.model import position
from livestream_server.feeds.rankings import FEATURED_LENGTH, Rankings
from livestream_server.feeds.requests import (
    Asked,
    guest_streams_of,
    limit_of,
    page_asked,
    page_mended,
    selection_of,
    window_of,
)
from livestream_server.feeds.store import Feeds, Slice
from livestream_server.transport.call import current_call, current_caller
from livestream_server.transport.pipeline import Context
from livestream_server.transport.values import object_id

ALL, STREAMERS, UPCOMING, PAST = 100, 20, 10, 20
"""How many items a list without pages has if the caller does not say."""

Cards: TypeAlias = Mapping[str, UserSummary]


class Person(Protocol):
    """Somebody, as the people room knows them."""

    @property
    def card(self) -> UserSummary:
        """What everybody sees of them."""

    @property
    def profile(self) -> PersonProfile:
        """What some lists show, and what they are interested in."""


class People(Protocol):
    """What this room needs of the people room."""

    async def cards(self, ids: Collection[str]) -> Cards:
        """The cards of those who are known, in one read."""

    async def cards_for(self, caller: str, others: Collection[str]) -> Cards:
        """The cards of those who are known, in one read; raises NotAllowed if the caller is not."""

    async def cards_with(self, person: str, others: Collection[str]) -> Cards:
        """The cards of those who are known, in one read; raises NotFound if the person is not."""

    async def recorded(self, ids: Collection[str]) -> Mapping[str, Person]:
        """Those who are known, with their profiles, in one read."""


class Reminders(Protocol):
    """What this room needs of the reminders room."""

    async def active_for(self, user_id: str, stream_ids: Collection[str]) -> Collection[str]:
        """Those of the streams for which the person has an active reminder, in one read."""


class Showcase(Protocol):
    """What this room needs of the streams room."""

    def shown(self, document: Mapping[str, Any], caller: str | None, cards: Cards) -> LiveStream:
        """A stored stream as the caller sees it."""


class FeedRoom(FeedServiceServicer):
    """Answers FeedService."""

    def __init__(
        self,
        *,
        feeds: Feeds,
        rankings: Rankings,
        showcase: Showcase,
        people: People,
        reminders: Reminders,
        clock: Callable[[], datetime],
    ) -> None:
        self._feeds = feeds
        self._rankings = rankings
        self._showcase = showcase
        self._people = people
        self._reminders = reminders
        self._clock = clock

    async def ListStreams(self, request: rpc.ListStreamsRequest, context: Context) -> rpc.ListStreamsResponse:  # noqa: ARG002 - gRPC's signature
        found = await self._part(listings.newest(), limit_of(request, ALL), request.cursor)
        cards = await self._people.cards_for(current_caller().id, found.people)
        return rpc.ListStreamsResponse(streams=self._shown(found, cards), next_cursor=found.cursor)

    async def ListFeaturedStreams(
        self,
        request: rpc.ListFeaturedStreamsRequest,  # noqa: ARG002 - gRPC's signature
        context: Context,  # noqa: ARG002 - gRPC's signature
    ) -> rpc.ListFeaturedStreamsResponse:
        ranked = await self._rankings.featured()
        found = await self._feeds.read(listings.among(ranked), FEATURED_LENGTH)
        streams = self._shown(found, await self._people.cards(found.people))
        return rpc.ListFeaturedStreamsResponse(streams=sorted(streams, key=lambda each: ranked.index(each.id)))

    async def ListCatchStreamers(
        self,
        request: rpc.ListCatchStreamersRequest,
        context: Context,  # noqa: ARG002 - gRPC's signature
    ) -> rpc.ListCatchStreamersResponse:
        found = await self._part(listings.live(), limit_of(request, STREAMERS, cut=True), request.cursor)
        streams = self._shown(found, await self._people.cards(found.people))
        streamers = [rpc.CatchStreamer(creator=each.creator, active_live_stream=each) for each in streams]
        return rpc.ListCatchStreamersResponse(streamers=streamers, next_cursor=found.cursor)

    async def ListStreamsLiveNow(
        self,
        request: rpc.ListStreamsLiveNowRequest,
        context: Context,  # noqa: ARG002 - gRPC's signature
    ) -> rpc.ListStreamsLiveNowResponse:
        listing = listings.live()
        found, pagination = await self._page(listing, page_asked(request, listing))
        page = self._shown_page(found, pagination, await self._people.cards(found.people))
        return rpc.ListStreamsLiveNowResponse(page=page, next_cursor=found.cursor)

    async def ListStreamsForYou(
        self,
        request: rpc.ListStreamsForYouRequest,
        context: Context,  # noqa: ARG002 - gRPC's signature
    ) -> rpc.ListStreamsForYouResponse:
        caller = current_caller().id
        person = (await self._people.recorded([caller])).get(caller)
        interests = set(person.profile.interests) if person else set()
        listing = listings.for_you(selection_of(request), interests)
        asked = page_mended(request, listing)
        found, pagination = await self._page(listing, asked) if interests else (Slice(()), asked.page.of(0))
        page = self._shown_page(found, pagination, await self._people.cards_for(caller, found.people))
        return rpc.ListStreamsForYouResponse(page=page, next_cursor=found.cursor)

    async def ListGuestStreams(
        self,
        request: rpc.ListGuestStreamsRequest,
        context: Context,  # noqa: ARG002 - gRPC's signature
    ) -> rpc.ListGuestStreamsResponse:
        caller = current_caller().id
        listing = guest_streams_of(request, caller)
        found, pagination = await self._page(listing, page_asked(request, listing))
        page = self._shown_page(found, pagination, await self._people.cards_for(caller, found.people))
        return rpc.ListGuestStreamsResponse(page=page, next_cursor=found.cursor)

    async def ListUpcomingStreams(
        self,
        request: rpc.ListUpcomingStreamsRequest,
        context: Context,  # noqa: ARG002 - gRPC's signature
    ) -> rpc.ListUpcomingStreamsResponse:
        person = object_id("user_id", request.user_id)
        listing = listings.upcoming(person, *window_of(request, self._clock()))
        found = await self._feeds.read(listing, limit_of(request, UPCOMING, cut=True))
        cards = await self._people.cards_with(person, found.people)
        return rpc.ListUpcomingStreamsResponse(streams=await self._shown_upcoming(found, cards))

    async def ListMyUpcomingStreams(
        self,
        request: rpc.ListMyUpcomingStreamsRequest,
        context: Context,  # noqa: ARG002 - gRPC's signature
    ) -> rpc.ListMyUpcomingStreamsResponse:
        caller = current_caller().id
        listing = listings.upcoming(caller, *window_of(request, self._clock()))
        found = await self._feeds.read(listing, limit_of(request, UPCOMING, cut=True))
        cards = await self._people.cards_for(caller, found.people)
        return rpc.ListMyUpcomingStreamsResponse(streams=await self._shown_upcoming(found, cards))

    async def GetActiveStream(
        self,
        request: rpc.GetActiveStreamRequest,
        context: Context,  # noqa: ARG002 - gRPC's signature
    ) -> rpc.GetActiveStreamResponse:
        person = object_id("user_id", request.user_id)
        found = await self._feeds.read(listings.hosted_now(person), 1)
        streams = self._shown(found, await self._people.cards_with(person, found.people))
        return rpc.GetActiveStreamResponse(live_stream=next(iter(streams), None))

    async def GetMyActiveStream(
        self,
        request: rpc.GetMyActiveStreamRequest,  # noqa: ARG002 - gRPC's signature
        context: Context,  # noqa: ARG002 - gRPC's signature
    ) -> rpc.GetMyActiveStreamResponse:
        caller = current_call().caller
        if caller is None:
            return rpc.GetMyActiveStreamResponse()
        found = await self._feeds.read(listings.hosted_now(caller.id), 1)
        streams = self._shown(found, await self._people.cards(found.people))
        return rpc.GetMyActiveStreamResponse(live_stream=next(iter(streams), None))

    async def ListPastStreams(
        self,
        request: rpc.ListPastStreamsRequest,
        context: Context,  # noqa: ARG002 - gRPC's signature
    ) -> rpc.ListPastStreamsResponse:
        person = object_id("user_id", request.user_id)
        found = await self._part(listings.past(person), limit_of(request, PAST), request.cursor)
        cards = await self._people.cards_with(person, found.people)
        return rpc.ListPastStreamsResponse(streams=self._shown(found, cards), next_cursor=found.cursor)

    async def ListMyPastStreams(
        self,
        request: rpc.ListMyPastStreamsRequest,
        context: Context,  # noqa: ARG002 - gRPC's signature
    ) -> rpc.ListMyPastStreamsResponse:
        caller = current_caller().id
        found = await self._part(listings.past(caller), limit_of(request, PAST), request.cursor)
        cards = await self._people.cards_for(caller, found.people)
        return rpc.ListMyPastStreamsResponse(streams=self._shown(found, cards), next_cursor=found.cursor)

    async def ListMyBroadcastedStreams(
        self,
        request: rpc.ListMyBroadcastedStreamsRequest,
        context: Context,  # noqa: ARG002 - gRPC's signature
    ) -> rpc.ListMyBroadcastedStreamsResponse:
        caller = current_caller().id
        listing = listings.broadcasted(caller)
        found, pagination = await self._page(listing, page_asked(request, listing))
        page = self._shown_page(found, pagination, await self._people.cards_for(caller, found.people))
        return rpc.ListMyBroadcastedStreamsResponse(page=page, next_cursor=found.cursor)

    async def ListMyWatchedStreams(
        self,
        request: rpc.ListMyWatchedStreamsRequest,
        context: Context,  # noqa: ARG002 - gRPC's signature
    ) -> rpc.ListMyWatchedStreamsResponse:
        caller = current_caller().id
        listing = listings.watched(caller)
        found, pagination = await self._page(listing, page_asked(request, listing))
        page = self._shown_page(found, pagination, await self._people.cards_for(caller, found.people))
        for each in page.list:
            each.role = ROLE_AUDIENCE
        return rpc.ListMyWatchedStreamsResponse(page=page, next_cursor=found.cursor)

    async def ListMostWatchedCreators(
        self,
        request: rpc.ListMostWatchedCreatorsRequest,  # noqa: ARG002 - gRPC's signature
        context: Context,  # noqa: ARG002 - gRPC's signature
    ) -> rpc.ListMostWatchedCreatorsResponse:
        ranked = await self._rankings.creators()
        people = await self._people.recorded(ranked)
        creators = [_creator(people[each].card, people[each].profile) for each in ranked if each in people]
        return rpc.ListMostWatchedCreatorsResponse(creators=creators)

    async def _part(self, listing: Listing, limit: int, cursor: str) -> Slice:
        return await self._feeds.read(listing, limit, after=position(cursor, listing.name))

    async def _page(self, listing: Listing, asked: Asked) -> tuple[Slice, Pagination | None]:
        """The part of the list, and where it lies in the whole, which is counted only for pages by number."""
        if asked.after:
            return await self._feeds.read(listing, asked.page.limit, after=asked.after), None
        found = await self._feeds.read(listing, asked.page.limit, skip=asked.page.skip)
        return found, asked.page.of(await self._feeds.count(listing))

    def _shown(self, found: Slice, cards: Cards) -> list[LiveStream]:
        caller = current_call().caller
        return [self._showcase.shown(each, caller.id if caller else None, cards) for each in found.documents]

    def _shown_page(self, found: Slice, pagination: Pagination | None, cards: Cards) -> rpc.StreamPage:
        return rpc.StreamPage(list=self._shown(found, cards), pagination=pagination)

    async def _shown_upcoming(self, found: Slice, cards: Cards) -> list[rpc.UpcomingStream]:
        caller, streams = current_call().caller, self._shown(found, cards)
        if caller is None:
            return [rpc.UpcomingStream(live_stream=each) for each in streams]
        reminded = await self._reminders.active_for(caller.id, [each.id for each in streams])
        return [rpc.UpcomingStream(live_stream=each, is_reminder_active=each.id in reminded) for each in streams]


def _creator(card: UserSummary, profile: PersonProfile) -> rpc.MostWatchedCreator:
    return rpc.MostWatchedCreator(
        id=card.id,
        username=card.username,
        name=card.name,
        surname=card.surname,
        availability_status=card.availability_status,
        profile_photo=card.profile_photo if card.HasField("profile_photo") else None,
        expertise=profile.expertise if profile.HasField("expertise") else None,
    )

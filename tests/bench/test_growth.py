"""The measurement of growth: its crowded database answers like one, and its chart says what was measured."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from bench import population, stub
from bench.growth import chart
from bench.growth.chart import Line, Panel
from bench.growth.stub import CHANGE, CROWDED, VIEWERS_FROM, Connection, Crowd
from bson import ObjectId

from livestream.v1.audience_service_pb2 import GetStreamStatisticsRequest, ListViewersRequest
from livestream.v1.audience_service_pb2_grpc import AudienceServiceStub
from livestream.v1.feed_service_pb2 import ListStreamsLiveNowRequest, ListStreamsRequest
from livestream.v1.feed_service_pb2_grpc import FeedServiceStub
from livestream.v1.live_stream_pb2 import ROLE_AUDIENCE
from livestream.v1.live_stream_service_pb2 import JoinStreamRequest
from livestream.v1.watch_service_pb2 import WatchStreamRequest
from livestream.v1.watch_service_pb2_grpc import WatchServiceStub
from tests.support.environment import ServiceEnvironment, metadata, open_environment, settings_for

STREAMS, PARTICIPANTS = 5_000, 1_200
CROWDED_STREAM, VIEWER = population.stream_id(0), metadata(population.user_id(VIEWERS_FROM))


@pytest.fixture(scope="module")
async def port() -> AsyncIterator[int]:
    server, port = await stub.start(lambda hello: Crowd(hello, STREAMS, PARTICIPANTS), connection=Connection)
    async with server:
        yield port


@pytest.fixture(scope="module")
async def env(port: int, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServiceEnvironment]:
    media: Path = tmp_path_factory.mktemp("media")
    async with open_environment(settings_for(stub.uri(port), population.DATABASE, media)) as opened:
        yield opened


async def test_every_viewer_of_the_crowd_is_counted(env: ServiceEnvironment) -> None:
    """Figures by the number of users mean nothing if fewer are read."""
    audience: Any = AudienceServiceStub(env.channel)
    viewers = await audience.ListViewers(ListViewersRequest(live_stream_id=CROWDED_STREAM), metadata=VIEWER)
    assert (len(viewers.page.list), viewers.page.participant_audience_total) == (20, PARTICIPANTS)
    found = await audience.ListViewers(ListViewersRequest(live_stream_id=CROWDED_STREAM, search="a"), metadata=VIEWER)
    assert (len(found.page.list), found.page.pagination.total_items) == (PARTICIPANTS // 100, PARTICIPANTS // 100)
    told = await audience.GetStreamStatistics(
        GetStreamStatisticsRequest(live_stream_id=CROWDED_STREAM), metadata=VIEWER
    )
    assert told.total_viewers == PARTICIPANTS
    empty = GetStreamStatisticsRequest(live_stream_id=population.stream_id(CROWDED))
    assert (await audience.GetStreamStatistics(empty, metadata=VIEWER)).total_viewers == 0


async def test_every_stream_is_listed_and_found(env: ServiceEnvironment) -> None:
    """The same for streams, of which none is stored."""
    feeds: Any = FeedServiceStub(env.channel)
    live = await feeds.ListStreamsLiveNow(ListStreamsLiveNowRequest(), metadata=VIEWER)
    assert live.page.pagination.total_items == STREAMS
    newest = (await feeds.ListStreams(ListStreamsRequest(limit=2), metadata=VIEWER)).streams
    assert [each.id for each in newest] == [population.stream_id(STREAMS - 1), population.stream_id(STREAMS - 2)]
    joined = []
    for _ in range(2):
        request = JoinStreamRequest(live_stream_id=newest[0].id, role=ROLE_AUDIENCE)
        joined.append((await env.streams.JoinStream(request, metadata=VIEWER)).agora.uid)
    assert joined[0] == joined[1]


async def test_a_change_reaches_the_watchers(env: ServiceEnvironment, port: int) -> None:
    """What a change costs can only be measured if it is told."""
    watch: Any = WatchServiceStub(env.channel)
    answers = watch.WatchStream(WatchStreamRequest(live_stream_id=CROWDED_STREAM), metadata=VIEWER, timeout=20)
    snapshot = (await answers.read()).snapshot
    assert snapshot.viewer_count == PARTICIPANTS
    await asyncio.sleep(0.2)  # until the notifier is heard
    counts = await asyncio.to_thread(stub.Counts, port)
    await asyncio.to_thread(counts.ask, {CHANGE: 1, "stream": ObjectId(CROWDED_STREAM)})
    assert (await answers.read()).broadcaster.user == population.user_id(0)
    counts.close()
    answers.cancel()


def test_the_image_has_every_line_where_it_belongs() -> None:
    """An image that leaves out what grows is worse than none."""
    panel = Panel(
        "CPU <by> streams", [Line("flat", [(1_000, 1), (1_000_000, 1)]), Line("grows", [(1_000, 1), (1_000_000, 100)])]
    )
    drawn = ET.fromstring(chart.drawn("Growth", [panel, panel]))
    lines = [each for each in drawn.iter() if each.tag.endswith("polyline")]
    assert len(lines) == 4
    flat, grows = ([tuple(map(float, each.split(","))) for each in line.attrib["points"].split()] for line in lines[:2])
    assert flat[0][1] == flat[1][1] == grows[0][1] > grows[1][1] > 0
    assert {"flat", "grows", "CPU <by> streams", "1k", "1M"} <= {each.text for each in drawn.iter() if each.text}

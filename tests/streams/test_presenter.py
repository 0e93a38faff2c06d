"""The message of a stream that has not changed is not built anew, and that of a changed one always is."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from livestream.v1.live_stream_pb2 import LIVE_STREAM_STATUS_ENDED, ROLE_HOST
from livestream.v1.user_pb2 import UserSummary
from livestream_server.streams import presenter
from livestream_server.streams.model import Broadcaster, Stream
from livestream_server.streams.presenter import StreamPresenter
from livestream_server.vocabulary import Role, Status, StreamType

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
AYSE = "a" * 24
STREAM = Stream(
    id="b" * 24,
    title="Songs",
    type=StreamType.SOLO,
    channel_name=f"songs-{'b' * 24}",
    creator=AYSE,
    broadcasters=(Broadcaster(AYSE, Role.HOST, 7),),
    thumbnail=None,
    status=Status.ACTIVE,
    price=None,
    interest=None,
    duration_goal=None,
    motivation=None,
    planned_start=None,
    planned_end=None,
    started_at=NOON,
    ended_at=None,
    created_at=NOON,
    updated_at=NOON,
)


class Images:
    def url(self, key: str | None) -> str:
        return f"https://images.test/{key}"


def summary(username: str) -> UserSummary:
    return UserSummary(id=AYSE, username=username)


def test_the_same_again_is_not_built_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd that joins one stream would build it for each of them."""
    shown = StreamPresenter(Images())
    first = shown.present(STREAM, None, {AYSE: summary("ayse")})
    monkeypatch.delattr(presenter, "present_stream")
    again = shown.present(STREAM, None, {AYSE: summary("ayse")})
    assert again == first
    assert again is not first  # whoever changes one does not change the other


def test_whatever_changes_is_shown() -> None:
    """Somebody would see a stream as it was, or a name as it was, or the role of another."""
    shown = StreamPresenter(Images()).present
    for _ in range(2):
        assert shown(STREAM, None, {AYSE: summary("ayse")}).creator.username == "ayse"
        assert shown(STREAM, None, {AYSE: summary("renamed")}).creator.username == "renamed"
        assert not shown(STREAM, None, {}).HasField("creator")
        assert shown(STREAM, Role.HOST, {AYSE: summary("ayse")}).role == ROLE_HOST
        assert shown(STREAM, None, {AYSE: summary("ayse")}).role != ROLE_HOST
        ended = replace(STREAM, status=Status.ENDED)
        assert shown(ended, None, {AYSE: summary("ayse")}).status == LIVE_STREAM_STATUS_ENDED

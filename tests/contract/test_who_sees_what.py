"""Who may call what about a stream: a row for every RPC, so that a new one must say whom it lets in."""

import itertools
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from livestream.v1.access_pb2 import Access
from livestream_gateway.app import create_app
from livestream_gateway.contract import Route, Rpc, build_rpc, every_route
from livestream_gateway.invoker import LocalInvoker
from livestream_gateway.settings import GatewaySettings
from tests.contract.scene import OK, RELATIONS, Outcome, Scene, nowhere, over_grpc, over_rest, set_up
from tests.contract.test_descriptors import every_rpc
from tests.support.environment import ServiceEnvironment, open_environment, settings_for

Row = Mapping[str, str]

RPCS: Mapping[str, Rpc] = {each.name: build_rpc(each) for each in every_rpc()}
ROUTES: Mapping[str, Route] = {}
for _route in every_route():
    ROUTES.setdefault(_route.rpc.method.name, _route)  # type: ignore[attr-defined]


def row(others: str = OK, **but: str) -> Row:
    """What each relation is answered with: `others`, unless they are named."""
    outside = {"unregistered": "REGISTRATION_INCOMPLETE", "anonymous": "UNAUTHENTICATED"}
    return changed({**dict.fromkeys(RELATIONS, others), **outside}, **but)


def changed(before: Row, **but: str) -> Row:
    return {**before, **{name.replace("_", " "): reason for name, reason in but.items()}}


REGISTERED = row()
EVERYONE = row(unregistered=OK, anonymous=OK)
SERVICES = row("MISSING_SCOPE", unregistered="MISSING_SCOPE")
CREATOR = row("NOT_THE_CREATOR", creator=OK)
MAKER = row("NOT_YOUR_BAN", creator=OK)
INSIDE = row(banned_viewer="BANNED", banned_guest="BANNED")
AUDIENCE = changed(INSIDE, stranger="PAYMENT_REQUIRED")
"""Who sees the audience of a paid stream."""

TICKETS = changed(AUDIENCE, creator="PAYMENT_REQUIRED", guest="PAYMENT_REQUIRED", moderator="PAYMENT_REQUIRED")
"""Who may sit in it: the creator, too, has a ticket or a place on the stage."""

TABLE: Mapping[str, Row] = {
    "CreateStream": REGISTERED,
    "JoinStream": INSIDE,  # as audience
    "GetStream": REGISTERED,
    "RenewTokens": changed(INSIDE, stranger="NOT_JOINED", moderator="NOT_JOINED"),
    "LeaveStream": REGISTERED,
    "EndStream": changed(CREATOR, moderator=OK),
    "CancelStream": row("NOT_A_BROADCASTER", creator=OK, guest=OK, banned_viewer="BANNED", banned_guest="BANNED"),
    "DeleteStream": CREATOR,
    "WatchStream": INSIDE,
    "ListViewers": INSIDE,
    "GetStreamStatistics": INSIDE,
    "CreateBan": CREATOR,
    "ListBans": CREATOR,
    "GetBan": MAKER,
    "CheckBan": changed(CREATOR, banned_viewer=OK),
    "DeleteBan": MAKER,
    "SetReminder": REGISTERED,  # it tells what feeds tell
    "ClaimDueReminders": SERVICES,
    "GrantAccess": SERVICES,
    "PutUser": SERVICES,
    "ReceiveNotification": row("NOTIFICATIONS_OFF", unregistered="NOTIFICATIONS_OFF", anonymous="NOTIFICATIONS_OFF"),
    "ListStreams": REGISTERED,
    "ListFeaturedStreams": EVERYONE,
    "ListCatchStreamers": EVERYONE,
    "ListStreamsLiveNow": EVERYONE,
    "ListStreamsForYou": REGISTERED,
    "ListGuestStreams": REGISTERED,
    "ListUpcomingStreams": EVERYONE,
    "GetActiveStream": EVERYONE,
    "ListPastStreams": EVERYONE,
    "ListMyBroadcastedStreams": REGISTERED,
    "ListMyWatchedStreams": REGISTERED,
    "ListMostWatchedCreators": EVERYONE,
}
PAID: Mapping[str, Row] = {
    "JoinStream": TICKETS,
    "RenewTokens": changed(AUDIENCE, moderator="PAYMENT_REQUIRED"),
    "ListViewers": AUDIENCE,
    "GetStreamStatistics": AUDIENCE,
}
"""Where a price makes a difference."""

BEFORE_THE_START = {"CancelStream", "DeleteStream", "SetReminder"}
CHANGING = {"JoinStream", "LeaveStream", "EndStream", "CancelStream", "DeleteStream", "CreateBan", "DeleteBan"}
SECRET_HOLDERS = {"JoinStream", "RenewTokens"}

_seeds = itertools.count(int(time.time() * 1000) << 8)


@pytest.fixture(scope="module")
async def env(mongo_uri: str, database_name: str, media: Path) -> AsyncIterator[ServiceEnvironment]:
    settings = settings_for(mongo_uri, database_name, media, user_cache_seconds=600.0)
    async with open_environment(settings) as opened:
        yield opened


@pytest.fixture(scope="module")
def app(env: ServiceEnvironment) -> Any:
    """The gateway on the same handlers."""
    return create_app(
        LocalInvoker(env.service.handlers), settings=GatewaySettings(), ready=lambda: True, media_directory=None
    )


class Stage:
    """Scenes, kept for the calls that leave them as they are."""

    def __init__(self, env: ServiceEnvironment) -> None:
        self._env = env
        self._kept: dict[tuple[Any, ...], Scene] = {}

    async def scene(self, *, fresh: bool, **how: Any) -> Scene:
        key = tuple(sorted(how.items()))
        if fresh or key not in self._kept:
            self._kept[key] = await set_up(self._env, next(_seeds), **how)
        return self._kept[key]


@pytest.fixture(scope="module")
def stage(env: ServiceEnvironment) -> Stage:
    return Stage(env)


def test_every_rpc_says_whom_it_lets_in() -> None:
    """Whoever adds an RPC must decide what the banned, those who have not paid, and strangers may do with it."""
    assert TABLE.keys() == RPCS.keys()
    assert {*PAID, *CHANGING, *BEFORE_THE_START, *SECRET_HOLDERS} <= TABLE.keys()
    for name, each in RPCS.items():
        level = each.access.level
        assert (TABLE[name]["anonymous"] == "UNAUTHENTICATED") is (
            level in (Access.LEVEL_REQUIRED, Access.LEVEL_INTERNAL)
        )
        assert (TABLE[name]["unregistered"] == "REGISTRATION_INCOMPLETE") is (level == Access.LEVEL_REQUIRED)


@pytest.mark.parametrize("state", ["live", "ended"])
@pytest.mark.parametrize("paid", [False, True], ids=["free", "paid"])
@pytest.mark.parametrize("name", TABLE)
async def test_everybody_is_answered_as_their_relation_to_the_stream_allows(
    env: ServiceEnvironment, app: Any, stage: Stage, name: str, paid: bool, state: str
) -> None:
    """Over gRPC and over REST alike; and nobody but those who enter is ever told the message channel."""
    if state == "ended" and name not in {"GetStream", "LeaveStream", "WatchStream", "GetStreamStatistics"}:
        return
    state = "preparing" if name in BEFORE_THE_START else state.replace("live", "active")
    wanted = PAID.get(name, TABLE[name]) if paid else TABLE[name]
    rpc, route = RPCS[name], ROUTES.get(name)
    with capture_logs() as logs:
        for relation in RELATIONS:
            how = {"paid": paid, "state": state, "ban_guest": relation == "banned guest"}
            scene = await stage.scene(fresh=name in CHANGING, **how)
            told = await over_grpc(env, rpc, scene, relation)
            assert (relation, told.reason) == (relation, wanted[relation])
            _keeps_the_secret(told, name, scene)
            if route:
                scene = await stage.scene(fresh=name in CHANGING, **how)
                answered = await over_rest(app, route, scene, relation)
                assert (relation, answered.status) == (relation, told.status)
                _keeps_the_secret(answered, name, scene)
            assert not scene.rtm_channel or scene.rtm_channel not in repr(logs)


def _keeps_the_secret(outcome: Outcome, name: str, scene: Scene) -> None:
    if scene.rtm_channel:
        let_in = name in SECRET_HOLDERS and outcome.reason == OK
        assert (scene.rtm_channel.encode() in outcome.said) is let_in


@pytest.mark.parametrize("name", [name for name in TABLE if TABLE[name]["unregistered"] == "REGISTRATION_INCOMPLETE"])
async def test_the_unregistered_are_told_the_same_whatever_exists(
    env: ServiceEnvironment, app: Any, stage: Stage, name: str
) -> None:
    """Else anyone who signs up could try out ids, and learn which streams and bans there are."""
    scene = await stage.scene(fresh=False, paid=False, state="active", ban_guest=False)
    rpc, route = RPCS[name], ROUTES[name]
    there, absent = [await over_grpc(env, rpc, each, "unregistered") for each in (scene, nowhere(scene))]
    assert (there.status, there.reason, there.message) == (absent.status, absent.reason, absent.message)
    there, absent = [await over_rest(app, route, each, "unregistered") for each in (scene, nowhere(scene))]
    assert (there.status, there.message) == (absent.status, absent.message)

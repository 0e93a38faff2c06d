"""Bans over REST, against the whole system."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.support.environment import LiveService

BANS = "/api/v1/live-stream-ban"
KEYS = "_id targetUserId targetUser liveStreamId actionType reason createdBy deletedAt deletedBy createdAt updatedAt"


@pytest.fixture(scope="module")
def client(live_service: LiveService) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=live_service.http_url, timeout=20) as client:
        yield client


@pytest.fixture(scope="module")
def as_(live_service: LiveService) -> Any:
    return lambda name: {"authorization": f"Bearer {live_service.token(name)}"}


@pytest.fixture
def stream_id(client: httpx2.Client, as_: Any) -> str:
    answer = client.post("/api/v1/live-stream/create", json={"title": "t"}, headers=as_("ayse"))
    return str(answer.json()["data"]["id"])


def test_a_ban_has_the_documented_shape_from_first_to_last(
    client: httpx2.Client, as_: Any, stream_id: str, live_service: LiveService
) -> None:
    """Apps parse these keys, and compare the kind of a ban in upper case."""
    john = live_service.user_id("john")
    asked = {"liveStreamId": stream_id, "targetUserId": john, "reason": "spam"}
    answer = client.post(BANS, json=asked, headers=as_("ayse"))
    ban = answer.json()["data"]
    assert answer.status_code == 200
    assert list(ban) == KEYS.split()
    assert (ban["actionType"], ban["reason"], ban["targetUser"]["username"]) == ("BLOCK", "spam", "john")
    assert (ban["deletedAt"], ban["deletedBy"]) == (None, None)

    repeated = client.post(BANS, json=asked, headers=as_("ayse"))
    assert (repeated.status_code, repeated.json()["data"]) == (409, None)
    assert client.get(f"{BANS}/{ban['_id']}", headers=as_("ayse")).json()["data"] == ban
    check = f"{BANS}/check/{john}"
    checked = client.get(check, params={"liveStreamId": stream_id}, headers=as_("ayse"))
    assert checked.json()["data"] == {"isBanned": True, "ban": ban}
    own = client.get(check, params={"liveStreamId": stream_id}, headers=as_("john")).json()["data"]
    assert own == {"isBanned": True, "ban": ban | {"createdBy": None}}
    assert client.get(check, headers=as_("ayse")).status_code == 400
    joined = client.post("/api/v1/live-stream/join", json={"liveStreamId": stream_id}, headers=as_("john"))
    assert (joined.status_code, joined.json()["errors"][0]) == (403, "Insufficient permissions")

    lifted = client.delete(f"{BANS}/{ban['_id']}", headers=as_("ayse"))
    assert lifted.status_code == 200
    assert lifted.json()["data"]["deletedBy"] == live_service.user_id("ayse")
    assert lifted.json()["data"]["deletedAt"] is not None
    checked = client.get(check, params={"liveStreamId": stream_id}, headers=as_("ayse"))
    assert checked.json()["data"] == {"isBanned": False, "ban": None}


def test_the_kind_of_a_ban_is_read_in_upper_case(
    client: httpx2.Client, as_: Any, stream_id: str, live_service: LiveService
) -> None:
    """`CHAT_ONLY` that is taken for something else would shut a user out."""
    asked = {"liveStreamId": stream_id, "targetUserId": live_service.user_id("jane"), "actionType": "CHAT_ONLY"}
    ban = client.post(BANS, json=asked, headers=as_("ayse")).json()["data"]
    assert ban["actionType"] == "CHAT_ONLY"
    wrong = client.post(BANS, json=asked | {"actionType": "chat_only"}, headers=as_("ayse"))
    assert (wrong.status_code, wrong.json()["errors"][1]) == (400, "actionType: must be one of: BLOCK, CHAT_ONLY")


def test_the_list_is_a_page_with_filters(
    client: httpx2.Client, as_: Any, stream_id: str, live_service: LiveService
) -> None:
    """The names of the filters are part of the API; a limit out of range is refused, not bent."""
    for name in ("john", "jane"):
        asked = {"liveStreamId": stream_id, "targetUserId": live_service.user_id(name)}
        assert client.post(BANS, json=asked, headers=as_("ayse")).status_code == 200

    def listed(**query: str) -> Any:
        return client.get(BANS, params={"liveStreamId": stream_id, **query}, headers=as_("ayse")).json()

    page = listed(limit="1")["data"]
    assert list(page) == ["list", "pagination"]
    assert [list(each) for each in page["list"]] == [KEYS.split()]
    assert page["pagination"] == {
        "currentPage": 1,
        "totalPages": 2,
        "totalItems": 2,
        "itemsPerPage": 1,
        "hasNextPage": True,
        "hasPrevPage": False,
    }
    (ban,) = listed(bannedUser="john", actionType="BLOCK", **{"from": "2026-01-01T00:00:00Z"})["data"]["list"]
    assert ban["targetUser"]["username"] == "john"
    assert listed(to="2020-01-01T00:00:00.000Z")["data"]["list"] == []
    assert listed(targetUserId=ban["targetUserId"])["data"]["pagination"]["itemsPerPage"] == 10
    for query, field in (({"limit": "101"}, "limit"), ({"page": "0"}, "page"), ({"from": "yesterday"}, "from")):
        refused = listed(**query)
        assert (refused["statusCode"], refused["errors"][1].partition(":")[0]) == (400, field)

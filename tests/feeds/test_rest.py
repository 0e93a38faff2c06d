"""The lists as the public API writes them."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from livestream_server.clock import utc_now
from livestream_server.vocabulary import Status
from tests.feeds.conftest import Stage
from tests.support.environment import IDS, LiveService

GOLDEN = Path(__file__).parents[1] / "contract" / "golden" / "join-as-creator.json"
LIVE_STREAM = list(json.loads(GOLDEN.read_text())["data"]["liveStream"])
PAGINATION = ["currentPage", "totalPages", "totalItems", "itemsPerPage", "hasNextPage", "hasPrevPage"]
AYSE = IDS["ayse"]
V1, V2 = "/api/v1/live-stream", "/api/v2/live-stream"


def get(service: LiveService, path: str, token: str | None = "ayse") -> tuple[int, Any]:
    """Status and envelope."""
    headers = {"authorization": f"Bearer {service.token(token) if token in IDS else token}"} if token else {}
    request = urllib.request.Request(f"{service.http_url}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.fixture(scope="module")
async def service(live_service: LiveService, stage: Stage) -> LiveService:
    """With a stream of ayse and mehmet in each state that a list shows, which john has watched."""
    now = utc_now()
    ended = await stage.stream("ayse", Status.ENDED, guest="mehmet", started_at=now, ended_at=now)
    await stage.stream("ayse", Status.ACTIVE, guest="mehmet", interest="music", started_at=now)
    await stage.stream("ayse", Status.SCHEDULED, guest="mehmet", interest="music", planned_start=now)
    await stage.participant(ended, "john", now)
    await stage.likes("ayse", "music")
    await stage.rank(now)
    return live_service


@pytest.mark.parametrize(
    "path",
    [
        f"{V1}",
        f"{V1}/",
        f"{V1}/featured",
        f"{V1}/my-past-streams",
        f"{V1}/user/{AYSE}/past-streams",
    ],
)
def test_a_plain_list_is_an_array_of_streams(service: LiveService, path: str) -> None:
    """Clients of these paths iterate over `data` itself, and read a stream as everywhere else."""
    status, envelope = get(service, path)
    assert status == 200
    assert envelope["data"]
    assert all(list(each) == LIVE_STREAM for each in envelope["data"])


@pytest.mark.parametrize(
    ("path", "who"),
    [
        ("whats-live-now", None),
        ("for-you/live", "ayse"),
        ("for-you/scheduled", "ayse"),
        ("guest-streams", "mehmet"),
        ("my-broadcasted-streams", "ayse"),
        ("my-watched-streams", "john"),
    ],
)
def test_a_page_has_its_list_and_where_it_lies(service: LiveService, path: str, who: str | None) -> None:
    """`{list, pagination}` and nothing else, whatever gRPC callers get beside it."""
    status, envelope = get(service, f"{V1}/{path}", who)
    assert status == 200
    assert list(envelope["data"]) == ["list", "pagination"]
    assert list(envelope["data"]["pagination"]) == PAGINATION
    assert envelope["data"]["list"]
    assert all(list(each) == LIVE_STREAM for each in envelope["data"]["list"])


def test_an_empty_page_is_a_page(service: LiveService) -> None:
    """A client that reads `list.length` must find a list."""
    data = get(service, f"{V1}/for-you/crowdfunding")[1]["data"]
    assert data["list"] == []
    assert data["pagination"] == dict(zip(PAGINATION, [1, 0, 0, 10, False, False], strict=True))


@pytest.mark.parametrize("base", [V1, V2])
@pytest.mark.parametrize(("path", "who"), [(f"user/{AYSE}", None), (f"user/{AYSE}", "john"), ("my", "ayse")])
def test_an_upcoming_stream_says_last_whether_it_reminds(
    service: LiveService, base: str, path: str, who: str | None
) -> None:
    """One object with the stream's own keys: `isReminderActive` is one more of them, and null for nobody in particular."""
    joint = "-" if path == "my" else "/"
    status, envelope = get(service, f"{base}/{path}{joint}upcoming-live-streams", who)
    assert status == 200
    assert [each["status"] for each in envelope["data"]] == ["active", "scheduled"]
    for each in envelope["data"]:
        assert list(each) == [*LIVE_STREAM, "isReminderActive"]
        assert each["isReminderActive"] is (False if who else None)


def test_the_other_lists_have_items_of_their_own(service: LiveService) -> None:
    """The keys and their order are the contract's."""
    (streamer,) = get(service, f"{V1}/catch-streamers", None)[1]["data"]
    assert list(streamer) == ["creator", "activeLiveStream"]
    assert list(streamer["activeLiveStream"]) == LIVE_STREAM
    assert streamer["creator"]["_id"] == AYSE
    (creator,) = get(service, f"{V1}/most-watched-creators", None)[1]["data"]
    assert list(creator) == [
        "_id",
        "username",
        "name",
        "surname",
        "availabilityStatus",
        "profilePhoto",
        "expertise",
        "isFollowing",
    ]
    assert (creator["expertise"], creator["isFollowing"]) == ("musician", None)


@pytest.mark.parametrize(
    ("path", "who", "found"),
    [
        ("my-active-stream", "ayse", True),
        ("my-active-stream", "mehmet", False),
        ("my-active-stream", None, False),
        (f"user/{AYSE}/active-stream", None, True),
        (f"user/{IDS['john']}/active-stream", "ayse", False),
    ],
)
def test_an_active_stream_is_a_stream_or_null(service: LiveService, path: str, who: str | None, found: bool) -> None:
    """That nobody is live is no failure."""
    status, envelope = get(service, f"{V1}/{path}", who)
    assert status == 200
    assert envelope["isSuccess"] is True
    assert list(envelope["data"]) == LIVE_STREAM if found else envelope["data"] is None


@pytest.mark.parametrize(
    ("query", "page", "limit"),
    [
        ("", 1, 10),
        ("page=0&limit=0", 1, 10),
        ("page=-3&limit=101", 1, 100),
        ("page=abc&limit=1.5", 1, 10),
        ("page=&limit=x", 1, 10),
        ("page=2&limit=1", 2, 1),
        ("page=99999999999&limit=99999999999", 1, 10),
    ],
)
def test_for_you_mends_whatever_the_query_says(service: LiveService, query: str, page: int, limit: int) -> None:
    """The contract clamps there, and old clients rely on it."""
    where = get(service, f"{V1}/for-you/live?{query}")[1]["data"]["pagination"]
    assert (where["currentPage"], where["itemsPerPage"]) == (page, limit)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("my-watched-streams?page=0", "page"),
        ("my-watched-streams?limit=101", "limit"),
        ("my-broadcasted-streams?page=abc", "page"),
        ("guest-streams?sortBy=created_at", "sortBy"),
        ("guest-streams?sortOrder=down", "sortOrder"),
        ("guest-streams?status=cancelled", "status"),
        ("my-past-streams?limit=0", "limit"),
        (f"user/{AYSE}/upcoming-live-streams?hoursBefore=-1", "hoursBefore"),
        (f"user/{AYSE}/upcoming-live-streams?hoursAfter=1&minutesAfter=1", "minutesAfter"),
        ("catch-streamers?limit=-1", "limit"),
        ("user/nobody/past-streams", "userId"),
    ],
)
def test_elsewhere_what_is_out_of_range_is_refused(service: LiveService, path: str, field: str) -> None:
    """The answer names the field as the public API does."""
    status, envelope = get(service, f"{V1}/{path}")
    assert status == 400
    assert envelope["errors"][1].startswith(f"{field}: ")


@pytest.mark.parametrize("path", ["guest-streams?sortBy=plannedStartDate&sortOrder=asc&status=cancelled_by_guest"])
def test_the_contracts_words_are_understood(service: LiveService, path: str) -> None:
    """Keys in camel case, states in snake case: as the public API has them."""
    assert get(service, f"{V1}/{path}")[0] == 200


@pytest.mark.parametrize("query", ["pageToken=nonsense", "pageSize=-1", "page_token=nonsense", f"userId={IDS['john']}"])
def test_what_is_for_grpc_alone_is_ignored(service: LiveService, query: str) -> None:
    """REST has pages and paths; nothing answers with a token, and a query does not turn "my streams" into another's."""
    plain = get(service, f"{V1}/my-past-streams")
    assert plain[1]["data"]
    found = get(service, f"{V1}/my-past-streams?{query}")
    assert (found[0], found[1]["data"]) == (200, plain[1]["data"])


@pytest.mark.parametrize("query", ["", "?limit=abc", f"?userId={AYSE}"])
@pytest.mark.parametrize(
    "path", [f"{V1}/my-past-streams", f"{V1}/my-upcoming-live-streams", f"{V2}/my-upcoming-live-streams"]
)
def test_a_callers_own_list_needs_a_caller_before_anything_else(service: LiveService, path: str, query: str) -> None:
    """One RPC answers for a user and for the caller; its public paths stay as strict as they were."""
    status, envelope = get(service, f"{path}{query}", None)
    assert (status, envelope["errors"][0]) == (401, "Authentication required")


@pytest.mark.parametrize(
    ("path", "anonymous"),
    [("", 401), ("/guest-streams", 401), ("/for-you/live", 401), ("/featured", 200), ("/most-watched-creators", 200)],
)
def test_a_bad_token_is_refused_everywhere(service: LiveService, path: str, anonymous: int) -> None:
    """Open or not: who sends a token wants to be known."""
    assert get(service, f"{V1}{path}", None)[0] == anonymous
    assert get(service, f"{V1}{path}", "not.a.token")[0] == 401

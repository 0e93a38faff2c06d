import asyncio
import re
from typing import Any

import grpc
import httpx2
import pytest
from google.rpc.error_details_pb2 import RetryInfo

from livestream.v1.live_stream_pb2 import Role
from livestream.v1.live_stream_service_pb2 import (
    CreateStreamRequest,
    CreateStreamResponse,
    JoinStreamRequest,
    JoinStreamResponse,
)
from livestream_gateway.exchange import WhileConnected
from livestream_gateway.settings import GatewaySettings
from tests.gateway.fake_service import CREATE, JOIN, TOKEN, FakeService, app_of, client_of, refuse, talk

ID = "64efc0b21a3d2c001234abcd"
COMMON = {"content-type": "application/json", "cache-control": "no-store", "x-content-type-options": "nosniff"}


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def client(service: FakeService) -> httpx2.AsyncClient:
    return client_of(app_of(service))


def errors(response: httpx2.Response) -> list[str]:
    """What a refusal says, after a look at everything that each answer must have."""
    envelope = response.json()
    assert list(envelope) == ["isSuccess", "statusCode", "data", "errors", "timestamp"]
    assert envelope["statusCode"] == response.status_code
    assert envelope["isSuccess"] is response.is_success
    assert COMMON.items() <= dict(response.headers).items()
    assert re.fullmatch(r"[!-~]{1,64}", response.headers["x-request-id"])
    assert len(response.content) <= 1024
    found: list[str] = envelope["errors"]
    return found


async def test_a_join_goes_through(client: httpx2.AsyncClient, service: FakeService) -> None:
    """The very page that this product began with."""

    async def behaviour(request: Any, _context: Any) -> Any:
        return JoinStreamResponse(live_stream={"id": request.live_stream_id}, agora={"uid": 7})

    service.behaviour = behaviour
    response = await client.post("/api/v1/live-stream/join-as-creator", json={"liveStreamId": ID, "role": "audience"})
    assert response.status_code == 200
    assert errors(response) == []
    assert response.json()["data"]["liveStream"]["id"] == ID
    assert response.json()["data"]["agora"]["uid"] == 7
    assert response.json()["data"]["rtm"] is None
    assert service.requests == [JoinStreamRequest(live_stream_id=ID, role=Role.ROLE_HOST)]
    assert service.peers == ["ipv4:192.0.2.7:5123"]


async def test_what_the_path_decides_is_not_looked_for_in_the_body(
    client: httpx2.AsyncClient, service: FakeService
) -> None:
    """Neither its value nor its mistakes count."""
    response = await client.post(JOIN, json={"liveStreamId": ID, "role": {"$ne": None}})
    assert response.status_code == 200
    assert service.requests == [JoinStreamRequest(live_stream_id=ID, role=Role.ROLE_AUDIENCE)]


async def test_a_form_with_a_file_goes_through(client: httpx2.AsyncClient, service: FakeService) -> None:
    """Creating a stream is a form; its answer is the stream itself, with 201."""

    async def behaviour(_request: Any, _context: Any) -> Any:
        return CreateStreamResponse(live_stream={"id": ID})

    service.behaviour = behaviour
    response = await client.post(
        CREATE,
        data={"title": "Söz", "guests": f'["{ID}"]', "price": "9.90", "status": "active"},
        files={"thumbnail": ("../../x.png", b"\x00\xffpicture\r\n--", "text/html")},
    )
    assert response.status_code == 201
    assert response.json()["data"]["id"] == ID
    assert service.requests == [
        CreateStreamRequest(title="Söz", guests=[ID], price={"value": "9.90"}, thumbnail=b"\x00\xffpicture\r\n--")
    ]


@pytest.mark.parametrize(("path", "status"), [("/nothing", 404), ("/api/v1/live-stream/a/b", 404), (CREATE + "/", 404)])
async def test_an_unknown_path_wears_the_envelope(client: httpx2.AsyncClient, path: str, status: int) -> None:
    """Clients parse one shape."""
    response = await client.get(path)
    assert (response.status_code, errors(response)) == (404, ["Resource not found"])


async def test_a_wrong_verb_is_told_the_right_ones(client: httpx2.AsyncClient) -> None:
    """With the header that RFC 9110 demands."""
    response = await client.get(CREATE)
    assert (response.status_code, errors(response)) == (405, ["Method not allowed"])
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("given", "passed_on"),
    [
        ("Bearer a.b.c", "Bearer a.b.c"),
        ("bearer a.b.c", "bearer a.b.c"),
        ("a.b.c", "Bearer a.b.c"),
        ("Basic x", "Bearer Basic x"),
    ],
)
async def test_a_token_is_passed_on_with_or_without_its_scheme(
    client: httpx2.AsyncClient, service: FakeService, given: str, passed_on: str
) -> None:
    """The documentation's playground sends it bare."""
    await client.post(JOIN, json={}, headers={"authorization": given})
    assert service.metadata[0]["authorization"] == passed_on


@pytest.mark.parametrize("token", ["ü.b.c", "a\tb", "x" * 9000])
async def test_a_token_that_metadata_cannot_carry_is_401(
    client: httpx2.AsyncClient, service: FakeService, token: str
) -> None:
    """It is a bad token, not a bad gateway."""
    response = await client.post(JOIN, json={}, headers={"authorization": token.encode("latin-1")})  # type: ignore[dict-item]
    assert response.status_code == 401
    assert errors(response) == ["Authentication required", "a valid bearer token is required"]
    assert response.headers["www-authenticate"] == "Bearer"
    assert not service.requests


async def test_two_tokens_are_none(client: httpx2.AsyncClient, service: FakeService) -> None:
    """Whoever is in between may have judged the other one."""
    response = await client.post(JOIN, json={}, headers=[("authorization", "Bearer a"), ("authorization", "Bearer b")])
    assert response.status_code == 401
    assert errors(response)[0] == "Authentication required"
    assert not service.requests


async def test_without_a_token_the_body_is_not_even_read(service: FakeService) -> None:
    """Strangers must not make us parse megabytes; here not one event of a body would arrive."""
    start, _ = await talk(app_of(service), [(b"content-type", b"application/json")])
    assert start["status"] == 401


@pytest.mark.parametrize("name", ["content-type", "idempotency-key", "x-request-id"])
async def test_a_repeated_header_is_refused(client: httpx2.AsyncClient, service: FakeService, name: str) -> None:
    """Two readers could take two different ones."""
    response = await client.post(JOIN, content=b"{}", headers=[*TOKEN.items(), (name, "a"), (name, "b")])
    assert (response.status_code, errors(response)) == (
        400,
        ["Validation failed", f"the header {name} must be sent once"],
    )
    assert not service.requests


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-1", True), ("~" * 64, True), ("~" * 65, False), ("a b", False), ("", False)]
)
async def test_a_request_id_is_kept_or_made(
    client: httpx2.AsyncClient, service: FakeService, given: str, kept: bool
) -> None:
    """It ties the answer to the log line, and must not carry anything into the log."""
    response = await client.post(JOIN, json={}, headers={"x-request-id": given})
    told = response.headers["x-request-id"]
    assert (told == given) is kept
    assert re.fullmatch(r"[!-~]{1,64}", told)
    assert service.metadata[0]["x-request-id"] == told


async def test_a_trace_goes_on(client: httpx2.AsyncClient, service: FakeService) -> None:
    """One trace from the client to the database; what is no trace is not passed on."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await client.post(JOIN, json={}, headers={"traceparent": trace})
    await client.post(JOIN, json={}, headers={"traceparent": "x\\x"})
    assert [each.get("traceparent") for each in service.metadata] == [trace, None]


async def test_other_headers_stay_here(client: httpx2.AsyncClient, service: FakeService) -> None:
    """A caller must not speak as the gateway: neither for another address nor in gRPC's own headers."""
    forged = {"x-forwarded-for": "10.0.0.1", "grpc-timeout": "1H", "cookie": "a=b"}
    await client.post(JOIN, json={}, headers=forged)
    assert sorted(service.metadata[0]) == ["authorization", "x-request-id"]


async def test_the_idempotency_key_wins_over_the_body(client: httpx2.AsyncClient, service: FakeService) -> None:
    """Retrying clients repeat the header; a message without the field has no use for it."""
    await client.post(CREATE, json={"title": "t", "requestId": "body"}, headers={"idempotency-key": "key-1"})
    await client.post(JOIN, json={}, headers={"idempotency-key": "key-1"})
    assert [getattr(each, "request_id", None) for each in service.requests] == ["key-1", None]


async def test_a_failure_of_the_service_is_told(client: httpx2.AsyncClient, service: FakeService) -> None:
    """Status, fixed string, the service's words, and when to come back."""

    async def behaviour(_request: Any, context: Any) -> Any:
        await refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "slow down", RetryInfo(retry_delay={"seconds": 7}))

    service.behaviour = behaviour
    response = await client.post(JOIN, json={})
    assert (response.status_code, errors(response)) == (429, ["Too many requests", "slow down"])
    assert response.headers["retry-after"] == "7"


async def test_an_unexpected_failure_says_nothing(client: httpx2.AsyncClient, service: FakeService) -> None:
    """Its text is ours."""

    async def behaviour(_request: Any, _context: Any) -> Any:
        raise RuntimeError("secret")

    service.behaviour = behaviour
    response = await client.post(JOIN, json={})
    assert (response.status_code, errors(response)) == (500, ["Internal server error"])


async def test_a_mistake_of_the_gateway_is_a_500_in_an_envelope() -> None:
    """Even then the client gets an answer that it can parse, and nothing of ours."""

    async def broken(*_: Any) -> Any:
        raise RuntimeError("secret")

    app = app_of(FakeService())
    app._invoker = broken
    response = await client_of(app).post(JOIN, json={})
    assert (response.status_code, errors(response)) == (500, ["Internal server error"])


async def test_a_variable_of_the_path_arrives(client: httpx2.AsyncClient) -> None:
    """GetStream is what nobody wrote here, so 500 shows that the path led to it."""
    response = await client.get(f"/api/v1/live-stream/{ID}", params={"liveStreamId": "other"})
    assert (response.status_code, errors(response)) == (500, ["Internal server error"])


async def test_head_is_get_without_a_body(service: FakeService) -> None:
    """Its length included (RFC 9110, section 9.3.2)."""
    get_start, get_body = await talk(app_of(service), [], path="/healthz", method="GET")
    head_start, head_body = await talk(app_of(service), [], path="/healthz", method="HEAD")
    assert (head_start["status"], head_body["body"]) == (200, b"")
    lengths = [dict(each["headers"])[b"content-length"] for each in (get_start, head_start)]
    assert lengths == [b"%d" % len(get_body["body"])] * 2


async def test_health_and_readiness_are_told(service: FakeService) -> None:
    """Alive and able to work are two questions; the answers are constant, so that they tell nothing else."""
    working = True
    client = client_of(app_of(service, ready=lambda: working))
    ready = [await client.get("/readyz") for _ in range(2)]
    assert [(each.status_code, each.content) for each in ready] == [(200, b'{"status":"ok"}')] * 2
    working = False
    response = await client.get("/readyz")
    assert (response.status_code, response.content) == (503, b'{"status":"unavailable"}')
    assert int(response.headers["retry-after"]) > 0
    assert (await client.get("/healthz")).content == b'{"status":"ok"}'


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_probe_is_get_or_head(service: FakeService, method: str, path: str) -> None:
    """Anything else there is a mistake."""
    response = await client_of(app_of(service)).request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")


async def test_extra_applications_have_their_places(service: FakeService) -> None:
    """The API's documentation is plugged in here."""

    async def extra(scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    client = client_of(app_of(service, extra={"/docs": extra, "/docs/": extra}))
    for path in ("/docs", "/docs/", "/docs/page.js"):
        assert (await client.get(path)).text == path
    assert (await client.get("/docsx")).status_code == 404


async def test_other_origins_are_shut_out_unless_configured(service: FakeService) -> None:
    """A page elsewhere may not use a user's token through their browser."""
    preflight = {"origin": "https://app.test", "access-control-request-method": "POST"}
    closed = await client_of(app_of(service)).options(JOIN, headers=preflight)
    assert closed.status_code == 405
    assert "access-control-allow-origin" not in closed.headers

    client = client_of(app_of(service, settings=GatewaySettings(cors_origins=("https://app.test",))))
    opened = await client.options(JOIN, headers=preflight)
    assert opened.headers["access-control-allow-origin"] == "https://app.test"
    refused = await client.post("/nothing", headers={"origin": "https://app.test"})
    assert errors(refused) == ["Resource not found"]
    assert refused.headers["access-control-allow-origin"] == "https://app.test"
    other = await client.post(JOIN, json={}, headers={"origin": "https://evil.test"})
    assert "access-control-allow-origin" not in other.headers


HEADERS = [(b"authorization", b"Bearer x"), (b"content-type", b"application/json")]
WHOLE_BODY = {"type": "http.request", "body": b"{}", "more_body": False}
GONE = {"type": "http.disconnect"}


async def test_a_client_that_goes_away_cancels_its_call(service: FakeService) -> None:
    """Nobody waits for the answer; the work goes to those who do. No task is left behind."""
    ended = asyncio.Event()

    async def behaviour(_request: Any, _context: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    service.behaviour = behaviour
    before = asyncio.all_tasks()
    assert await talk(app_of(service), HEADERS, WHOLE_BODY, GONE) == []
    assert ended.is_set()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    current = asyncio.current_task()
    assert current is not None
    assert not current.cancelling()


@pytest.mark.parametrize("seconds", [0, 3 * WhileConnected.PATIENCE], ids=["quick", "slow"])
async def test_a_call_leaves_no_listener(service: FakeService, seconds: float) -> None:
    """What listens for the client's leaving ends with the call, or never begins."""

    async def behaviour(_request: Any, _context: Any) -> Any:
        await asyncio.sleep(seconds)
        return JoinStreamResponse()

    service.behaviour = behaviour
    before = asyncio.all_tasks()
    start, _ = await talk(app_of(service), HEADERS, WHOLE_BODY)
    assert start["status"] == 200
    await asyncio.sleep(2 * WhileConnected.PATIENCE)
    assert asyncio.all_tasks() == before


async def test_a_cancellation_from_outside_goes_on(service: FakeService) -> None:
    """A server that stops must be able to end its requests."""
    begun = asyncio.Event()

    async def behaviour(_request: Any, _context: Any) -> Any:
        begun.set()
        await asyncio.Event().wait()

    service.behaviour = behaviour
    task = asyncio.create_task(talk(app_of(service), HEADERS, WHOLE_BODY))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_client_that_leaves_before_its_body_is_whole_is_let_go(service: FakeService) -> None:
    """There is no request, and nobody to answer."""
    part = {"type": "http.request", "body": b'{"live', "more_body": True}
    assert await talk(app_of(service), HEADERS, part, GONE) == []
    assert not service.requests


async def test_other_kinds_of_connections_are_left_alone(service: FakeService) -> None:
    """A server asks every application about its lifespan."""
    sent: list[Any] = []
    await app_of(service)({"type": "lifespan"}, None, sent.append)
    assert sent == []

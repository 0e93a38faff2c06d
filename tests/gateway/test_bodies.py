"""Hostile and merely wrong bodies, through the whole gateway."""

import base64
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livestream_gateway.endpoint import BODY_LIMIT, BODY_LIMITS_WITH_FILE, FORM, JSON
from livestream_gateway.transcoding.form import NotAForm, read_form
from tests.gateway.fake_service import CREATE, JOIN, TOKEN, FakeService, app_of, client_of, talk

FORM_HEADER = "multipart/form-data; boundary=b"


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def client(service: FakeService) -> httpx2.AsyncClient:
    return client_of(app_of(service))


def refused(response: httpx2.Response, service: FakeService, status: int) -> list[str]:
    """The further errors of a refusal, which must be short, in the envelope, and must not have reached the service."""
    assert response.status_code == status
    assert not service.requests
    assert len(response.content) <= 1024
    assert response.headers["content-type"] == "application/json"
    found: list[str] = response.json()["errors"][1:]
    return found


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\x0a\x18" + b"a" * 24,
        b'{"title": "a", "title": "b"}',
        b'{"title": NaN}',
        b'{"durationGoal": Infinity}',
        b'{"title": ' + b"[" * 60_000,
        b'{"durationGoal": ' + b"9" * 5000 + b"}",
        b'{"title": "\xff"}',
        b"[1]",
        b'"title"',
        b"null",
    ],
    ids=range(11),
)
async def test_a_body_that_is_no_json_object_is_400(
    client: httpx2.AsyncClient, service: FakeService, body: bytes
) -> None:
    """Malformed, ambiguous, too deep, too long: said in words, and never a 500."""
    response = await client.post(CREATE, content=body, headers={"content-type": "application/json"})
    said = refused(response, service, 400)
    assert said in (["the body must be valid JSON without repeated keys"], ["the body must be a JSON object"])


async def test_ill_typed_fields_are_400_all_at_once(client: httpx2.AsyncClient, service: FakeService) -> None:
    """By their public names."""
    response = await client.post(CREATE, json={"title": {"$gt": ""}, "durationGoal": "60", "guests": [1]})
    assert refused(response, service, 400) == [
        "title: must be a string",
        "durationGoal: must be a whole number",
        "guests[0]: must be a string",
    ]


async def test_an_empty_body_sets_nothing(client: httpx2.AsyncClient, service: FakeService) -> None:
    """What is missing is the service's to say."""
    assert (await client.post(JOIN)).status_code == 200
    assert (await client.post(JOIN, headers={"content-type": "application/json"})).status_code == 200
    assert [each.live_stream_id for each in service.requests] == ["", ""]


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "application/xml; a=application/json",
        None,
    ],
)
async def test_another_content_type_is_415(
    client: httpx2.AsyncClient, service: FakeService, content_type: str | None
) -> None:
    """A body is never guessed at."""
    headers = {"content-type": content_type} if content_type else {}
    response = await client.post(JOIN, content=b"{}", headers=headers)
    assert refused(response, service, 415) == ["the content-type must be application/json or multipart/form-data"]


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", " application/json ;x"]
)
async def test_a_content_type_may_have_parameters(
    client: httpx2.AsyncClient, service: FakeService, content_type: str
) -> None:
    """Many clients send a charset."""
    response = await client.post(JOIN, content=b"{}", headers={"content-type": content_type})
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("path", "content_type", "limit"),
    [
        (JOIN, "application/json", BODY_LIMIT),
        (JOIN, FORM_HEADER, BODY_LIMIT),
        (CREATE, "application/json", BODY_LIMITS_WITH_FILE[JSON]),
        (CREATE, FORM_HEADER, BODY_LIMITS_WITH_FILE[FORM]),
    ],
)
async def test_a_body_over_the_limit_is_413(
    client: httpx2.AsyncClient, service: FakeService, path: str, content_type: str, limit: int
) -> None:
    """Told by its length, or found while it arrives; one byte less is read and judged."""
    headers = {"content-type": content_type}
    response = await client.post(path, content=b"x" * (limit + 1), headers=headers)
    assert refused(response, service, 413) == [f"the body must be at most {limit} bytes"]
    assert "connection" not in response.headers  # a client that is still sending would miss the answer
    assert (await client.post(path, content=b"x" * limit, headers=headers)).status_code == 400

    endless: dict[str, Any] = {"type": "http.request", "body": b"x" * 65_536, "more_body": True}
    raw = [(b"authorization", b"Bearer x"), (b"content-type", content_type.encode())]
    start, _ = await talk(app_of(service), raw, *[endless] * (limit // 65_536 + 1), path=path)
    assert start["status"] == 413


@pytest.mark.parametrize("unit", [b"[],", b'{"a":1},', b"1.1,", b'"",', b"1,"])
async def test_a_long_body_of_many_small_things_is_413(
    client: httpx2.AsyncClient, service: FakeService, unit: bytes
) -> None:
    """Room for a file is no room for millions of values, which would block everybody else for seconds."""
    body = b'{"x": [' + unit * (BODY_LIMITS_WITH_FILE[JSON] // len(unit) - 10) + b"0]}"
    response = await client.post(CREATE, content=body, headers={"content-type": "application/json"})
    assert refused(response, service, 413) == ["what is not base64 in the body must be at most 65536 bytes"]


@pytest.mark.parametrize("length", ["-1", "+5", "1_0", "0x5", "", "9" * 30])
async def test_a_length_that_is_none_is_refused(client: httpx2.AsyncClient, service: FakeService, length: str) -> None:
    """Servers in front differ in what they let through."""
    headers = {"content-type": "application/json", "content-length": length}
    response = await client.post(JOIN, content=b"{}", headers=headers)
    assert response.status_code == (413 if length.isdigit() else 400)
    assert not service.requests


async def test_a_file_within_the_limit_arrives_either_way(client: httpx2.AsyncClient, service: FakeService) -> None:
    """The promised 5 MiB, as a form and as base64."""
    image = bytes(range(256)) * (5 * 4096)
    assert (await client.post(CREATE, files={"thumbnail": ("p.png", image)})).status_code == 201
    encoded = base64.b64encode(image).decode()
    assert (await client.post(CREATE, json={"thumbnail": encoded})).status_code == 201
    assert [each.thumbnail == image for each in service.requests] == [True, True]


def part(name: str, value: bytes = b"v", more: str = "") -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + value + b"\r\n"


END = b"--b--\r\n"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (FORM_HEADER, b"".join(part(f"f{index}") for index in range(1000)) + END),
        (FORM_HEADER, b"--b\r\n" + b"x-flood: 1\r\n" * 2000 + b"\r\nv\r\n" + END),
        (FORM_HEADER, b"--b\r\nx-long: " + b"a" * 30_000 + b"\r\n\r\nv\r\n" + END),
        (FORM_HEADER, b"p" * 100_000 + b"\r\n" + part("title") + END),
        ("multipart/form-data; boundary=" + "b" * 257, b"--" + b"b" * 257 + END),
        (FORM_HEADER, part("title")),
        (FORM_HEADER, part("title")[:-10]),
        (FORM_HEADER, b""),
        ("multipart/form-data", part("title") + END),
        ("multipart/form-data; boundary=", part("title") + END),
        ('multipart/form-data; boundary="b', part("title") + END),
        (FORM_HEADER, b"--b\r\nContent-Type: text/plain\r\n\r\nv\r\n" + END),
        (FORM_HEADER, b"--b\r\nContent-Disposition: form-data\r\n\r\nv\r\n" + END),
        (FORM_HEADER, part("a", more='; filename="a"') + part("b", more='; filename="b"') + END),
        (FORM_HEADER, part("title", b"\xff") + END),
        (FORM_HEADER, part("title", b"a" * 70_000) + END),
        (FORM_HEADER, part("title") + part("title") + END),
    ],
    ids=[
        "1000 parts", "header flood", "long header", "long preamble", "long boundary", "no final boundary", "cut off",
        "empty", "no boundary", "empty boundary", "half-quoted boundary", "no disposition", "no name", "two files",
        "not UTF-8", "long field", "repeated name",
    ],
)  # fmt: skip
async def test_a_form_that_is_not_a_whole_plain_one_is_400(
    client: httpx2.AsyncClient, service: FakeService, content_type: str, body: bytes
) -> None:
    """Floods and halves are refused before they cost anything."""
    response = await client.post(CREATE, content=body, headers={"content-type": content_type})
    said = refused(response, service, 400)
    assert said in (
        ["the body must be a complete form of at most 40 fields and one file"],
        ["title: must be given once"],
    )


@pytest.mark.parametrize(
    "more",
    [
        '; filename="../../x"', '; filename="/etc/passwd"', '; filename="a\\0b"', f'; filename="{"a" * 300}"',
        "; filename*=UTF-8''..%2f..%2fx; filename=x", '; filename="a";; x=";"',
    ],
)  # fmt: skip
async def test_a_files_name_means_nothing(client: httpx2.AsyncClient, service: FakeService, more: str) -> None:
    """Only its bytes are taken."""
    body = part("thumbnail", b"bytes", more) + part("title", b"t") + END
    response = await client.post(CREATE, content=body, headers={"content-type": FORM_HEADER})
    assert response.status_code == 201
    assert (service.requests[0].thumbnail, service.requests[0].title) == (b"bytes", "t")


async def test_no_chosen_file_is_no_file_but_an_empty_one_is_a_mistake(
    client: httpx2.AsyncClient, service: FakeService
) -> None:
    """A browser's form without a choice must work; an upload that lost its bytes must not pass for it."""
    headers = {"content-type": FORM_HEADER}
    response = await client.post(CREATE, content=part("thumbnail", b"", '; filename="p.png"') + END, headers=headers)
    assert refused(response, service, 400) == ["thumbnail: must not be empty"]
    unchosen = await client.post(CREATE, content=part("thumbnail", b"", '; filename=""') + END, headers=headers)
    assert unchosen.status_code == 201


async def test_a_boundary_may_be_quoted(client: httpx2.AsyncClient, service: FakeService) -> None:
    """Some clients always do."""
    headers = {"content-type": 'multipart/form-data; charset=utf-7; boundary="b"'}
    response = await client.post(CREATE, content=part("title", "ş".encode()) + END, headers=headers)
    assert response.status_code == 201
    assert service.requests[0].title == "ş"


@given(body=st.lists(st.sampled_from([b"--b", b"--", b"\r\n", b"\r", b";", b'"', b"name=", b"form-data", b"\x00", b"\xff",
       b"Content-Disposition: form-data", b'; name="a"', b'; filename="f"', b": ", b"v", END, part("a")]), max_size=12).map(b"".join))  # fmt: skip
async def test_whatever_comes_as_a_form_is_read_or_refused(body: bytes) -> None:
    """No arrangement of its pieces may end in an exception, that is in a 500."""
    try:
        pairs = await read_form(FORM_HEADER, body)
    except NotAForm:
        return
    assert b"--b--" in body
    assert all(isinstance(name, str) for name, _ in pairs)


@pytest.mark.parametrize("query", ["liveStreamId=%ff", "&".join(f"a{index}=1" for index in range(200)), "a=%zz&b=ü"])
async def test_a_hostile_query_is_no_500(query: str) -> None:
    """Where a query is read it is bounded, and must be UTF-8; an RPC that nobody wrote shows what passed."""
    response = await client_of(app_of(FakeService())).get(f"/api/v1/live-stream/abc?{query}", headers=TOKEN)
    assert response.status_code in (400, 500)
    assert (response.status_code == 400) == (not query.startswith("a=%zz"))

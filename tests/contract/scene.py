"""A stream with somebody in every relation to it, and any RPC of the contract called about it, over gRPC and REST."""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import grpc
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.type.decimal_pb2 import Decimal

from livestream.v1.access_service_pb2 import GrantAccessRequest
from livestream.v1.live_stream_pb2 import LIVE_STREAM_TYPE_DUOSELF, ROLE_AUDIENCE, ROLE_GUEST, ROLE_HOST
from livestream.v1.live_stream_service_pb2 import CreateStreamRequest, EndStreamRequest, JoinStreamRequest
from livestream.v1.moderation_service_pb2 import CreateBanRequest
from livestream.v1.moderation_service_pb2_grpc import ModerationServiceStub
from livestream_gateway.contract import Route, Rpc
from livestream_gateway.envelope import FIXED, STATUSES
from tests.support.environment import ServiceEnvironment, metadata, put_user, token
from tests.support.failures import failure

RELATIONS = (
    "creator",
    "guest",
    "moderator",
    "viewer",
    "banned viewer",
    "banned guest",
    "stranger",
    "unregistered",
    "anonymous",
)
"""Of a paid stream, the viewers have a grant; the stranger, and nobody else who could be a viewer, has none."""

OK = "OK"
_PATIENCE = 20.0


@dataclass(frozen=True)
class Scene:
    """One stream and its users, by relation."""

    users: Mapping[str, str]
    stream_id: str
    ban_id: str
    rtm_channel: str
    values: Mapping[str, Any] = field(default_factory=dict)
    """What requests about it say, by the names of their fields."""

    def credentials(self, relation: str) -> tuple[tuple[str, str], ...]:
        """Call metadata of the one in that relation."""
        if relation == "anonymous":
            return ()
        return metadata(self._who(relation), "streams:moderate" if relation == "moderator" else "")

    def bearer(self, relation: str) -> str:
        return token(self._who(relation), "streams:moderate" if relation == "moderator" else "")

    def _who(self, relation: str) -> str:
        return self.users["guest" if relation == "banned guest" else relation]


def ids(count: int, seed: int) -> list[str]:
    """Ids that nobody else has, 24 hexadecimal digits each."""
    return [f"{seed:016x}{n:08x}" for n in range(count)]


async def set_up(env: ServiceEnvironment, seed: int, *, paid: bool, state: str, ban_guest: bool) -> Scene:
    """A new stream that is `preparing`, `active` or `ended`; `seed` makes its users' ids."""
    names = ["creator", "guest", "moderator", "viewer", "banned viewer", "stranger", "unregistered", "other"]
    users = dict(zip(names, ids(len(names), seed), strict=True))
    await asyncio.gather(
        *(put_user(env.users, user, f"p{user}") for name, user in users.items() if name != "unregistered")
    )
    creator = metadata(users["creator"])
    request = CreateStreamRequest(title="t", guests=[users["guest"]], live_stream_type=LIVE_STREAM_TYPE_DUOSELF)
    if paid:
        request.price.CopyFrom(Decimal(value="9.99"))
    stream_id = (await env.streams.CreateStream(request, metadata=creator)).live_stream.id

    async def join(who: str, role: Any) -> Any:
        wanted = JoinStreamRequest(live_stream_id=stream_id, role=role)
        return await env.streams.JoinStream(wanted, metadata=metadata(users[who]))

    if paid:
        for who in ("viewer", "banned viewer"):
            grant = GrantAccessRequest(live_stream_id=stream_id, user_id=users[who])
            await env.access.GrantAccess(grant, metadata=metadata(users["creator"], "access:write"))
    rtm_channel = ""
    if state != "preparing":
        rtm_channel = (await join("creator", ROLE_HOST)).rtm.channel_name
        await join("guest", ROLE_GUEST)
        for who in ("viewer", "banned viewer"):
            await join(who, ROLE_AUDIENCE)

    async def ban(who: str) -> str:
        wanted = CreateBanRequest(live_stream_id=stream_id, target_user_id=users[who])
        return (await ModerationServiceStub(env.channel).CreateBan(wanted, metadata=creator)).ban.id

    ban_id = await ban("banned viewer")
    if ban_guest:
        await ban("guest")
    if state == "ended":
        await env.streams.EndStream(EndStreamRequest(live_stream_id=stream_id), metadata=creator)
    return Scene(users, stream_id, ban_id, rtm_channel, _values(users, stream_id, ban_id))


def nowhere(scene: Scene) -> Scene:
    """The same users, asking about what does not exist."""
    absent = dict.fromkeys(scene.users, "e" * 24)
    return Scene(scene.users, "e" * 24, "e" * 24, scene.rtm_channel, _values(absent, "e" * 24, "e" * 24))


def _values(users: Mapping[str, str], stream_id: str, ban_id: str) -> Mapping[str, Any]:
    return {
        "live_stream_id": stream_id,
        "ban_id": ban_id,
        "user_id": users["creator"],
        "target_user_id": users["banned viewer"],
        "CreateBan.target_user_id": users["other"],
        "CreateStream.title": "t",
        "JoinStream.role": ROLE_AUDIENCE,
        "ListStreamsForYou.selection": 1,
        "ReceiveNotification.notification": HttpBody(data=b"{}"),
    }


@dataclass(frozen=True)
class Outcome:
    """How a call ended, whichever way it went."""

    status: int
    """Over HTTP."""
    reason: str
    """`OK`, or the reason of the failure; empty if only HTTP's status is known."""
    message: str
    said: bytes
    """All bytes that came back."""


def request_of(rpc: Rpc, scene: Scene) -> Message:
    """A request with every field that the scene has a value for."""
    names = (each.name for each in rpc.method.input_type.fields)
    found = {each: scene.values.get(f"{rpc.method.name}.{each}", scene.values.get(each)) for each in names}
    return rpc.request(**{name: value for name, value in found.items() if value is not None})


async def over_grpc(env: ServiceEnvironment, rpc: Rpc, scene: Scene, relation: str) -> Outcome:
    """Call it; of a stream, the first answer counts."""
    kind = env.channel.unary_stream if rpc.method.server_streaming else env.channel.unary_unary
    stub = kind(rpc.name, rpc.request.SerializeToString, rpc.response.FromString)  # type: ignore[operator]
    call = stub(request_of(rpc, scene), metadata=scene.credentials(relation), timeout=_PATIENCE)
    try:
        answer = await (call.read() if rpc.method.server_streaming else call)
        return Outcome(rpc.access.http_status or 200, OK, "", answer.SerializeToString())
    except grpc.aio.AioRpcError as error:
        trailing = repr(tuple(error.trailing_metadata() or ())).encode()
        failed = await failure(_raising(error))
        return Outcome(STATUSES[failed.code], failed.reason, failed.message, trailing)
    finally:
        call.cancel()


async def _raising(error: Exception) -> None:
    raise error


async def over_rest(app: Any, route: Route, scene: Scene, relation: str) -> Outcome:
    """Call it at its path; of an event stream, what has come with the first event counts."""
    filled = _filled(route, scene)
    path = route.path.format(**{each: filled.pop(each) for each in route.variables})
    fields = route.rpc.method.input_type.fields_by_name
    public = {fields[name].json_name: value for name, value in filled.items() if name not in route.decided}
    headers = {b"host": b"localhost", b"content-type": b"application/json"}
    if relation != "anonymous":
        headers[b"authorization"] = f"Bearer {scene.bearer(relation)}".encode()
    sent: list[Mapping[str, Any]] = []
    begun = asyncio.Event()

    bodies = [json.dumps(public).encode() if route.body else b""]

    async def receive() -> Mapping[str, Any]:
        if not bodies:
            await asyncio.Event().wait()  # the client stays
        return {"type": "http.request", "body": bodies.pop(), "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)
        if message.get("body") or (message["type"] == "http.response.body" and not message.get("more_body")):
            begun.set()

    scope = {
        "type": "http",
        "method": route.verb,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"" if route.body else urlencode(public).encode(),
        "headers": list(headers.items()),
        "client": ("127.0.0.1", 1),
    }
    task = asyncio.create_task(app(scope, receive, send))
    async with asyncio.timeout(_PATIENCE):
        await begun.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    body = b"".join(each.get("body", b"") for each in sent)
    status = sent[0]["status"]
    if status < 300:
        return Outcome(status, OK, "", repr(sent[0]["headers"]).encode() + body)
    errors = json.loads(body)["errors"]
    assert errors[0] == FIXED[status]
    return Outcome(status, "", errors[1] if len(errors) > 1 else "", repr(sent[0]["headers"]).encode() + body)


def _filled(route: Route, scene: Scene) -> dict[str, Any]:
    message = request_of(route.rpc, scene)
    return {each.name: value for each, value in message.ListFields() if each.type == FieldDescriptor.TYPE_STRING}

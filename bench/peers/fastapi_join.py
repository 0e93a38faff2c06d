"""The join as a good team would first write it: FastAPI, PyMongo, PyJWT and agora-token-builder, nothing kept.

It verifies the caller's JWT, reads the stream and its broadcasters (two reads), signs an RTC and an RTM token and
answers with the whole live stream. It writes nothing: the uid is derived from the caller instead of kept as a
participant. This is what `fastapi_async.py` and `fastapi_sync.py` share; which of them is faster depends on the
machine.
"""

import zlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import jwt
from agora_token_builder import RtcTokenBuilder, RtmTokenBuilder
from agora_token_builder.RtcTokenBuilder import Role_Subscriber
from agora_token_builder.RtmTokenBuilder import Role_Rtm_User
from bench.peers.fastapi_models import (
    AgoraCredentials,
    Broadcaster,
    Envelope,
    Joined,
    LiveStream,
    RtmCredentials,
    UserSummary,
)
from bson import ObjectId
from fastapi import Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic_settings import BaseSettings

Document = dict[str, Any]


class Settings(BaseSettings):
    """Read from the environment."""

    mongodb_uri: str
    mongodb_database: str
    jwt_secret: str
    jwt_issuer: str
    jwt_audience: str
    agora_app_id: str
    agora_app_certificate: str
    token_life: timedelta = timedelta(hours=1)
    media_url: str = "http://127.0.0.1:8080/media"


settings = Settings()


bearer = HTTPBearer()


async def current_user(credentials: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> str:
    try:
        claims = jwt.decode(
            credentials.credentials,
            settings.jwt_secret,
            algorithms=["HS256"],
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
        )
    except jwt.PyJWTError as error:
        raise HTTPException(401, "a valid bearer token is required") from error
    return str(claims["sub"])


User = Annotated[str, Depends(current_user)]


def require_active(stream: Document | None) -> Document:
    if stream is None:
        raise HTTPException(404, "no such live stream")
    if stream["status"] != "active":
        raise HTTPException(409, "the live stream is not active")
    return stream


def joined(stream: Document, users: Iterable[Document], user: str) -> Envelope[Joined]:
    expires_at = datetime.now(UTC).replace(microsecond=0) + settings.token_life
    shown = _shown(stream, {each["_id"]: each for each in users})
    return Envelope(data=Joined(live_stream=shown, **_credentials(stream, user, expires_at)))


def _shown(stream: Document, users: dict[ObjectId, Document]) -> LiveStream:
    summaries = {key: UserSummary.model_validate(each) for key, each in users.items()}
    broadcasters = [
        Broadcaster(
            user=each["user"],
            role=each["role"],
            uid=each["uid"],
            has_joined=each["joined_at"] is not None,
            user_summary=summaries[each["user"]],
        )
        for each in stream["broadcasters"]
    ]
    return LiveStream(
        id=stream["_id"],
        title=stream["title"],
        live_stream_type=stream["type"],
        channel_name=stream["channel_name"],
        broadcasters=broadcasters,
        guests=[each.user_summary for each in broadcasters if each.role == "guest"],
        creator=summaries[stream["creator"]],
        thumbnail_url=f"{settings.media_url}/{stream['thumbnail'] or 'thumbnails/default.webp'}",
        status=stream["status"],
        access_type="free" if stream["price"] is None else "paid",
        price=stream["price"].to_decimal() if stream["price"] else None,
        interest=stream["interest"],
        duration_goal=stream["duration_goal"],
        motivation=stream["motivation"],
        started_at=stream["started_at"],
        planned_start_date=stream["planned_start"],
        ended_at=stream["ended_at"],
        planned_end_date=stream["planned_end"],
        created_at=stream["created_at"],
        updated_at=stream["updated_at"],
        role="audience",
    )


def _credentials(stream: Document, user: str, expires_at: datetime) -> Document:
    project = settings.agora_app_id, settings.agora_app_certificate
    channel, until = stream["channel_name"], int(expires_at.timestamp())
    uid = zlib.crc32(user.encode()) % (2**31 - 1) + 1
    return {
        "agora": AgoraCredentials(
            app_id=settings.agora_app_id,
            channel_name=channel,
            token=RtcTokenBuilder.buildTokenWithUid(*project, channel, uid, Role_Subscriber, until),
            uid=uid,
            role="audience",
            expires_at=expires_at,
        ),
        "rtm": RtmCredentials(
            app_id=settings.agora_app_id,
            channel_name=channel,
            user_id=user,
            token=RtmTokenBuilder.buildToken(*project, user, Role_Rtm_User, until),
            expires_at=expires_at,
        ),
    }

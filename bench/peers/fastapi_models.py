"""What the FastAPI peer answers with: the public API's live stream, as pydantic models."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

Data = TypeVar("Data")
Id = Annotated[str, BeforeValidator(str)]
"""An ObjectId, as its 24 hexadecimal digits."""
Role = Literal["host", "guest", "audience"]


class Model(BaseModel):
    """Named in Python's way here, in JavaScript's on the wire."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True)


class Media(Model):
    id: Id = Field(alias="_id")
    url: str
    type: str
    variants: dict[str, str]
    created_at: datetime
    updated_at: datetime


class UserSummary(Model):
    id: Id = Field(alias="_id")
    username: str
    name: str
    surname: str
    profile_photo: Media | None
    availability_status: str


class Broadcaster(Model):
    user: Id
    role: Role
    uid: int | None
    has_joined: bool
    user_summary: UserSummary


class ReplayAccess(Model):
    status: Literal["owner", "unavailable"] = "unavailable"
    can_rent: bool = False
    can_view_recording: bool = False
    price: int | None = None
    rented_at: datetime | None = None
    expires_at: datetime | None = None
    remaining_seconds: int | None = None


class LiveStream(Model):
    id: Id
    title: str
    live_stream_type: str
    channel_name: str
    broadcasters: list[Broadcaster]
    guests: list[UserSummary]
    creator: UserSummary
    thumbnail_url: str
    recording: bool = False
    recording_url: str | None = None
    replay_access: ReplayAccess = ReplayAccess()
    status: str
    access_type: Literal["free", "paid"]
    price: Decimal | None
    interest: str | None
    duration_goal: int | None
    motivation: str | None
    is_active_replay_on_creator_profile: bool | None = None
    replay_credit_price: int | None = None
    started_at: datetime | None
    planned_start_date: datetime | None
    ended_at: datetime | None
    planned_end_date: datetime | None
    created_at: datetime
    updated_at: datetime
    funding_goal: int | None = None
    collected_funding: int = 0
    funding_percentage: int = 0
    role: Role | None
    mini_crowd_fundings: list[str] = []


class AgoraCredentials(Model):
    app_id: str
    channel_name: str
    token: str
    uid: int
    role: Role
    expires_at: datetime


class RtmCredentials(Model):
    app_id: str
    channel_name: str
    user_id: str
    token: str
    expires_at: datetime


class Joined(Model):
    live_stream: LiveStream
    agora: AgoraCredentials
    rtm: RtmCredentials


class JoinRequest(Model):
    live_stream_id: str = Field(pattern=r"^[0-9a-f]{24}$")
    device_type: str | None = Field(None, max_length=64)
    device_model: str | None = Field(None, max_length=64)
    os_version: str | None = Field(None, max_length=64)
    app_version: str | None = Field(None, max_length=64)
    country: str | None = Field(None, max_length=64)


class Envelope(Model, Generic[Data]):
    is_success: bool = True
    status_code: int = 200
    data: Data
    errors: list[str] = []
    timestamp: datetime = Field(default_factory=lambda: datetime.now(UTC))

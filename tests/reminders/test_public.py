"""Reminders over REST, against the whole system."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from tests.support.environment import LiveService


@pytest.fixture(scope="module")
def client(live_service: LiveService) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=live_service.http_url, timeout=20) as client:
        yield client


def test_a_reminder_has_the_documented_shape(client: httpx2.Client, live_service: LiveService) -> None:
    """Apps parse these keys; mode and status are in upper case, absent minutes are null."""

    def as_(name: str) -> dict[str, str]:
        return {"authorization": f"Bearer {live_service.token(name)}"}

    planned = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    asked: dict[str, Any] = {"title": "t", "plannedStartDate": planned.isoformat()}
    stream_id = client.post("/api/v1/live-stream/create", json=asked, headers=as_("ayse")).json()["data"]["id"]
    path = f"/api/v1/live-stream/{stream_id}/reminder"

    answer = client.post(path, json={"minute": 15}, headers=as_("john"))
    assert answer.status_code == 200
    assert list(answer.json()["data"].items()) == [
        ("streamId", stream_id),
        ("minute", 15),
        ("mode", "BEFORE_START"),
        ("scheduledFor", f"{planned - timedelta(minutes=15):%Y-%m-%dT%H:%M:%S}.000Z"),
        ("status", "ARMED"),
    ]
    for body in ({"minute": None}, {"minute": 0}, {}):
        assert client.post(path, json=body, headers=as_("john")).json()["data"] == {
            "streamId": stream_id,
            "minute": None,
            "mode": "ON_START",
            "scheduledFor": None,
            "status": "ARMED_ON_START",
        }
    for minute, status in ((-1, 400), (10_081, 400), ("soon", 400), (1.5, 400), (1440, 409)):
        assert client.post(path, json={"minute": minute}, headers=as_("john")).status_code == status
    assert client.post(path, json={}).status_code == 401
    assert client.post("/api/v1/live-stream/" + "0" * 24 + "/reminder", json={}, headers=as_("john")).status_code == 404

"""What the parts say again and again."""

import re
from typing import Any

from livestream_run.dev.scenario.steps import Rest

API = "/api/v1/live-stream"


def create(**fields: Any) -> Rest:
    """Create a stream."""
    return Rest("POST", f"{API}/create", json=fields)


def join(stream: str, way: str = "join", **fields: Any) -> Rest:
    """Join a stream."""
    return Rest("POST", f"{API}/{way}", json={"liveStreamId": stream, **fields})


def expect_admitted(user: str, role: str) -> dict[str, Any]:
    """What holds for whoever was let in."""
    return {
        "data.liveStream.status": "active",
        "data.liveStream.role": role,
        "data.agora.role": role,
        "data.agora.channelName": "{channel}",
        "data.rtm.channelName": re.compile("[0-9a-f]{48}"),
        "data.rtm.userId": f"{{{user}}}",
    }

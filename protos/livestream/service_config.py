"""What the contract tells clients of its methods: timeouts, retries and connections, from `v1/service_config.json`."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any


def read_config() -> Any:
    """The JSON object of the file, a new one at every call (github.com/grpc/grpc-proto, service_config.proto)."""
    return json.loads(files("livestream.v1").joinpath("service_config.json").read_bytes())


@cache
def timeouts() -> Mapping[str, float]:
    """Seconds that a call may take, by the method's name on the wire: `/livestream.v1.LiveStreamService/GetStream`."""
    return {
        f"/{name['service']}/{name['method']}": float(each["timeout"].removesuffix("s"))
        for each in read_config()["methodConfig"]
        for name in each["name"]
    }

"""What the contract tells clients: deadlines, balancing and retries, from its `service_config.json`."""

import json
from functools import cache
from importlib.resources import files

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from livestream.service_config import read_config

_CONTRACT = files("livestream.v1")


@cache
def build_channel_config(*, always_with_key: bool = False) -> str:
    """The contract's service config, made fit for a channel.

    The timeouts are left out, because gRPC Core neither keeps them well (up to a second early) nor tells them to the
    server: grpc/grpc#34547, #40633. `always_with_key` is for a caller who never sends a request without its idempotency
    key, which the contract leaves optional: methods that take one are then retried as reads are.
    """
    config = read_config()
    policy = next(each["retryPolicy"] for each in config["methodConfig"] if "retryPolicy" in each)
    keyed = _find_methods_with_a_key() if always_with_key else set()
    for each in config["methodConfig"]:
        del each["timeout"]
        if all((name["service"], name["method"]) in keyed for name in each["name"]):
            each.setdefault("retryPolicy", policy)
    return json.dumps(config)


def read_connections_per_address() -> int:
    """How many connections a channel may open to one address when the streams of those before are taken (gRFC A105)."""
    return int(read_config()["connectionScaling"]["maxConnectionsPerSubchannel"])


def _find_methods_with_a_key() -> set[tuple[str, str]]:
    """Every (service, method) whose request has a `request_id`."""
    contract = FileDescriptorSet.FromString(_CONTRACT.joinpath("api.binpb").read_bytes())
    requests = {
        f".{file.package}.{message.name}"
        for file in contract.file
        for message in file.message_type
        if any(field.name == "request_id" for field in message.field)
    }
    return {
        (f"{file.package}.{service.name}", method.name)
        for file in contract.file
        for service in file.service
        for method in service.method
        if method.input_type in requests
    }

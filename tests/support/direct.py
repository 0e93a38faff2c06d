"""The service's wrapped handlers, called without a socket: for tests that take thousands of steps."""

from collections.abc import Mapping
from typing import Any, NoReturn

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status


class Aborted(Exception):
    """What a handler ends with when it refuses: the reason that it gives."""

    def __init__(self, code: grpc.StatusCode, reason: str) -> None:
        super().__init__(code, reason)
        self.reason = reason


class _Context:
    def __init__(self, metadata: Any) -> None:
        self._metadata = metadata

    def invocation_metadata(self) -> Any:
        return self._metadata

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    def time_remaining(self) -> None:
        return None

    def set_trailing_metadata(self, _metadata: Any) -> None: ...

    async def abort(self, code: grpc.StatusCode, _message: str, trailing: Any) -> NoReturn:
        info = ErrorInfo()
        Status.FromString(dict(trailing)["grpc-status-details-bin"]).details[0].Unpack(info)
        raise Aborted(code, info.reason)


async def call(handlers: Mapping[str, Any], method: str, request: Message, metadata: Any) -> Any:
    """The answer of `Service/Method`; raises Aborted."""
    handler = handlers[f"/livestream.v1.{method}"]
    return await handler.unary_unary(request.SerializeToString(), _Context(metadata))

"""What the scenario is made of: parts of steps, each one call and what must hold of its answer.

Texts may name what an earlier step kept, or a demo user's id: `{dusk}`, `{mehmet}`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import Message

Status = int | grpc.StatusCode


@dataclass(frozen=True, slots=True)
class Rest:
    """A call of the public API.

    Attributes:
        method: The HTTP verb.
        path: Path, or a whole address at the gateway.
        json: The body as JSON.
        form: The body as multipart/form-data; bytes are a file.
        key: The idempotency key.
    """

    method: str
    path: str
    json: Mapping[str, Any] | None = None
    form: Mapping[str, str | bytes] | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Rpc:
    """A call over gRPC.

    Attributes:
        method: Of LiveStreamClient, or of `stub`.
        arguments: By their names.
        scope: What the caller's token allows beside.
        stub: The generated stub, for what LiveStreamClient leaves to it.
        request: What that is called with.
    """

    method: str
    arguments: Mapping[str, Any]
    scope: str = ""
    stub: Callable[[grpc.aio.Channel], Any] | None = None
    request: type[Message] | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """Begin to watch a stream, in a client of its own that goes on; it answers with the first that it is told."""

    live_stream_id: str


@dataclass(frozen=True, slots=True)
class Hear:
    """The next event of this kind that the user's watching client is told; what it is told before is left out."""

    live_stream_id: str
    kind: str


Call = Rest | Rpc | Watch | Hear


@dataclass(frozen=True, slots=True)
class Step:
    """One call.

    Attributes:
        who: Username of the demo user who calls; None without a token.
        does: The rest of the sentence that begins with `who`.
        call: What is called.
        expect: HTTP status, or gRPC code.
        must: Paths into the answer (`data.guests.0._id`) and what is there: a value, or a pattern of the whole text.
        must_not: Paths into the answer, and the values that are not there.
        keep: Names for later steps, and the paths of what they mean.
    """

    who: str | None
    does: str
    call: Call
    expect: Status
    must: Mapping[str, Any] = field(default_factory=dict)
    must_not: Mapping[str, Any] = field(default_factory=dict)
    keep: Mapping[str, str] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """The step in words."""
        return f"{self.who or 'somebody without a token'} {self.does}"


@dataclass(frozen=True, slots=True)
class Part:
    """Steps that belong together."""

    title: str
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the envelope, a message as JSON, what was refused, or what an image is."""

    status: Status
    seconds: float
    body: Any

"""Limits the large request bodies that are being received: their bytes per process, and their number per caller."""

from collections import Counter
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from livestream_gateway.envelope import Refusal

LARGE_BODY_BYTES = 64 * 1024
"""Up to this size a body is read before anyone is asked who its sender is."""

_RETRY_SOON = ((b"retry-after", b"1"),)


class Uploads:
    """The large bodies of one process, each from before it is read until its request is answered."""

    def __init__(self, *, most_bytes: int, most_per_caller: int) -> None:
        self._most_bytes = most_bytes
        self._most_per_caller = most_per_caller
        self._bytes = 0
        self._per_caller: Counter[str] = Counter()

    @property
    def bytes_held(self) -> int:
        """What is under way, in bytes."""
        return self._bytes

    def reserve(self, caller: str, size: int) -> None:
        """Count one more body of at most `size` bytes.

        Raises Refusal: 429 if the caller has as many under way as one may have, 503 if the process has.
        """
        if self._per_caller[caller] >= self._most_per_caller:
            detail = f"at most {self._most_per_caller} uploads of one caller may be under way"
            raise Refusal(429, detail, headers=_RETRY_SOON)
        if self._bytes + size > self._most_bytes:
            raise Refusal(503, "too many uploads are under way", headers=_RETRY_SOON)
        self._per_caller[caller] += 1
        self._bytes += size

    def release(self, caller: str, size: int) -> None:
        """Give back what `reserve` counted."""
        self._bytes -= size
        self._per_caller[caller] -= 1
        if not self._per_caller[caller]:
            del self._per_caller[caller]


class Upload:
    """The body of one request. At the end of its `with` block nothing of it is counted any more.

    Args:
        uploads: where it is counted once it is large.
        ask: who the caller is, as the service says; raises Refusal for one who would be refused anyway.
    """

    def __init__(self, uploads: Uploads, ask: Callable[[], Awaitable[str]]) -> None:
        self._uploads = uploads
        self._ask = ask
        self._caller: str | None = None
        self._reserved: int | None = None

    async def admit(self, size: int) -> None:
        """Ask whether a body of at most `size` bytes may be read; large ones are counted. Raises Refusal."""
        if self._caller is None:
            self._caller = await self._ask()
        if size > LARGE_BODY_BYTES and self._reserved is None:
            self._uploads.reserve(self._caller, size)
            self._reserved = size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._caller is not None and self._reserved is not None:
            self._uploads.release(self._caller, self._reserved)
            self._reserved = None

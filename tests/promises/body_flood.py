"""Connections that each send a large body, from a process of their own; for `test_bodies`."""

import asyncio
import sys
from collections import Counter
from dataclasses import dataclass

SIZE = 7 * 1024 * 1024
PIECE = bytes(64 * 1024)


@dataclass(frozen=True)
class Flood:
    """`count` connections to `port`, each with one creation whose body never ends by its last byte.

    `authorization` is what they all send; `chunked` leaves the length out; `seconds` is how long they stay.
    """

    port: int
    count: int
    authorization: str
    chunked: bool
    seconds: float

    def run(self) -> Counter[str]:
        """How the connections ended: by the status of the first answer, `none`, or `refused` before any."""
        return asyncio.run(self._run())

    async def _run(self) -> Counter[str]:
        opened = await asyncio.gather(*(self._one() for _ in range(self.count)))
        return Counter(opened)

    async def _one(self) -> str:
        head = (
            "POST /api/v1/live-stream/create HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Authorization: {self.authorization}\r\n"
        )
        head += "Transfer-Encoding: chunked\r\n\r\n" if self.chunked else f"Content-Length: {SIZE + 1}\r\n\r\n"
        try:
            async with asyncio.timeout(self.seconds):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except (OSError, TimeoutError):
            return "refused"
        seen: list[str] = []
        reading = asyncio.create_task(_read(reader, seen))
        try:
            async with asyncio.timeout(self.seconds):
                writer.write(head.encode())
                for _ in range(SIZE // len(PIECE)):
                    writer.write(b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if self.chunked else PIECE)
                    await writer.drain()
                await reading
        except (OSError, TimeoutError):
            pass
        reading.cancel()
        await asyncio.wait([reading])
        writer.close()
        return seen[0] if seen else "none"


async def _read(reader: asyncio.StreamReader, seen: list[str]) -> None:
    """Keep the status of the first answer, then read to the end."""
    if line := await reader.readline():
        seen.append(line.split()[1].decode())
    await reader.read()


if __name__ == "__main__":
    port, count, chunked, seconds, authorization = sys.argv[1:]
    flood = Flood(int(port), int(count), authorization, chunked == "chunked", float(seconds))
    print(" ".join(f"{name}={number}" for name, number in sorted(flood.run().items())))

"""A long line to a service on this machine: bytes need a while, only so many pass in a second, and some are cut.

A TCP proxy in a process of its own, one for each replica. Python's own loop carries some hundreds of megabytes a second
on one core, so a line of more than that is as fast as the machine lets it be.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

_PIECE_BYTES = 64 * 1024
_QUEUE_BYTES_MAX = 16 << 20  # on the way in one direction of one connection, as a window of TCP would allow


@dataclass(frozen=True, slots=True)
class Line:
    """How far and how wide. All connections share the rate; each direction has its own."""

    round_trip_s: float = 0.0
    bytes_per_s: float = 0.0  # 0: as many as the machine can carry
    handshake_trips: int = 2  # round trips before the first byte of a new connection, beside TCP's own one: TLS
    cut_share: float = 0.0  # of new connections, cut after some megabytes

    @property
    def title(self) -> str:
        """Return `80 ms, 50 MB/s`."""
        rate = f", {self.bytes_per_s / 1e6:g} MB/s" if self.bytes_per_s else ""
        return f"{self.round_trip_s * 1000:g} ms{rate}"


class _Rate:
    """Lets bytes pass one after the other; the time at which the last one will have passed."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_s = 0.0

    def passed_s(self, now_s: float, count: int) -> float:
        """Return when `count` bytes that arrive now have passed."""
        if not self._bytes_per_s:
            return now_s
        self._free_s = max(self._free_s, now_s) + count / self._bytes_per_s
        return self._free_s


class _Way:
    """One direction of one connection: what was read waits here until its time."""

    def __init__(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, rate: _Rate, delay_s: float) -> None:
        self._source, self._target = source, target
        self._rate, self._delay_s = rate, delay_s
        self._queue: deque[tuple[float, bytes]] = deque()
        self._queued_bytes = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self.bytes_max = 0  # that may pass before the line is cut; 0: all

    async def run(self) -> None:
        """Carry until the source ends."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._read())
            tasks.create_task(self._write())

    async def _read(self) -> None:
        loop, seen = asyncio.get_running_loop(), 0
        while True:
            data = await self._source.read(_PIECE_BYTES)
            seen += len(data)
            if self.bytes_max and seen > self.bytes_max:
                raise ConnectionResetError
            self._queue.append((self._rate.passed_s(loop.time(), len(data)) + self._delay_s, data))
            self._queued_bytes += len(data)
            self._news.set()
            if not data:
                return
            if self._queued_bytes > _QUEUE_BYTES_MAX:
                self._room.clear()
                await self._room.wait()

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            while not self._queue:
                self._news.clear()
                await self._news.wait()
            due_s, data = self._queue.popleft()
            if (wait_s := due_s - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            if not data:
                with suppress(OSError):
                    self._target.write_eof()
                return
            self._target.write(data)
            await self._target.drain()
            self._queued_bytes -= len(data)
            self._room.set()


async def _serve(line: Line, listening: socket.socket, host: str, port: int) -> None:
    up, down = _Rate(line.bytes_per_s), _Rate(line.bytes_per_s)
    dice = random.Random(7)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # TCP's own round trip, which a local connect does not have, and those of TLS.
            await asyncio.sleep(line.round_trip_s * (1 + line.handshake_trips))
            there, back = await asyncio.open_connection(host, port)
            outward = _Way(reader, back, up, line.round_trip_s / 2)
            homeward = _Way(there, writer, down, line.round_trip_s / 2)
            if dice.random() < line.cut_share:
                homeward.bytes_max = dice.randrange(1 << 22)
                outward.bytes_max = dice.randrange(1 << 22)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(outward.run())
                    tasks.create_task(homeward.run())
            finally:
                back.close()
        except* OSError:
            pass  # one end went away, or the line was cut
        finally:
            writer.close()

    async with await asyncio.start_server(carry, sock=listening, limit=_PIECE_BYTES):
        await asyncio.Event().wait()


def _run(line: Line, listening: socket.socket, host: str, port: int) -> None:
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(line, listening, host, port))


@contextmanager
def long_line(address: str, line: Line) -> Iterator[str]:
    """Open a line to the service at `address`, `http://host:port`, and yield the address of its near end."""
    parts = urlsplit(address)
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    port = listening.getsockname()[1]
    process = multiprocessing.get_context("fork").Process(
        target=_run, args=(line, listening, str(parts.hostname), parts.port), daemon=True
    )
    process.start()
    listening.close()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.join()

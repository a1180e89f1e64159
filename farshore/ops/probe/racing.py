"""Writers that race for one name, in this process and in a second one. Used by `race` and by `racer`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from farshore.clock import Clock
from farshore.errors import READ_ERRORS, STORE_ERRORS, FarshoreError, StoreConflict, StoreUnavailable
from farshore.model import dataclass
from farshore.stores.base import Store
from farshore.stores.probe_capability import HasProbeCapability, Upload
from farshore.stores.wrappers.retrying import RetryingStore

_TAG_BYTES = 16
START_WAIT_S = 120.0  # for the parts of all writers to be sent; a writer that needs longer ends the round


@dataclass(frozen=True, slots=True)
class Race:
    """One name, and how its writers write. In parts: all parts are sent first, and the last step is the race."""

    name: str
    size: int
    part_bytes: int = 0  # 0: in one request


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one writer."""

    writer: str
    won: bool
    error: str = ""  # neither won nor lost: the code and message


def body_of(writer: str, size: int) -> bytes:
    """Return what a writer writes: as long as the others' bodies, and like none of them."""
    tag = writer.encode().ljust(_TAG_BYTES, b".")
    return (tag * (size // _TAG_BYTES + 1))[:size]


class Writers:
    """Threads with a store each, started together. `stores` are bare and have connections of their own."""

    def __init__(self, *, tag: str, stores: Sequence[Store], clock: Clock) -> None:
        self._tag = tag
        self._stores = stores
        self._clock = clock
        self._pool = ThreadPoolExecutor(len(stores))
        self._go = threading.Event()
        self._ready = threading.Barrier(len(stores) + 1)
        self._futures: list[Future[Outcome]] = []

    def warm(self, name: str) -> None:
        """Open every writer's connection, so that no handshake decides a race."""
        for store in self._stores:
            try:
                store.head(name)
            except READ_ERRORS:
                continue

    def begin(self, race: Race) -> None:
        """Bring every writer to the point where its next request makes the object."""
        self._go.clear()
        self._futures = [
            self._pool.submit(self._write, f"{self._tag}-{number}", store, race)
            for number, store in enumerate(self._stores)
        ]
        try:
            self._ready.wait(START_WAIT_S)
        except threading.BrokenBarrierError as error:
            raise StoreUnavailable(f"sending the parts of a race needed longer than {START_WAIT_S:.0f} s") from error

    def release(self) -> None:
        """Let all go at once."""
        self._go.set()

    def outcomes(self) -> list[Outcome]:
        """Return the result of every writer."""
        return [future.result() for future in self._futures]

    def close(self) -> None:
        """End the threads, also in the middle of a race that was interrupted."""
        self._ready.abort()
        self._go.set()
        self._pool.shutdown()

    def _write(self, writer: str, store: Store, race: Race) -> Outcome:
        body = body_of(writer, race.size)
        upload: Upload | None = None
        error = ""
        try:
            if race.part_bytes and isinstance(store, HasProbeCapability):
                upload = store.probe_capability().begin_upload(race.name)
                for start in range(0, len(body), race.part_bytes):
                    upload.send(body[start : start + race.part_bytes])
        except FarshoreError as failure:
            error = f"{failure.code}: {failure.message}"
        self._ready.wait(START_WAIT_S)
        self._go.wait(START_WAIT_S)
        if error:
            return Outcome(writer, won=False, error=error)
        try:
            if upload is not None:
                upload.finish()
                upload = None
            else:
                RetryingStore(store, clock=self._clock).put(race.name, body)
        except StoreConflict:
            return Outcome(writer, won=False)
        except FarshoreError as failure:
            return Outcome(writer, won=False, error=f"{failure.code}: {failure.message}")
        finally:
            self._give_up(upload)
        return Outcome(writer, won=True)

    def _give_up(self, upload: Upload | None) -> None:
        """Drop the parts of a loser; a winner has none left."""
        if upload is not None:
            try:
                upload.abandon()
            except STORE_ERRORS:
                return

"""A trace of a command's requests: one line for each, and how many of them waited for one another.

A line is a JSON object:

    {"start_s": 0.482, "end_s": 0.563, "replica": "oslo", "verb": "get", "name": "farshore.json", "requests": 1,
     "connections": 1, "bytes": 1204, "outcome": "ok", "why": "open_replica.open_with_header", "thread": "MainThread"}

`start_s` and `end_s` are seconds since the trace began. A call that leaves as several requests (an object in parts) is
one line with their number; each page of a listing is a line. `why` is the innermost function of the engine above the
stores that asked.

*Waits in line* are the requests on the critical path. It is walked backwards: from the request that ended last to the
one that had ended last when that one began, and so on to the first. Each is at least one trip to the service and back
that nothing else could hide.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

from farshore.clock import Clock
from farshore.limits import WHOLE_READ_BYTES_MAX
from farshore.stores.base import Body, ObjectInfo, PutOutcome, Store, body_bytes
from farshore.stores.object_retention import DEFAULT_RETENTION, ObjectRetention
from farshore.stores.wrappers import Answer, WrappingStore

_METHODS = (b"GET ", b"PUT ", b"POST ", b"HEAD ", b"DELETE ", b"PATCH ")
_CARRIERS = ("farshore.replicas", "farshore.cli")  # they carry a question of somebody else, or ask nothing


@dataclass(frozen=True, slots=True)
class TraceLine:
    """One call of one replica's store, as the trace has it."""

    start_s: float
    end_s: float
    replica: str
    verb: str
    name: str  # of the object, or the prefix that is listed; empty where the verb has none
    requests: int  # that left for a service; 1 where the store has no service
    connections: int  # that were opened for it
    bytes: int  # of the body, sent or received; of a listing the objects in this page
    outcome: str  # ok | name of the error
    why: str
    thread: str


@dataclass(frozen=True, slots=True)
class TraceSummary:
    """A whole trace in numbers."""

    requests: int
    connections: int
    waits: int  # requests on the critical path
    wait_connections: int  # of them, with a connection to open first
    seconds: float  # from the first request to the last answer


class _Sent(threading.local):
    """Requests and connections that left from the current thread since it began."""

    requests = 0
    connections = 0


_sent = _Sent()
_hook_lock = threading.Lock()
_hooked = False


def _count_sent(event: str, values: tuple[Any, ...]) -> None:
    """Count requests and connections of all HTTP libraries: each ends in these two events of the interpreter."""
    if event == "http.client.send":
        if isinstance(values[1], bytes) and values[1].startswith(_METHODS):
            _sent.requests += 1
    elif event == "socket.connect":
        _sent.connections += 1


class Trace:
    """Writes the requests of one command to a file. Safe from many threads.

    Args:
        path: Written anew; a line is in it as soon as its request has ended.
        clock: The times are its monotonic ones.
    Raises:
        OSError: The file cannot be written.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        global _hooked  # noqa: PLW0603 - the interpreter has no way to remove such a hook, so there is one
        self.path = path
        self._clock = clock
        self._began_s = clock.monotonic_s()
        self._lock = threading.Lock()
        self._lines: list[TraceLine] = []
        self._file: IO[str] = path.open("w", encoding="utf-8", buffering=1)
        with _hook_lock:
            if not _hooked:
                sys.addaudithook(_count_sent)
                _hooked = True

    def now_s(self) -> float:
        """Return the seconds since the trace began."""
        return self._clock.monotonic_s() - self._began_s

    def add(self, line: TraceLine) -> None:
        """Append a line. A file that cannot be written any more ends the file, and nothing else."""
        text = json.dumps({**asdict(line), "start_s": round(line.start_s, 6), "end_s": round(line.end_s, 6)})
        with self._lock:
            self._lines.append(line)
            try:
                self._file.write(f"{text}\n")
            except (OSError, ValueError):  # a full disk; or an abandoned request that ended after the command
                return

    def wrap(self, replica: str, store: Store) -> Store:
        """Return the same store, traced."""
        return TracedStore(store, replica=replica, trace=self)

    def close(self) -> TraceSummary:
        """Close the file and return what was traced."""
        with self._lock:
            with suppress(OSError):
                self._file.close()
            return summarize(self._lines)


def summarize(lines: Sequence[TraceLine]) -> TraceSummary:
    """Return the sums over a trace, and its critical path. Lines may be in any order."""
    path = critical_path(lines)
    return TraceSummary(
        requests=sum(line.requests for line in lines),
        connections=sum(line.connections for line in lines),
        waits=sum(line.requests for line in path),
        wait_connections=sum(1 for line in path if line.connections),
        seconds=max((line.end_s for line in lines), default=0.0) - min((line.start_s for line in lines), default=0.0),
    )


def critical_path(lines: Iterable[TraceLine]) -> list[TraceLine]:
    """Return the lines that waited for one another, by time: the last to end, the one it waited for, and so on."""
    ended = sorted(lines, key=lambda line: (line.end_s, line.start_s))
    path: list[TraceLine] = []
    for line in reversed(ended):
        if not path or line.end_s <= path[-1].start_s:
            path.append(line)
    return path[::-1]


class TracedStore(WrappingStore):
    """The same store; each call is a line of the trace. As safe for threads as the store inside."""

    def __init__(self, store: Store, *, replica: str, trace: Trace) -> None:
        super().__init__(store)
        self._replica = replica
        self._trace = trace

    def put(self, name: str, body: Body, retention: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
        with self._traced("put", name) as call:
            call.bytes = body_bytes(body)
            return self._store.put(name, body, retention)

    def get(
        self, name: str, offset: int = 0, length: int | None = None, *, bytes_max: int = WHOLE_READ_BYTES_MAX
    ) -> bytes:
        with self._traced("get", name) as call:
            data = self._store.get(name, offset, length, bytes_max=bytes_max)
            call.bytes = len(data)
            return data

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """List; a page is a line, and so is a whole listing of a store that has no service."""
        entries = self._store.list(prefix)
        page: _Call | None = None
        outcome = "ok"
        call = _Call(self._trace.now_s())
        try:
            while True:
                call = _Call(self._trace.now_s())
                info = next(entries, None)
                call.end(self._trace.now_s())
                if page is None or call.requests:
                    if page:
                        self._write("list", prefix, page, outcome)
                    page = call
                if info is None:
                    return
                page.bytes += 1
                yield info
        except Exception as error:
            page, outcome = page or call, type(error).__name__
            raise
        finally:
            if page:
                self._write("list", prefix, page, outcome)

    def _call(self, verb: str, name: str, request: Callable[[], Answer]) -> Answer:
        with self._traced(verb, name):
            return request()

    @contextmanager
    def _traced(self, verb: str, name: str) -> Iterator[_Call]:
        call, outcome = _Call(self._trace.now_s()), "ok"
        try:
            yield call
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            call.end(self._trace.now_s())
            self._write(verb, name, call, outcome)

    def _write(self, verb: str, name: str, call: _Call, outcome: str) -> None:
        self._trace.add(
            TraceLine(
                call.start_s, call.end_s, self._replica, verb, name, max(call.requests, 1), call.connections,
                call.bytes, outcome, call.why, threading.current_thread().name,
            )
        )  # fmt: skip


class _Call:
    """One call under way, on the thread that makes it."""

    def __init__(self, start_s: float) -> None:
        self.start_s = self.end_s = start_s
        self.bytes = 0
        self.why = _asking(sys._getframe(1))  # noqa: SLF001 - the interpreter's own way to its frames
        self.requests, self.connections = -_sent.requests, -_sent.connections

    def end(self, end_s: float) -> None:
        """Note when the answer arrived, and count the requests that had left for it."""
        self.end_s = end_s
        self.requests += _sent.requests
        self.connections += _sent.connections


def _asking(frame: FrameType | None) -> str:
    """Return the innermost function of the engine that asks stores, with its module; else the one that carries it."""
    carrier = ""
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith("farshore.") and not module.startswith("farshore.stores."):
            name = f"{module.removeprefix('farshore.')}.{frame.f_code.co_qualname.partition('.<locals>')[0]}"
            if not module.startswith(_CARRIERS):
                return name
            carrier = name
        frame = frame.f_back
    return carrier or "asked ahead"

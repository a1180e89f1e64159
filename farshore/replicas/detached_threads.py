"""Threads for requests that nobody may have to wait for: neither the end of an operation nor that of the process.

A request to a store that hangs cannot be cancelled, only abandoned. A thread pool of the library would be joined when
the process ends, and so would hold it for minutes after everything was done; these are not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

Work = Callable[[], None]


class DetachedThreads:
    """At most `count` threads, started on demand and reused. Safe from many threads."""

    def __init__(self, threads_max: int, name: str) -> None:
        self._threads_max = threads_max
        self._name = name
        self._lock = threading.Lock()
        self._waiting: SimpleQueue[Work | None] = SimpleQueue()
        self._idle = 0
        self._threads = 0
        self._closed = False

    def start(self, work: Work) -> bool:
        """Begin `work`, which raises nothing, beside the caller; False, without beginning, if all are busy."""
        with self._lock:
            if self._closed:
                return False
            if self._idle:
                self._idle -= 1
                self._waiting.put(work)
                return True
            if self._threads >= self._threads_max:
                return False
            self._threads += 1
        threading.Thread(target=self._run, args=(work,), name=self._name, daemon=True).start()
        return True

    def close(self) -> None:
        """Let idle threads end, and the others when their work does. Waits for none. Safe to repeat."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, 0
        for _ in range(idle):
            self._waiting.put(None)

    def _run(self, work: Work | None) -> None:
        while work is not None:
            work()
            work = None  # its closure may hold megabytes
            with self._lock:
                if self._closed:
                    return
                self._idle += 1
            work = self._waiting.get()

"""The memory of a flow run while its tasks work.

A session owns open connections and threads, so it can be neither a task's argument nor its result. Tasks are given its
id and find it here. Tasks therefore run in the process of their flow: the task runner is always a pool of threads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from farshore.clock import Clock
from farshore.errors import Bug, Failure
from farshore.ops.backup.session import BackupSession
from tasks.progress import ProgressBoard, run_logger

STOPPED = "The run was stopped."
SEAL_STOP_S = 20.0  # a platform that stops a run kills it after half a minute or so


@dataclass
class Session:
    """One attempt of a flow run, and what its tasks need to know of each other."""

    session_id: str
    board: ProgressBoard = field(default_factory=ProgressBoard)
    stopped: threading.Event = field(default_factory=threading.Event)  # nothing more of this run is wanted
    left_behind: dict[str, str] = field(default_factory=dict)  # replicas that never took part, each with its reason
    sealing: threading.Lock = field(default_factory=threading.Lock)  # held while the source is being read
    _backup: BackupSession | None = None
    _opened: ExitStack = field(default_factory=ExitStack)

    def hold(self, backup: BackupSession, opened: ExitStack) -> None:
        """Keep a backup that has begun; `opened` is closed when the session ends."""
        self._opened.push(opened)
        self._backup = backup

    def require_backup(self) -> BackupSession:
        """Return the backup that the first task began."""
        if self._backup is None:
            raise Bug(f"session {self.session_id} has no backup begun")
        return self._backup

    def end(self, error: BaseException | None) -> None:
        """Stop what is still at work and close everything. A backup that `error` ended is recorded as failed.

        One that was interrupted is only closed: a person who stops a run waits for it, or kills it soon.
        """
        with self._opened:
            if self._backup is None:
                return
            if isinstance(error, Exception):
                self._backup.fail(error if isinstance(error, Failure) else Bug(repr(error)))
            elif error is not None:
                self.stopped.set()
                self._backup.stop()
            if not self.sealing.acquire(timeout=SEAL_STOP_S):
                run_logger().warning("sealing did not stop within %.0f s", SEAL_STOP_S)


class Sessions:
    """The live sessions of this process by id. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: dict[str, Session] = {}

    @contextmanager
    def enter(self, *, clock: Clock) -> Iterator[Session]:
        """Hold a new session for the length of the block; whatever ends the block ends and forgets the session."""
        session = Session(session_id=clock.random_bytes(8).hex())
        with self._lock:
            self._live[session.session_id] = session
        failure: BaseException | None = None
        try:
            yield session
        except BaseException as error:
            failure = error
            raise
        finally:
            with self._lock:
                del self._live[session.session_id]
            session.end(failure)

    def get(self, session_id: str) -> Session:
        """Return a live session.

        Raises:
            Bug: There is none: the task runs in another process than its flow, or after the flow ended.
        """
        with self._lock:
            session = self._live.get(session_id)
        if session is None:
            raise Bug(f"no live session {session_id} in this process")
        return session

    def count(self) -> int:
        """Return how many sessions are live."""
        with self._lock:
            return len(self._live)


SESSIONS = Sessions()

"""What every local server shares: a process of our own, started, watched, stopped, killed and started again.

A server never outlives its owner: the kernel kills it when the owner dies in any way (see `launch.py`), and
`close()` runs at a normal exit. Its directory is removed by `close()`; a directory that a killed owner left behind is
removed by the next owner on the machine, which knows by the lock that nobody holds any more.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import IO, ClassVar, Self

_LAUNCH = Path(__file__).with_name("launch.py")
_PREFIX = "farshore-local-"
_ORPHAN_AGE_S = 60.0  # a younger directory may not have its lock yet
_START_ATTEMPTS = 5  # new ports each time; a clash is rare, five in a row are not a clash
_READY_TIMEOUT_S = 90.0  # a loaded machine with two cores
_POLL_S = 0.05
_LOG_LINES = 40  # quoted when a server does not start


class ServerFailed(RuntimeError):
    """A local server did not start or ended by itself; the message quotes the end of its log."""


class _Spawner:
    """A thread that starts every server and lives as long as the process.

    Linux sends the death signal when the *thread* that started the child ends, so a server started by a worker thread
    would die with that worker.
    """

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]]]
        self._work = queue.SimpleQueue()
        threading.Thread(target=self._run, name="spawner", daemon=True).start()

    def _run(self) -> None:
        while True:
            start, future = self._work.get()
            try:
                future.set_result(start())
            except BaseException as error:  # noqa: BLE001 - handed to the caller whatever it is
                future.set_exception(error)

    def spawn(self, start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        future: Future[subprocess.Popen[bytes]] = Future()
        self._work.put((start, future))
        return future.result()


@functools.cache
def _spawner(_pid: int) -> _Spawner:
    return _Spawner()


def spawn(
    command: Sequence[str | Path],
    *,
    log: IO[bytes],
    cwd: Path,
    environment: Mapping[str, str],
    user: tuple[int, int] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command` in a session of its own, so that it dies with this process and not with a terminal's Ctrl-C."""
    uid, gid = ("-", "-") if user is None else map(str, user)
    prefix = [sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid()), uid, gid]
    return _spawner(os.getpid()).spawn(
        lambda: subprocess.Popen(
            [*prefix, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=cwd,
            env=dict(environment),
            start_new_session=True,
        )
    )


class LocalServer(ABC):
    """One real server on 127.0.0.1. Not safe for use by two threads at once; its clients are another matter.

    `start` may follow `stop` or `kill`: same data, same ports. As a context manager it starts, then closes.
    """

    title: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    stop_timeout_s: ClassVar[float] = 30.0

    def __init__(self) -> None:
        self._directory: Path | None = None
        self._lock: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: list[int] = []
        self._owner_pid = os.getpid()

    # --- what each server says of itself ------------------------------------------------------------------------------

    @abstractmethod
    def _pick_ports(self) -> list[int]:
        """Return the ports for the next start."""

    @abstractmethod
    def _command(self) -> list[str | Path]:
        """Return the command line; `directory` and `_ports` are set."""

    @abstractmethod
    def _check_ready(self) -> None:
        """Do one real operation; any exception means not yet."""

    @abstractmethod
    def _prepare(self) -> None:
        """Make what the first start needs in `directory`."""

    def _environment(self) -> dict[str, str]:
        return dict(os.environ)

    def _user(self) -> tuple[int, int] | None:
        return None

    # --- life ---------------------------------------------------------------------------------------------------------

    @property
    def directory(self) -> Path:
        """Where this server keeps its data, settings and log; made at first use, removed by `close`."""
        if self._directory is None:
            remove_orphans()
            self._directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
            self._directory.chmod(0o711)  # a server that runs as another user passes through
            self._lock = (self._directory / "owner.lock").open("wb")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            atexit.register(self._close_at_exit)
        return self._directory

    @property
    def log_path(self) -> Path:
        """The server's own log."""
        return self.directory / "server.log"

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise ServerFailed(f"{self.title} is not running")
        return self._process.pid

    def start(self) -> Self:
        """Start, or start again on the same data and ports, and return once a real operation has succeeded.

        Raises:
            ServerFailed: It did not come up; the message quotes its log.
        """
        if self.running:
            return self
        again = bool(self._ports)
        if not again:
            self._prepare()
        for attempt in range(1, _START_ATTEMPTS + 1):
            if not again:
                self._ports = self._pick_ports()
            with self.log_path.open("ab") as log:
                self._process = spawn(
                    self._command(), log=log, cwd=self.directory, environment=self._environment(), user=self._user()
                )
            if self._wait_ready():
                return self
            if attempt < _START_ATTEMPTS:
                time.sleep(_POLL_S * attempt)
        status = self._process.returncode if self._process else None
        raise ServerFailed(f"{self.title} ended with status {status} while starting\n{self._log_tail()}")

    def _wait_ready(self) -> bool:
        """Return True when it works, False when the process ended."""
        deadline = time.monotonic() + _READY_TIMEOUT_S
        time.sleep(_POLL_S)  # one that finds its port taken has ended by then, and no stranger is asked for answers
        while self.running:
            try:
                self._check_ready()
            except Exception as error:  # any failure only means "not yet"
                if time.monotonic() > deadline:
                    self.kill()
                    message = f"{self.title} was not ready after {_READY_TIMEOUT_S:.0f} s: {error}\n{self._log_tail()}"
                    raise ServerFailed(message) from error
                time.sleep(_POLL_S)
            else:
                return self.running  # an answer from a stranger on our port does not count
        return False

    def stop(self) -> None:
        """Ask it to end and wait; its data stays. Does nothing when it is not running."""
        if self._process is None:
            return
        if self.running:
            self._process.send_signal(self.stop_signal)
            try:
                self._process.wait(self.stop_timeout_s)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process = None

    def kill(self) -> None:
        """End it by SIGKILL, as a crash would, and wait; what is on its disk stays."""
        if self._process is None:
            return
        if self.running:
            self._process.kill()
        self._process.wait()
        self._process = None

    def close(self) -> None:
        """End it and remove its directory. Safe to repeat."""
        self.kill()
        self._ports = []
        if self._directory is not None:
            atexit.unregister(self._close_at_exit)
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _close_at_exit(self) -> None:
        if os.getpid() == self._owner_pid:  # a forked child of the owner must not end the owner's server
            self.close()

    def _log_tail(self) -> str:
        with contextlib.suppress(OSError):
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-_LOG_LINES:])
        return "(no log)"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def remove_orphans() -> None:
    """Remove the directories of owners that were killed."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            if time.time() - directory.stat().st_mtime < _ORPHAN_AGE_S:
                continue
            with (directory / "owner.lock").open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(directory, ignore_errors=True)
        except OSError:  # held, already gone, or not ours to remove
            continue

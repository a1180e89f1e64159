"""The command line in a process of its own, forked from one that has imported everything.

Most of the work of a short command is to start Python and to import Arrow and the SDKs. A server process does that once
for all tests of a session: it forks, and the child runs the console script's own entry with the streams, folder,
arguments and environment that the test gives, to the interpreter's normal end.

Not for tests of starting itself, of streams that are closed, of terminals or of limits: they start `farshore`.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import farshore
from farshore.cli.main import run

_ROOT = Path(__file__).parents[2]
_ORDER_BYTES_MAX = 1 << 20
_READ_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_")


def read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that Python or the C library reads at its start, which a fork comes too late for."""
    return {name: value for name, value in environment.items() if name.startswith(_READ_AT_START)}


class Started:
    """One command that runs. A context manager: leaving it kills the command if it still runs. One thread.

    `environment` must have the variables of `read_at_start` that this process has.
    """

    def __init__(self, words: Sequence[str], *, folder: Path, environment: Mapping[str, str], stdin: str = "") -> None:
        assert read_at_start(environment) == read_at_start(os.environ)
        self._streams = [tempfile.TemporaryFile() for _ in range(3)]  # noqa: SIM115 - closed when this is left
        self._streams[0].write(stdin.encode())
        self._streams[0].seek(0)
        self._keeper, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        order = json.dumps([list(words), str(folder), dict(environment)]).encode()
        with theirs:
            numbers = [theirs.fileno(), *(stream.fileno() for stream in self._streams)]
            socket.send_fds(_server(), [order], numbers)
        self.pid = int(self._keeper.recv(100))
        self.returncode: int | None = None  # minus the signal that ended it, where one did

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait(60)
        for stream in self._streams:
            stream.close()
        self._keeper.close()

    def poll(self) -> int | None:
        """Return how it ended, or None while it runs."""
        try:
            return self.wait(0)
        except TimeoutError:
            return None

    def wait(self, timeout_s: float) -> int:
        """Return how it ended, once it has. Raises `TimeoutError` if that takes longer."""
        if self.returncode is None:
            self._keeper.settimeout(timeout_s)
            try:
                self.returncode = os.waitstatus_to_exitcode(int(self._keeper.recv(100)))
            except BlockingIOError as error:  # how a time-out of zero ends
                raise TimeoutError from error
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it ends, and is waited for, between the two lines
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def printed(self) -> tuple[str, str]:
        """Return what it has printed so far on either stream."""
        texts = []
        for stream in self._streams[1:]:
            stream.seek(0)
            texts.append(stream.read().decode().replace("\r\n", "\n"))
        return texts[0], texts[1]


@functools.cache
def _server() -> socket.socket:
    """Start the server of this process; it ends when its socket is closed, however this process ends."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(
        [sys.executable, "-P", __file__, str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        cwd=_ROOT,
        stdin=subprocess.DEVNULL,
    )
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait(60)

    atexit.register(end)
    return ours


def _serve(orders: socket.socket) -> None:
    """Fork for each order; return when nobody can send one any more."""
    keepers: set[int] = set()
    while True:
        data, numbers, _, _ = socket.recv_fds(orders, _ORDER_BYTES_MAX, 4)
        keepers -= {pid for pid in keepers if os.waitpid(pid, os.WNOHANG)[0]}
        if not data:
            return
        pid = os.fork()
        if pid == 0:
            orders.close()
            _keep(data, numbers)
        keepers.add(pid)
        for number in numbers:
            os.close(number)


def _keep(data: bytes, numbers: Sequence[int]) -> None:
    """Fork once more; the child becomes the command, and this process reports its pid and how it ended."""
    reports = socket.socket(fileno=numbers[0])
    pid = os.fork()
    if pid == 0:
        reports.close()
        _become(data, numbers[1:])
    reports.send(str(pid).encode())
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):  # where nobody waits any more
        reports.send(str(status).encode())
    os._exit(0)


def _become(data: bytes, streams: Sequence[int]) -> None:
    """Be the command, as the console script is; ends by `SystemExit`."""
    words, folder, environment = json.loads(data)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    sys.argv = ["farshore", *words]
    run()


def _import_everything() -> None:
    """Import all of farshore and what it imports."""
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # as the entry does, before Arrow is loaded
    for module in pkgutil.walk_packages(farshore.__path__, "farshore."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.freeze()  # or each child would visit every object of these modules, and so copy most of the memory


if __name__ == "__main__":
    _import_everything()
    _serve(socket.socket(fileno=int(sys.argv[1])))

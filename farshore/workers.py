"""Child processes of our own, for work that Python does on one core only: one contract for all of them.

A worker gets orders on its standard input and answers on its standard output, both in frames (see `farshore.frames`).
It ends when its orders end, so it cannot outlive its parent. It sees the code that its parent sees and no other, and is
in a process group of its own, so an interrupt at the terminal reaches only the parent. Of the environment it gets what
a process needs to run, and nothing that may be a secret; and it leaves no core dump.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from farshore.errors import Bug, ToolUnavailable
from farshore.frames import Frame, read_frame, write_frame

_START = (
    "import sys; sys.path[:] = {path!r}; "
    "from farshore.host_resources import forbid_core_dumps; forbid_core_dumps(); "
    "from {module} import main; main()"
)
# By the beginning of their names: where programs and libraries are, language and time zone, settings of allocators.
_PLAIN = ("PATH", "LD_", "LANG", "LC_", "TZ", "TMPDIR", "MALLOC_", "GLIBC_", "ARROW_")
# For the SDKs of stores, which look for credentials, proxies and certificates by themselves.
_SDKS = (
    "AWS_", "BOTO_", "GOOGLE_", "GCE_", "GCLOUD_", "CLOUDSDK_", "STORAGE_EMULATOR_", "AZURE_", "MSI_", "IDENTITY_",
    "HOME", "XDG_", "SSL_", "REQUESTS_", "CURL_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
)  # fmt: skip
_ENDING_S = 10.0  # a process without orders ends at once; one that hangs in the kernel must not hang us


@dataclass(slots=True, eq=False)
class Worker:
    """One child process. Used by one thread, beside the one that listens to it where `listen` was called."""

    process: subprocess.Popen[bytes]
    orders: IO[bytes]
    answers: IO[bytes]
    _listener: threading.Thread | None = None

    def send(self, letter: bytes, *parts: bytes | memoryview) -> None:
        """Send an order. Blocks while the pipe is full; a process that is gone shows by its answers, which end."""
        with contextlib.suppress(BrokenPipeError):
            write_frame(self.orders, letter, *parts)

    def receive(self) -> Frame | None:
        """Wait for an answer; None where the process is gone."""
        return read_frame(self.answers)

    def listen(self, on_answer: Callable[[Frame | None], None]) -> None:
        """Have a thread receive every answer, so that the process never waits with one while it is sent orders.

        Args:
            on_answer: Called in that thread with each answer, and with None once the process is gone.
        """
        self._listener = threading.Thread(target=self._listen, args=(on_answer,), name="listen", daemon=True)
        self._listener.start()

    def how_it_ended(self) -> str:
        """Wait for the process, and say how it ended: `by SIGKILL`, `with status 1`."""
        status = self.process.wait()
        return f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"

    def gone(self, task: str) -> ToolUnavailable:
        """Wait for a process of a backup that ended before its work did, and return the error that says so."""
        return ToolUnavailable(
            f"a process that {task} ended {self.how_it_ended()}",
            "Nothing was committed. Look for a lack of memory, then run again.",
        )

    def end_orders(self) -> None:
        """Close the orders, by which the process ends. Without a listener nobody waits for its answers either."""
        with contextlib.suppress(OSError):
            self.orders.close()
        if self._listener is None:
            self.answers.close()

    def wait(self) -> None:
        """Wait for a process whose orders have ended; kill it where it does not end. Safe to repeat."""
        try:
            self.process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self._listener is not None:
            self._listener.join()
        self.answers.close()

    def _listen(self, on_answer: Callable[[Frame | None], None]) -> None:
        while self._hand_over(on_answer):
            pass
        on_answer(None)

    def _hand_over(self, on_answer: Callable[[Frame | None], None]) -> bool:
        """Hand the next answer over; False at the end. A call of its own: while it waits, no earlier answer is held."""
        frame = self.receive()
        if frame is None:
            return False
        on_answer(frame)
        return True


def spawn(
    module: str,
    arguments: Sequence[str] = (),
    *,
    pass_fds: Sequence[int] = (),
    bufsize: int = -1,
    opens_stores: bool = False,
) -> Worker:
    """Start `main` of a module as a worker.

    Args:
        opens_stores: Whether it also gets the variables by which SDKs of stores find credentials and proxies.
        bufsize: Of both pipes, as `open` has it. 0 where a selector waits for answers: it does not see buffered ones.

    Raises:
        OSError: It could not be started.
    """
    start = _START.format(path=[str(Path(one).absolute()) for one in sys.path], module=module)
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", start, *arguments],
        bufsize=bufsize,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=pass_fds,
        process_group=0,
        env=_environment((*_PLAIN, *_SDKS) if opens_stores else _PLAIN),
    )
    if process.stdin is None or process.stdout is None:
        raise Bug("a process was started without pipes")
    return Worker(process, process.stdin, process.stdout)


def _environment(beginnings: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.upper().startswith(beginnings)}


def close_all(workers: Iterable[Worker]) -> None:
    """End workers, all at the same time, and drop what they have not answered. Safe to repeat."""
    ending = list(workers)
    for worker in ending:
        worker.end_orders()
    for worker in ending:
        worker.wait()


def processes_that_pay(most: int) -> int:
    """Return how many processes pay on this machine, at most `most`: on one core none does."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, most) if cores > 1 and sys.executable else 0


def make_shared(name: str, size: int) -> int:
    """Return the descriptor of new memory that processes can share; it shows as `name`, and nothing can open it so.

    Raises:
        OSError: It could not be made.
    """
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create(name, os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, size)
    return fd

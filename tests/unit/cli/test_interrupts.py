"""Trials N3, F20: nothing holds an interrupt back, whatever the main thread is at."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from farshore.aside import run_aside

# Held back in a `finally`, as a pool is that waits for requests which hang.
HELD_BACK = """
import sys, threading
from farshore.cli import process
process.INTERRUPT_PATIENCE_S = 0.1
with process.stop_on_signals(sys.stderr):
    try:
        print("ready", flush=True)
        threading.Event().wait()
    finally:
        threading.Event().wait()
"""


def test_an_interrupt_of_what_waits_asks_the_work_to_stop_and_does_not_wait() -> None:
    working, stopped = threading.Event(), threading.Event()

    def work() -> None:
        working.set()
        stopped.wait()

    def interrupt() -> None:
        working.wait()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run_aside(work, stop=stopped.set)
    assert stopped.is_set()


def test_what_the_work_returns_or_raises_is_handed_on() -> None:
    assert run_aside(lambda: 7, stop=lambda: None) == 7
    with pytest.raises(ZeroDivisionError):
        run_aside(lambda: 1 // 0, stop=lambda: None)


def test_a_process_that_hears_nothing_ends_all_the_same() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HELD_BACK], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        started_s = time.monotonic()
        child.send_signal(signal.SIGTERM)
        _, stderr = child.communicate(timeout=120)

    assert child.returncode == 143
    assert "stopped; nothing that was committed is lost" in stderr
    assert time.monotonic() - started_s < 100

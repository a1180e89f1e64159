"""A call into foreign code that does not look at signals: made in a thread of its own, so that Ctrl-C is heard at once.

Python hears a signal in its main thread, and only between two of its own instructions.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

_Answer = TypeVar("_Answer")
_LOOK_S = 0.2  # a signal that comes just before a thread begins to wait does not wake it


def run_aside(work: Callable[[], _Answer], *, stop: Callable[[], None]) -> _Answer:
    """Return what `work` returns, or raise what it raises. Costs the start of a thread.

    An interrupt of the waiting thread calls `stop` and is raised at once, whether the work has ended or not.

    Args:
        stop: Asks the work to end soon; called from the waiting thread.
    """
    answers: list[_Answer] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def run() -> None:
        try:
            answers.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            errors.append(error)
        done.set()

    try:
        threading.Thread(target=run, name="aside", daemon=True).start()
        while not done.wait(_LOOK_S):
            pass
    except BaseException:
        stop()
        raise
    if errors:
        raise errors.pop()
    return answers.pop()

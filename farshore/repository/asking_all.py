"""The same question to all replicas at once, without waiting for ever for one of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import TypeVar

from farshore import limits
from farshore.clock import Clock
from farshore.errors import FarshoreError, StoreUnavailable
from farshore.repository.loose_threads import LooseThreads

Answer = TypeVar("Answer")
_PATIENCE_FACTOR = 2.0  # of what the first answer took: a long listing takes long everywhere


def ask_all(
    names: Collection[str], ask: Callable[[str], Answer], *, clock: Clock, patient: bool
) -> tuple[dict[str, Answer], dict[str, FarshoreError]]:
    """Ask every replica at the same time; return the answers, and why there is none, by name.

    Args:
        patient: Wait for all. Else, once one has answered, the others have `LISTING_PATIENCE_S` left, or twice the time
            that it took: whoever is silent then has failed, and what it says later is dropped.
    """
    threads = LooseThreads(max(len(names), 1), "ask")
    given: dict[str, Answer] = {}
    failed: dict[str, FarshoreError] = {}
    lock, news = threading.Lock(), threading.Event()
    started_s = clock.monotonic_s()

    def one(name: str) -> None:
        try:
            answer = ask(name)
            with lock:
                given[name] = answer
        except FarshoreError as error:
            with lock:
                failed[name] = error
        except Exception as error:  # noqa: BLE001 - raised below, in the thread that asked
            with lock:
                broken.append(error)
        news.set()

    broken: list[Exception] = []
    for name in names:
        threads.start(lambda name=name: one(name))  # type: ignore[misc]
    threads.close()
    deadline_s: float | None = None
    while True:
        with lock:
            news.clear()
            if broken:
                raise broken[0]
            if len(given) + len(failed) == len(names):
                break
            now_s = clock.monotonic_s()
            if given and not patient and deadline_s is None:
                patience_s = max(limits.LISTING_PATIENCE_S, _PATIENCE_FACTOR * (now_s - started_s))
                deadline_s = now_s + patience_s
        if deadline_s is None:
            news.wait()  # the stores' own time-outs end it
        elif not clock.wait_s(max(deadline_s - now_s, 0.0), news):
            break
    with lock:  # in the order of the names, and nothing that comes later
        answers = {name: given[name] for name in names if name in given}
        late = {name: _silent(name) for name in names if name not in given and name not in failed}
        errors = {name: failed.get(name) or late[name] for name in names if name in failed or name in late}
    return answers, errors


def _silent(name: str) -> StoreUnavailable:
    return StoreUnavailable(f"{name} gave no answer long after another replica had, and was not waited for")

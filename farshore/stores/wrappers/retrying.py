"""Wrappers that meet a failing store: one tries again, and nothing else does; one leaves it alone for a while.

The breaker is closed while everything passes. After `failures_max` passing failures in a row, over all threads, it
opens: every call fails at once with `StorePaused`, which says how long. When that time is over, the next call is let
through as a probe, and until it ends all others still fail at once (half-open). An answer closes it, a failure opens it
for longer.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from farshore.clock import Clock
from farshore.errors import FarshoreError, ObjectArchived, StorePaused, Unavailable
from farshore.limits import (
    BREAKER_FAILURES_MAX,
    BREAKER_PAUSE_S,
    BREAKER_PAUSE_S_MAX,
    RETRY_AFTER_S_MAX,
    RETRY_ATTEMPTS_MAX,
    RETRY_BASE_S,
    RETRY_PAUSE_S_MAX,
    RETRY_WAIT_S_MAX,
)
from farshore.stores.base import DeletionErrors, ObjectInfo, SeenObjects, Store
from farshore.stores.wrappers import Answer, WrappingStore


class RetryingStore(WrappingStore):
    """The same store; errors that are `retryable` are met with waiting and another attempt.

    Waits grow twofold with full jitter: the nth is a random part of `base_s * 2 ** (n - 1)`, at most `wait_s_max`. A
    wait that the service asked for is added to it, and so obeyed: nothing is asked earlier. One of more than
    `RETRY_AFTER_S_MAX` is not sat out, nor is a breaker's pause of more than `RETRY_PAUSE_S_MAX`: the error is raised
    at once, and the caller decides what else to do. A put is safe to repeat by the contract, also after a lost
    reply. The last error is raised unchanged.

    Args:
        attempts_max: Attempts for one request, the first included.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        attempts_max: int = RETRY_ATTEMPTS_MAX,
        base_s: float = RETRY_BASE_S,
        wait_s_max: float = RETRY_WAIT_S_MAX,
    ) -> None:
        super().__init__(store)
        self._clock = clock
        self._attempts_max = attempts_max
        self._base_s = base_s
        self._wait_s_max = wait_s_max
        self._lock = threading.Lock()
        self._retries = 0

    @property
    def retries(self) -> int:
        """How many attempts were made beyond the first ones, over all requests."""
        with self._lock:
            return self._retries

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """As the contract says; after a failure the listing starts again and goes on behind the last name given."""
        failures = 0
        last = ""
        while True:
            try:
                for info in self._store.list(prefix):
                    if info.name > last:
                        yield info
                        last = info.name
                        failures = 0  # it moves: a long listing may meet more trouble than one request
                return
            except FarshoreError as error:
                failures += 1
                self._wait(error, failures)

    def delete_many(self, objects: SeenObjects) -> DeletionErrors:
        """As the contract says; objects whose errors pass are asked for again, the others are not."""
        found: DeletionErrors = [None] * len(objects)
        left, failures = [*range(len(objects))], 0
        while left:
            for at, error in zip(left, self._delete_once([objects[at] for at in left]), strict=True):
                found[at] = error
            passing = {at: error for at in left if (error := found[at]) is not None and error.retryable}
            left, failures = [*passing], failures + 1
            if left and not self._has_waited(passing[left[0]], failures):
                break
        return found

    def _delete_once(self, objects: SeenObjects) -> DeletionErrors:
        return self._call("delete_many", "", lambda: self._store.delete_many(objects))

    def _call(self, verb: str, name: str, request: Callable[[], Answer]) -> Answer:
        failures = 0
        while True:
            try:
                return request()
            except FarshoreError as error:
                failures += 1
                self._wait(error, failures)

    def _wait(self, error: FarshoreError, failures: int) -> None:
        """Wait before the next attempt, or raise `error` if there is none to be made."""
        if not self._has_waited(error, failures):
            raise error

    def _has_waited(self, error: FarshoreError, failures: int) -> bool:
        """Wait before the next attempt; False if there is none to be made."""
        by_the_hour = isinstance(error, ObjectArchived)  # waiting seconds for an archive is useless
        if not error.retryable or by_the_hour or failures >= self._attempts_max:
            return False
        asked_s = error.wait_s if isinstance(error, Unavailable) else 0.0
        if asked_s > (RETRY_PAUSE_S_MAX if isinstance(error, StorePaused) else RETRY_AFTER_S_MAX):
            return False
        longest_s = min(self._wait_s_max, self._base_s * 2 ** (failures - 1))
        self._clock.wait_s(asked_s + longest_s * self._clock.jitter())
        with self._lock:
            self._retries += 1
        return True


class BreakerStore(WrappingStore):
    """The same store, with a circuit breaker. Safe from many threads; it never waits.

    Only `Unavailable` is a failure. Anything else, a refusal too, is an answer: the service is there. Pauses grow
    twofold, each between half and all of its length at random, so that many hosts do not probe in one moment; one is
    never shorter than the service asked for. The outcome of a call that began before it opened counts only if it
    succeeded.

    Args:
        failures_max: Passing failures in a row that open it.
        pause_s: The first pause.
    """

    def __init__(
        self,
        store: Store,
        *,
        clock: Clock,
        failures_max: int = BREAKER_FAILURES_MAX,
        pause_s: float = BREAKER_PAUSE_S,
        pause_s_max: float = BREAKER_PAUSE_S_MAX,
    ) -> None:
        super().__init__(store)
        self._clock = clock
        self._failures_max = failures_max
        self._pause_s = pause_s
        self._pause_s_max = pause_s_max
        self._lock = threading.Lock()
        self._failures = 0  # in a row
        self._pauses = 0  # in a row; 0 when it is closed
        self._probe_at_s = 0.0
        self._probing = False

    @property
    def state(self) -> str:
        """`closed`, `open`, or `half-open` from the moment when a probe may be sent."""
        with self._lock:
            if self._pauses == 0:
                return "closed"
            return "half-open" if self._probing or self._clock.monotonic_s() >= self._probe_at_s else "open"

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """As the contract says; the first name is the answer, so a listing that is read slowly keeps no probe back."""
        with self._guarded():
            listed = self._store.list(prefix)
            first = next(listed, None)
        if first is None:
            return
        yield first
        try:
            yield from listed
        except Unavailable as error:
            self._failed(error, is_probe=False)
            raise

    def _call(self, verb: str, name: str, request: Callable[[], Answer]) -> Answer:
        with self._guarded():
            return request()

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Let one call pass, or raise `StorePaused`; record how it ended."""
        is_probe = self._admit()
        try:
            yield
        except ObjectArchived:  # passing, by the hour, and an answer
            self._answered()
            raise
        except Unavailable as error:
            self._failed(error, is_probe=is_probe)
            raise
        except Exception:
            self._answered()
            raise
        except BaseException:  # interrupted, so nobody knows; the next call may probe
            with self._lock:
                self._probing = self._probing and not is_probe
            raise
        self._answered()

    def _admit(self) -> bool:
        """Return whether this call is the probe."""
        with self._lock:
            if self._pauses == 0:
                return False
            left_s = self._probe_at_s - self._clock.monotonic_s()
            if left_s > 0 or self._probing:
                raise StorePaused(
                    f"{self.url} failed {self._failures} times in a row and is asked again in {max(left_s, 0.0):.1f} s",
                    wait_s=max(left_s, self._pause_s / 2),
                )
            self._probing = True
            return True

    def _answered(self) -> None:
        with self._lock:
            self._failures = self._pauses = 0
            self._probing = False

    def _failed(self, error: Unavailable, *, is_probe: bool) -> None:
        with self._lock:
            self._failures += 1
            if is_probe:
                self._probing = False
            elif self._pauses or self._failures < self._failures_max:
                return
            longest_s = min(self._pause_s * 2.0**self._pauses, self._pause_s_max)
            pause_s = longest_s * (1 + self._clock.jitter()) / 2
            self._probe_at_s = self._clock.monotonic_s() + max(pause_s, min(error.wait_s, RETRY_AFTER_S_MAX))
            self._pauses += 1

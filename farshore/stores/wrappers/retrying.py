"""A wrapper that tries again: the one place where single requests are retried."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from farshore.clock import Clock
from farshore.errors import FarshoreError, ObjectArchived, StorePaused, Unavailable
from farshore.limits import RETRY_AFTER_S_MAX, RETRY_ATTEMPTS_MAX, RETRY_BASE_S, RETRY_PAUSE_S_MAX, RETRY_WAIT_S_MAX
from farshore.stores.base import ObjectInfo, Store
from farshore.stores.wrappers.base import Answer, WrappingStore


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
        by_the_hour = isinstance(error, ObjectArchived)  # waiting seconds for an archive is useless
        if not error.retryable or by_the_hour or failures >= self._attempts_max:
            raise error
        asked_s = error.wait_s if isinstance(error, Unavailable) else 0.0
        if asked_s > (RETRY_PAUSE_S_MAX if isinstance(error, StorePaused) else RETRY_AFTER_S_MAX):
            raise error
        longest_s = min(self._wait_s_max, self._base_s * 2 ** (failures - 1))
        self._clock.wait_s(asked_s + longest_s * self._clock.jitter())
        with self._lock:
            self._retries += 1

"""A wrapper that leaves a failing store alone for a while, and then asks it by one request at a time.

Closed: everything passes. After `failures_max` passing failures in a row, over all threads, it opens: every call fails
at once with `StorePaused`, which says how long. When that time is over, the next call is let through as a probe, and
until it ends all others still fail at once (half-open). An answer closes it, a failure opens it for longer.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from farshore.clock import Clock
from farshore.errors import ObjectArchived, StorePaused, Unavailable
from farshore.limits import BREAKER_FAILURES_MAX, BREAKER_PAUSE_S, BREAKER_PAUSE_S_MAX, RETRY_AFTER_S_MAX
from farshore.stores.base import ObjectInfo, Store
from farshore.stores.wrappers.base import Answer, WrappingStore


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

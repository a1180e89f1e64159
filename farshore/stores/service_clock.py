"""The offset of a service's clock from this host's, measured from its answers. Costs no request."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Protocol, runtime_checkable

from farshore.clock import Clock

_BEFORE_ANY_STORE = datetime(1990, 1, 1, tzinfo=UTC)  # a file system without times stamps files with its epoch


class ServiceClock:
    """The last difference that was seen. Safe from many threads: a difference is written as a whole.

    Args:
        clock: This host's; None for nobody who wants to know.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock
        self.skew_s: float | None = None  # the service's time less this host's; None before any answer had a time

    def note(self, service_utc: datetime) -> None:
        """Compare a time that the service sent just now. A time that no service can mean is ignored."""
        if self._clock is not None and service_utc > _BEFORE_ANY_STORE:
            self.skew_s = (service_utc - self._clock.now_utc()).total_seconds()

    def note_header(self, date: str | None) -> None:
        """Compare the `Date` of an answer, where it has one that can be read."""
        if self._clock is None or not date:
            return
        try:
            self.note(parsedate_to_datetime(date).astimezone(UTC))
        except (ValueError, OverflowError):
            return


@runtime_checkable
class HasServiceClock(Protocol):
    """A store that notes the time of its service."""

    @property
    def service_clock(self) -> ServiceClock:
        """The clock of its service."""
        ...

"""How long a service asks to be left alone, from the headers of its answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_MILLISECONDS = ("x-ms-retry-after-ms", "retry-after-ms")  # what Azure says beside `Retry-After`


def requested_wait_s(headers: Mapping[str, str] | None) -> float:
    """Return the seconds that an answer tells to wait, 0 where it tells none or nothing that can be understood.

    A moment instead of seconds is counted from the answer's own `Date`, so this host's clock does not matter.
    """
    told = {name.lower(): str(value).strip() for name, value in (headers or {}).items()}
    for name in _MILLISECONDS:
        if told.get(name, "").isdecimal():
            return int(told[name]) / 1000
    value = told.get("retry-after", "")
    if value.isdecimal():
        return float(value)
    try:
        until, now = parsedate_to_datetime(value), parsedate_to_datetime(told.get("date", ""))
        return max((_in_utc(until) - _in_utc(now)).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return 0.0


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

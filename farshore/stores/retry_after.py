"""How long a service asks to be left alone, from the headers of its answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_MILLISECONDS = ("x-ms-retry-after-ms", "retry-after-ms")  # of Azure, beside `Retry-After`


def requested_wait_s(headers: Mapping[str, str] | None) -> float:
    """Return the wait that an answer asks for, in seconds; 0 where it asks for none or cannot be parsed.

    A moment instead of seconds is counted from the answer's own `Date`, so this host's clock does not matter.
    """
    fields = {name.lower(): str(value).strip() for name, value in (headers or {}).items()}
    for name in _MILLISECONDS:
        if fields.get(name, "").isdecimal():
            return int(fields[name]) / 1000
    value = fields.get("retry-after", "")
    if value.isdecimal():
        return float(value)
    try:
        until, now = parsedate_to_datetime(value), parsedate_to_datetime(fields.get("date", ""))
        return max((_in_utc(until) - _in_utc(now)).total_seconds(), 0.0)
    except (TypeError, ValueError):
        return 0.0


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

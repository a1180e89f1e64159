"""Answers of SQL engines as JSON can hold them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal


def plain(value: object) -> object:
    """Return a value as JSON can hold it."""
    match value:
        case datetime():  # without a zone it is in UTC, the zone of the session
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
        case timedelta():  # ClickHouse gives a number of seconds by itself
            return value.total_seconds()
        case date():
            return value.isoformat()
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case list() | tuple():
            return [plain(item) for item in value]
        case _:
            return value

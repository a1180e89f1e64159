"""How values are written: figures, times and names for people, and records for programs. Pure.

With `--json`, one JSON object per line, each with a `type`. Fields are those of `farshore.results` and
`farshore.model`, with the same names. Times are ISO 8601 in UTC, sizes are bytes. A name is text in `path`; where it is
no UTF-8, `path` holds escapes and `path_bytes` the exact bytes in base64.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from farshore.errors import Failure, FarshoreError

if TYPE_CHECKING:
    from farshore.model import ReplicaRequests
    from farshore.results import ReadRepaired

ID_DIGITS_SHOWN = 12  # a prefix that stays unique among many millions of snapshots
_STEP = 1024
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
Record = dict[str, Any]
NOT_ASKED = "replica-not-asked"  # code of the warning about each replica that could not be asked


def human_bytes(count: int) -> str:
    """Return a size by its binary unit, such as `1.5 GiB`."""
    size, unit = float(count), 0
    while abs(size) >= _STEP and unit < len(_UNITS) - 1:
        size /= _STEP
        unit += 1
    shown = f"{size:.0f}" if unit == 0 or abs(size) >= 100 else f"{size:.1f}"
    if shown == str(_STEP) and unit < len(_UNITS) - 1:  # 1023.7 KiB reads 1.0 MiB
        shown, unit = "1.0", unit + 1
    return f"{shown} {_UNITS[unit]}"


def compact_bytes(count: int) -> str:
    """Return a size without a space, so that columns stay columns for cut and awk."""
    return human_bytes(count).replace(" ", "")


def utc_time(moment: datetime | None) -> str:
    """Return a moment in UTC to the second, such as `2026-11-21T05:00:00Z`, or `-`."""
    if moment is None:
        return "-"
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc_time_exact(moment: datetime) -> str:
    """Return a moment in UTC to the microsecond where it has any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def age_of(moment: datetime, now_utc: datetime) -> str:
    """Return how long ago something was, by its two largest units: `12d4h`, `5m10s`."""
    from farshore.config import format_duration

    return format_duration(max(now_utc - moment, timedelta()))


def elapsed(duration: timedelta) -> str:
    """Return a duration in words: `0.8 s`, `4 min 5 s`, `2 h 10 min`."""
    seconds = duration.total_seconds()
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, left_s = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {left_s} s"
    hours, left_minutes = divmod(minutes, 60)
    return f"{hours} h {left_minutes} min"


def format_repair(one: ReadRepaired) -> str:
    """Return the line on one object that was bad at one replica."""
    if one.mended:
        return f"mended: {one.name} at {one.replica}, {one.action} with the copy of {one.source}"
    return f"not mended: {one.name} at {one.replica} ({one.action}): {shown_text(one.detail)}"


def format_requests(requests: Iterable[ReplicaRequests]) -> list[str]:
    """Return a line for each replica: requests by kind, and the bytes up and down."""
    lines: list[str] = []
    for one in requests:
        kinds = {"put": one.puts, "get": one.gets, "head": one.heads, "list": one.lists, "delete": one.deletes}
        said = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count) or "none"
        lines.append(
            f"  requests to {one.replica}: {said}; {human_bytes(one.bytes_up)} up, {human_bytes(one.bytes_down)} down"
        )
    return lines


def shown_path(path: bytes) -> str:
    """Return a path on one line: bytes that are no UTF-8, and characters that would move the cursor, as escapes."""
    return shown_text(path.decode("utf-8", "backslashreplace"))


def shown_text(text: str) -> str:
    """Return text that a terminal shows as it is: no line ends, no control characters, no lone surrogates."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _escape(one) for one in text)


def shown_lines(text: str) -> str:
    """Return lines that a terminal shows as they are: as `shown_text`, but for line ends and tabs."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in "\n\t" else _escape(one) for one in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def record_of(kind: str, value: Any, **more: Any) -> Record:
    """Return a result dataclass of the model as a record of type `kind`, followed by `more`."""
    return {"type": kind, **fields_of(value), **{name: plain(one) for name, one in more.items()}}


def error_record(error: Failure) -> Record:
    """Return an error as a record."""
    return {
        "type": "error",
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "exit_code": error.exit_code,
        "retryable": error.retryable,
    }


def unasked_fields(replica: str, error: FarshoreError) -> dict[str, str]:
    """Return the fields of the warning about a replica that could not be asked."""
    return {
        "message": f"{replica} could not be asked: {error.code}: {error.message}",
        "code": NOT_ASKED,
        "replica": replica,
        "reason": error.code,
    }


def fields_of(value: Any) -> Record:
    """Return the fields of a dataclass or named tuple, with names as text and, where they need it, as bytes.

    A field that `repr` leaves out is no part of a record.
    """
    fields: Record = {}
    known = getattr(value, "_fields", None) or [one.name for one in dataclasses.fields(value) if one.repr]
    for name in known:
        content = getattr(value, name)
        if name == "xattrs":
            fields["xattrs"] = [{"name": _text(key), "value_bytes": _base64(data)} for key, data in content]
        elif name == "facts":
            fields["facts"] = dict(content)
        elif isinstance(content, bytes):
            fields.update(_name(name, content))
        elif isinstance(content, tuple) and content and all(isinstance(item, bytes) for item in content):
            fields[name] = [_text(item) for item in content]
            if not all(_is_text(item) for item in content):
                fields[f"{name}_bytes"] = [None if _is_text(item) else _base64(item) for item in content]
        else:
            fields[name] = plain(content)
    return fields


def plain(value: Any) -> Any:
    """Return a value as JSON knows it; what it does not know becomes text."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if dataclasses.is_dataclass(value) or hasattr(value, "_fields"):
        return fields_of(value)
    for kinds, convert in _CONVERSIONS:
        if isinstance(value, kinds):
            return convert(value)
    return str(value)


def encode_record(record: Record) -> str:
    """Return a record as one line of ASCII JSON, so no locale and no name can break it."""
    return json.dumps(record, ensure_ascii=True, allow_nan=False, default=str)


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)  # JSON has no word for infinity


def _moment(value: datetime) -> str:
    return utc_time_exact(value) if value.tzinfo else value.isoformat()


def _decimal(value: Decimal) -> int | str:
    return int(value) if value.is_finite() and value == value.to_integral_value() else str(value)


def _name(field: str, data: bytes) -> Record:
    return {field: _text(data)} if _is_text(data) else {field: _text(data), f"{field}_bytes": _base64(data)}


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


_CONVERSIONS: tuple[
    tuple[Any, Callable[[Any], Any]], ...
] = (  # the first that fits: StrEnum is text, datetime is a date
    (Enum, lambda value: value.value),
    (str, str),
    (float, _number),
    (datetime, _moment),
    (date, date.isoformat),
    (timedelta, timedelta.total_seconds),
    (Decimal, _decimal),
    ((bytes, bytearray, memoryview), lambda value: _base64(bytes(value))),
    (Mapping, lambda value: {str(key): plain(one) for key, one in value.items()}),
    ((list, tuple, set, frozenset), lambda value: [plain(one) for one in value]),
    (PurePath, lambda value: _text(bytes(value))),
)

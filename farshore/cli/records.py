"""The records that `--json` prints: one JSON object per line, each with a `type`. Pure.

Fields are those of `farshore.results` and `farshore.model`, with the same names. Times are ISO 8601 in UTC, sizes are
bytes. A name is text in `path`; where it is no UTF-8, `path` holds escapes and `path_bytes` the exact bytes in base64.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any

from farshore.cli.wording import utc_time_exact
from farshore.errors import Failure, FarshoreError

Record = dict[str, Any]
NOT_ASKED = "replica-not-asked"  # code of the warning about each replica that could not be asked


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

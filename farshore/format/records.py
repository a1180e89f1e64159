"""Canonical JSON and times in it. Pure; docs/reference/format.md, at its head.

One byte string for one value, so that hashes and put-if-absent agree everywhere.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from farshore.errors import ObjectCorrupt

JsonObject = dict[str, Any]


def encode_canonical(value: JsonObject) -> bytes:
    """Return UTF-8 with sorted keys, no spaces, no NaN, ending in one newline."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def decode_object(data: bytes, what: str) -> JsonObject:
    """Return the JSON object, or raise `ObjectCorrupt` naming `what`."""
    try:
        value = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ObjectCorrupt(f"{what} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ObjectCorrupt(f"{what} is not a JSON object")
    return value


def _refuse_constant(name: str) -> None:
    """NaN and Infinity, which Python reads and JSON does not know."""
    raise ValueError(f"{name} is no JSON value")


def encode_time(moment: datetime) -> str:
    """Return UTC in ISO 8601 with microseconds and `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def decode_time(text: str) -> datetime:
    """Return the moment, or raise `ObjectCorrupt`."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, TypeError, OverflowError) as error:  # the last: a year that UTC does not have
        raise ObjectCorrupt(f"not a time: {text!r}") from error

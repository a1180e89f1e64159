"""Canonical JSON, and leases in it. Pure; docs/reference/format.md, section 5.

One byte string for one value, so that hashes and put-if-absent agree everywhere.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from farshore.errors import FormatTooNew, ObjectCorrupt

JsonObject = dict[str, Any]
RECORD_VERSION = 1


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


@dataclass(frozen=True, slots=True)
class Lease:
    """One beat of a writer at work. `state`: held, ended (by its writer) or broken (by somebody else)."""

    lease: str
    run: str
    source_id: str
    identity: str
    snapshot: str
    host: str
    beat: int
    started_utc: datetime
    expires_utc: datetime
    state: str = field(default="held")


def encode_lease(lease: Lease) -> bytes:
    """Return the payload of one beat."""
    value: JsonObject = {"version": RECORD_VERSION, **asdict(lease)}
    value["started_utc"] = encode_time(lease.started_utc)
    value["expires_utc"] = encode_time(lease.expires_utc)
    return encode_canonical(value)


def decode_lease(payload: bytes) -> Lease:
    """Return one beat."""
    value = _decode(payload, "a lease")
    try:
        value["started_utc"] = decode_time(value["started_utc"])
        value["expires_utc"] = decode_time(value["expires_utc"])
        return Lease(**{item.name: value[item.name] for item in fields(Lease)})
    except (KeyError, TypeError) as error:
        raise ObjectCorrupt(f"a lease is incomplete: {error}") from error


def _decode(payload: bytes, what: str) -> JsonObject:
    value = decode_object(payload, what)
    version = value.get("version")
    if not isinstance(version, int):
        raise ObjectCorrupt(f"{what} has no version")
    if version > RECORD_VERSION:
        raise FormatTooNew(f"{what} has version {version}; this Farshore knows {RECORD_VERSION}")
    return value

"""Tombstones: a snapshot is forgotten, `forgotten/<snapshot>-<hash>`, or that is countered, `unforgotten/…`. Pure.

docs/reference/format.md, section 5. No version makes one yet; each reader obeys them.
"""

from __future__ import annotations

from datetime import datetime

from farshore.errors import ObjectCorrupt
from farshore.format import (
    HASH_BYTES,
    JsonObject,
    decode_log,
    decode_time,
    encode_canonical,
    encode_time,
    is_hex,
    require_format,
)
from farshore.model import dataclass

FORMAT = "farshore-tombstone"
COUNTER_FORMAT = "farshore-untombstone"
VERSION = 1
_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A snapshot is forgotten. `commit`: hash of the commit that is no longer listed; `rule`: why, by name."""

    snapshot: str
    commit: str
    reason: str
    rule: str
    made_utc: datetime
    log: tuple[int, str]


@dataclass(frozen=True, slots=True)
class CounterTombstone:
    """Tombstones of a snapshot, by the hashes of their objects, count no more."""

    snapshot: str
    tombstones: tuple[str, ...]
    reason: str
    made_utc: datetime
    log: tuple[int, str]


def encode_tombstone(tombstone: Tombstone) -> bytes:
    """Return the body of a tombstone, for its signature."""
    return encode_canonical({
        "format": FORMAT,
        "version": VERSION,
        "snapshot": tombstone.snapshot,
        "commit": tombstone.commit,
        "reason": tombstone.reason,
        "rule": tombstone.rule,
        "made_utc": encode_time(tombstone.made_utc),
        "log": list(tombstone.log),
    })  # fmt: skip


def decode_tombstone(value: JsonObject, what: str) -> Tombstone:
    """Return a tombstone from the body of its signed text; keys of later versions are ignored.

    Raises:
        ObjectCorrupt, FormatTooNew: It is incomplete, or of a later version. The message names `what`.
    """
    require_format(value, FORMAT, VERSION, what)
    try:
        if not is_hex(value["snapshot"], _ID_BYTES) or not is_hex(value["commit"], HASH_BYTES):
            raise ValueError("it names no commit of a snapshot")
        made_utc, log = decode_time(value["made_utc"]), decode_log(value)
        return Tombstone(value["snapshot"], value["commit"], str(value["reason"]), str(value["rule"]), made_utc, log)
    except (KeyError, TypeError, ValueError) as error:
        raise ObjectCorrupt(f"{what} is incomplete: {error}") from error


def encode_counter(counter: CounterTombstone) -> bytes:
    """Return the body of a counter-object, for its signature."""
    return encode_canonical({
        "format": COUNTER_FORMAT,
        "version": VERSION,
        "snapshot": counter.snapshot,
        "tombstones": sorted(counter.tombstones),
        "reason": counter.reason,
        "made_utc": encode_time(counter.made_utc),
        "log": list(counter.log),
    })  # fmt: skip


def decode_counter(value: JsonObject, what: str) -> CounterTombstone:
    """Return a counter-object from the body of its signed text.

    Raises:
        ObjectCorrupt, FormatTooNew: It is incomplete, or of a later version. The message names `what`.
    """
    require_format(value, COUNTER_FORMAT, VERSION, what)
    try:
        tombstones = tuple(value["tombstones"])
        if not is_hex(value["snapshot"], _ID_BYTES) or not all(is_hex(one, HASH_BYTES) for one in tombstones):
            raise ValueError("it names no tombstones of a snapshot")
        made_utc, log = decode_time(value["made_utc"]), decode_log(value)
        return CounterTombstone(value["snapshot"], tombstones, str(value["reason"]), made_utc, log)
    except (KeyError, TypeError, ValueError) as error:
        raise ObjectCorrupt(f"{what} is incomplete: {error}") from error

"""Canonical JSON, and the small records in it: commit, needs, lease. Pure; docs/reference/format.md, section 5.

One byte string for one value, so that hashes and put-if-absent agree everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

from farshore import limits
from farshore.errors import FormatTooNew, ObjectCorrupt
from farshore.model import SnapshotCounts, SnapshotState

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
class ObjectRef:
    """An object as a commit record vouches for it; `blake3` is the hash of its bytes as hex."""

    name: str
    bytes: int
    blake3: str


@dataclass(frozen=True, slots=True)
class ReplicaLock:
    """The promise of a commit record at the replica that holds it: all it needs is locked until then or longer.

    `stride_s` is the distance of two ends of an object's locks, so that its own end can be computed.
    """

    mode: str  # as `LockMode`; text, so that a record with the mode of a later version can still be read
    until_utc: datetime
    stride_s: int
    place: str  # URL of the replica: another host may call another place by the same name


@dataclass(frozen=True, slots=True)
class Commit:
    """The record whose presence makes a snapshot exist at a replica."""

    snapshot: str
    source_id: str
    source: str
    kind: str
    identity: str
    run: str
    parent: str
    started_utc: datetime
    committed_utc: datetime
    farshore: str
    data_key: str
    objects: Mapping[str, ObjectRef]
    counts: SnapshotCounts
    facts: Mapping[str, str]
    quorum: int
    locks: Mapping[str, ReplicaLock] = field(
        default_factory=dict
    )  # by replica; promised only at those that hold the record
    state: SnapshotState = SnapshotState.COMPLETE
    sequence: int = 0  # above those of all records of the source that its run saw; 0: made before there were any
    marks: Mapping[str, str] = field(default_factory=dict)  # by which the source is recognized


@dataclass(frozen=True, slots=True)
class Needs:
    """The packs, with their sizes, and data keys that a snapshot needs besides its own objects."""

    packs: tuple[tuple[str, int], ...]
    data_keys: tuple[str, ...]


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


def encode_commit(commit: Commit) -> bytes:
    """Return the commit record's payload."""
    value: JsonObject = {
        "version": RECORD_VERSION,
        "snapshot": commit.snapshot,
        "source_id": commit.source_id,
        "source": commit.source,
        "kind": commit.kind,
        "identity": commit.identity,
        "run": commit.run,
        "parent": commit.parent,
        "started_utc": encode_time(commit.started_utc),
        "committed_utc": encode_time(commit.committed_utc),
        "farshore": commit.farshore,
        "data_key": commit.data_key,
        "objects": {role: asdict(ref) for role, ref in commit.objects.items()},
        "counts": asdict(commit.counts),
        "facts": dict(commit.facts),
        "quorum": commit.quorum,
        "state": commit.state.value,
        "sequence": commit.sequence,
        "marks": dict(commit.marks),
    }
    if commit.locks:
        value["locks"] = {
            replica: {**asdict(lock), "until_utc": encode_time(lock.until_utc)}
            for replica, lock in commit.locks.items()
        }
    return encode_canonical(value)


def decode_commit(payload: bytes) -> Commit:
    """Return the commit record; keys and counts of later versions are ignored."""
    value = _decode(payload, "a commit record")
    known = {item.name for item in fields(SnapshotCounts)}
    try:
        return Commit(
            snapshot=value["snapshot"],
            source_id=value["source_id"],
            source=value["source"],
            kind=value["kind"],
            identity=value["identity"],
            run=value["run"],
            parent=value["parent"],
            started_utc=decode_time(value["started_utc"]),
            committed_utc=decode_time(value["committed_utc"]),
            farshore=value["farshore"],
            data_key=value["data_key"],
            objects={
                role: ObjectRef(ref["name"], ref["bytes"], ref["blake3"]) for role, ref in value["objects"].items()
            },
            counts=SnapshotCounts(**{name: count for name, count in value["counts"].items() if name in known}),
            facts=dict(value["facts"]),
            quorum=int(value["quorum"]),
            locks={
                replica: ReplicaLock(lock["mode"], decode_time(lock["until_utc"]), int(lock["stride_s"]), lock["place"])
                for replica, lock in value.get("locks", {}).items()
            },
            state=_state(value),
            sequence=_sequence(value),
            marks={str(name): str(mark) for name, mark in value.get("marks", {}).items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ObjectCorrupt(f"a commit record is incomplete: {error}") from error


def _sequence(value: JsonObject) -> int:
    sequence = int(value.get("sequence", 0))
    if not 0 <= sequence <= limits.SEQUENCE_MAX:
        raise ValueError(f"{sequence} is no sequence")
    return sequence


def _state(value: JsonObject) -> SnapshotState:
    """Return whether the snapshot is complete; of a record that does not say, by whether it counts any problem."""
    if "state" in value:
        return SnapshotState(value["state"])
    return SnapshotState.INCOMPLETE if value["counts"].get("problems") else SnapshotState.COMPLETE


def encode_needs(needs: Needs) -> bytes:
    """Return the payload of a snapshot's needs."""
    return encode_canonical({
        "version": RECORD_VERSION,
        "packs": [list(pack) for pack in sorted(needs.packs)],
        "data_keys": sorted(needs.data_keys),
    })  # fmt: skip


def decode_needs(payload: bytes) -> Needs:
    """Return a snapshot's needs."""
    value = _decode(payload, "a snapshot's needs")
    try:
        packs = tuple((str(pack_id), int(size)) for pack_id, size in value["packs"])
        return Needs(packs=packs, data_keys=tuple(str(key) for key in value["data_keys"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ObjectCorrupt(f"a snapshot's needs are incomplete: {error}") from error


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

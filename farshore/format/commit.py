"""The commit: the record whose presence makes a snapshot exist at a replica. Values to canonical JSON and back. Pure.

docs/reference/format.md, section 5. A part of it is public, so that a copy, an order, retention or a deletion needs no
key; names, counts and facts are sealed to the domain and given here as bytes that are open already.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime

from farshore import limits
from farshore.errors import Bug, FormatTooNew, ObjectCorrupt
from farshore.format import (
    JsonObject,
    decode_base64,
    decode_object,
    decode_time,
    encode_canonical,
    encode_time,
    is_hex,
    names,
)
from farshore.model import SnapshotCounts, SnapshotState, is_tag

FORMAT = "farshore-commit"
VERSION = 1
_ID_BYTES = 16
_HASH_BYTES = 32
_EPOCH_MAX = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class RunRef:
    """A manifest, a page map or needs by the hash of its object, 64 hex digits, and its bytes."""

    blake3: str
    bytes: int

    @property
    def name(self) -> str:
        """The object's name."""
        return names.run(self.blake3)


@dataclass(frozen=True, slots=True)
class ReplicaLock:
    """The promise of a commit at the replica that holds it: all it needs is locked until then or longer.

    `stride_s` is the distance of two ends of an object's locks, so that its own end can be computed.
    """

    mode: str  # as `LockMode`; text, so that a record with the mode of a later version can still be read
    until_utc: datetime
    stride_s: int
    place: str  # URL of the replica: another host may call another place by the same name


@dataclass(frozen=True, slots=True)
class Replaced:
    """The commit, by hash, that another one was made from by leaving entries out, and when that was."""

    commit: str
    made_utc: datetime


@dataclass(frozen=True, slots=True)
class CommitHead:
    """The public part of a commit. `log`: number and hash of the newest entry of the owner log that its writer knew.

    `replaces`: the commit whose place it has in the order of its source; None where a backup made it.

    `runs`: by role (`manifest`, `needs`, `pages`) the runs in their order. `hash`: of the commit as it is stored, empty
    before it is signed; `signer`: who signed it. Neither is in its body.
    """

    snapshot: str
    source_id: str
    run: str
    lease: str
    domain: str
    epoch: int
    parent: str
    parent_commit: str
    sequence: int
    started_utc: datetime
    committed_utc: datetime
    state: SnapshotState
    data_key: str
    runs: Mapping[str, tuple[RunRef, ...]]
    log: tuple[int, str]
    hash: str = ""
    signer: str = ""
    replaces: Replaced | None = None

    @property
    def name(self) -> str:
        """The name of its object."""
        if not self.hash:
            raise Bug("a commit has no name before it is signed")
        return names.commit(self.source_id, self.snapshot, self.hash)

    @property
    def subject(self) -> str:
        """The name without the hash, which its signature covers."""
        return names.commit_subject(self.source_id, self.snapshot)

    @property
    def made_utc(self) -> datetime:
        """When it was written: as it was committed, or for one that replaces another, when that was done."""
        return self.committed_utc if self.replaces is None else max(self.committed_utc, self.replaces.made_utc)

    @property
    def all_runs(self) -> tuple[RunRef, ...]:
        """Every object below `runs/` that it names, of roles of later versions too; each once."""
        return tuple(dict.fromkeys(run for of_role in self.runs.values() for run in of_role))

    @property
    def manifest(self) -> tuple[RunRef, ...]:
        """The runs of the manifest, oldest first; at least one."""
        return self.runs[names.MANIFEST]

    @property
    def needs(self) -> tuple[RunRef, ...]:
        """The runs of the needs, oldest first; at least one."""
        return self.runs[names.NEEDS]

    @property
    def pages(self) -> tuple[RunRef, ...]:
        """The runs of the page map, oldest first; none where it has no page-structured files."""
        return self.runs.get(names.PAGES, ())


@dataclass(frozen=True, slots=True)
class Commit(CommitHead):
    """A commit with its sealed part."""

    source: str = ""
    kind: str = ""
    identity: str = ""
    farshore: str = ""
    counts: SnapshotCounts = field(default_factory=SnapshotCounts)
    facts: Mapping[str, str] = field(default_factory=dict)
    quorum: int = 1
    marks: Mapping[str, str] = field(default_factory=dict)  # by which the source is recognized
    locks: Mapping[str, ReplicaLock] = field(default_factory=dict)  # by replica; promised only at those that hold it
    tags: tuple[str, ...] = ()  # that the backup was given; notes add others


def encode_details(commit: Commit) -> bytes:
    """Return the canonical JSON that is sealed into the commit."""
    value: JsonObject = {
        "source": commit.source,
        "kind": commit.kind,
        "identity": commit.identity,
        "farshore": commit.farshore,
        "counts": asdict(commit.counts),
        "facts": dict(commit.facts),
        "quorum": commit.quorum,
        "marks": dict(commit.marks),
    }
    if commit.tags:
        value["tags"] = encode_tags(commit.tags)
    if commit.locks:
        value["locks"] = {
            replica: {**asdict(lock), "until_utc": encode_time(lock.until_utc)}
            for replica, lock in commit.locks.items()
        }
    return encode_canonical(value)


def encode_commit(commit: CommitHead, sealed: bytes) -> bytes:
    """Return the body of the commit, without its signature. `sealed`: the details as they are sealed."""
    replaced: JsonObject = {}
    if commit.replaces is not None:
        made_utc = encode_time(commit.replaces.made_utc)
        replaced = {"replaces": {"commit": commit.replaces.commit, "made_utc": made_utc}}
    return encode_canonical({
        "format": FORMAT,
        "version": VERSION,
        "snapshot": commit.snapshot,
        "source_id": commit.source_id,
        "run": commit.run,
        "lease": commit.lease,
        "domain": commit.domain,
        "epoch": commit.epoch,
        "parent": commit.parent,
        "parent_commit": commit.parent_commit,
        "sequence": commit.sequence,
        "started_utc": encode_time(commit.started_utc),
        "committed_utc": encode_time(commit.committed_utc),
        "state": commit.state.value,
        "data_key": commit.data_key,
        "runs": {role: [asdict(run) for run in runs] for role, runs in commit.runs.items()},
        "log": list(commit.log),
        "sealed": base64.b64encode(sealed).decode(),
        **replaced,
    })  # fmt: skip


def decode_head(value: JsonObject, what: str) -> tuple[CommitHead, bytes]:
    """Return the public part of a commit and its sealed part.

    Raises:
        ObjectCorrupt: It is incomplete, or a value has another form. The message names `what`.
        FormatTooNew: A later version.
    """
    if value.get("format") != FORMAT or type(value.get("version")) is not int:
        raise ObjectCorrupt(f"{what} is not a commit")
    if value["version"] > VERSION:
        raise FormatTooNew(f"{what} has version {value['version']}; this Farshore knows {VERSION}")
    try:
        number, entry = value["log"]
        head = CommitHead(
            **{name: _id(value[name]) for name in ("snapshot", "source_id", "run", "lease")},
            data_key=_id(value["data_key"], missing=True),
            domain=_text(value["domain"]),
            epoch=_count(value["epoch"], 1, _EPOCH_MAX),
            parent=_id(value["parent"], missing=True),
            parent_commit=_hash(value["parent_commit"], missing=True),
            sequence=_count(value["sequence"], 1),
            started_utc=decode_time(value["started_utc"]),
            committed_utc=decode_time(value["committed_utc"]),
            state=SnapshotState(value["state"]),
            runs=_runs(value["runs"]),
            log=(_count(number, 1), _hash(entry)),
            replaces=_replaced(value.get("replaces")),
        )
        return head, decode_base64(value["sealed"], "the sealed part")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ObjectCorrupt(f"{what} is incomplete: {error}") from error


def decode_commit(head: CommitHead, details: bytes, what: str) -> Commit:
    """Return a commit from its public part and its details; keys of later versions are ignored.

    Raises:
        ObjectCorrupt: The details are incomplete. The message names `what`.
    """
    value = decode_object(details, what)
    known = {item.name for item in fields(SnapshotCounts)}
    public = {item.name: getattr(head, item.name) for item in fields(CommitHead)}
    try:
        return Commit(
            **public,
            source=_text(value["source"]),
            kind=_text(value["kind"]),
            identity=_text(value["identity"]),
            farshore=_text(value["farshore"]),
            counts=SnapshotCounts(**{
                name: _count(count, 0) for name, count in value["counts"].items() if name in known
            }),
            facts={str(name): str(fact) for name, fact in value["facts"].items()},
            quorum=_count(value["quorum"], 1),
            marks={str(name): str(mark) for name, mark in value["marks"].items()},
            locks={
                replica: ReplicaLock(lock["mode"], decode_time(lock["until_utc"]), int(lock["stride_s"]), lock["place"])
                for replica, lock in value.get("locks", {}).items()
            },
            tags=decode_tags(value.get("tags", [])),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ObjectCorrupt(f"{what} is incomplete: {error}") from error


def encode_tags(tags: Iterable[str]) -> list[str]:
    """Return tags as they are stored, in commits and in notes."""
    return sorted(set(tags))


def decode_tags(value: object) -> tuple[str, ...]:
    """Return stored tags.

    Raises:
        TypeError, ValueError: These are none, too many, or not sorted.
    """
    if not isinstance(value, list):
        raise TypeError("tags are no list")
    if len(value) > limits.TAGS_MAX or not all(map(is_tag, value)) or encode_tags(value) != value:
        raise ValueError("these are not the tags of a snapshot")
    return tuple(value)


def _replaced(value: JsonObject | None) -> Replaced | None:
    return None if value is None else Replaced(_hash(value["commit"]), decode_time(value["made_utc"]))


def _runs(value: JsonObject) -> dict[str, tuple[RunRef, ...]]:
    runs = {str(role): tuple(RunRef(_hash(one["blake3"]), _count(one["bytes"], 0)) for one in of_role)
            for role, of_role in value.items()}  # fmt: skip
    if not runs.get(names.MANIFEST) or not runs.get(names.NEEDS):
        raise ValueError("it names no manifest or no needs")
    return runs


def _count(value: object, least: int, most: int = limits.SEQUENCE_MAX) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{value!r} is no such number")
    return value


def _id(value: object, *, missing: bool = False) -> str:
    if not (is_hex(value, _ID_BYTES) or (missing and value == "")):
        raise ValueError(f"{value!r} is no id")
    return str(value)


def _hash(value: object, *, missing: bool = False) -> str:
    if not (is_hex(value, _HASH_BYTES) or (missing and value == "")):
        raise ValueError(f"{value!r} is no hash")
    return str(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where text belongs")
    return value

"""The nouns of docs/reference/glossary.md as frozen values: sources and their snapshots. No I/O here.

Ids are lower-case hex text (`SnapshotId`, `SourceId`, `KeyId`: 32 digits; `PackId`, `FragmentId`: 64 digits), except
chunk ids, which are 32 raw bytes because there are millions of them. Names inside a source are bytes.

Values do not change and hold no open resource, so they cross threads and processes. Sizes are bytes, times are aware
and in UTC, durations are seconds; names say so at their end.

`dataclass` is that of the library, but makes frozen classes in a third of the time: the library compiles six functions
for each as its module is imported, and a command imports some 230: 140 ms of the 500 of a small restore. Here
`__init__` alone is compiled; what compares, shows and guards is the same closure for every class. It is here and no
module of its own because every command loads this one (decision 0057).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from functools import partial
from inspect import get_annotations
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from farshore import limits

if TYPE_CHECKING:  # a type checker knows this name, and what it makes of a class
    from dataclasses import dataclass as dataclass  # noqa: PLC0414 - given on to those who import it
else:

    def dataclass(cls: type | None = None, /, **options: bool) -> Any:
        """Make a class a dataclass, with the arguments of `dataclasses.dataclass`."""
        return partial(_made, **options) if cls is None else _made(cls, **options)


_KNOWN = frozenset({"frozen", "slots", "kw_only", "repr"})  # with any other option the library makes all of the class
_Values = Callable[[Any], Any]


def _made(cls: type, **options: bool) -> type:
    plain = options.get("frozen") and options.keys() <= _KNOWN and not any(map(dataclasses.is_dataclass, cls.__mro__))
    if not plain or any("InitVar" in str(one) for one in get_annotations(cls).values()):
        return dataclasses.dataclass(**options)(cls)
    return _frozen(cls, **options)


def _frozen(cls: type, *, frozen: bool, slots: bool = False, kw_only: bool = False, repr: bool = True) -> type:  # noqa: A002
    own = cls.__dict__
    kept = {name for name in ("__init__", "__repr__", "__eq__", "__hash__", "__getstate__") if name in own}
    if own.get("__hash__") is None and "__eq__" in own:  # no decision: Python puts None beside every `__eq__`
        kept.discard("__hash__")
    if not cls.__doc__:
        cls.__doc__ = cls.__name__  # which the library would make of the signature, and that of every function
    made: Any = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)(cls)
    made.__dataclass_params__.frozen = frozen  # so that the library lets frozen ones inherit
    fields = dataclasses.fields(made)
    compared = _values(tuple(one.name for one in fields if one.compare))
    hashed = _values(tuple(one.name for one in fields if (one.compare if one.hash is None else one.hash)))
    functions = {**_guards(made, {one.name for one in fields}), "__eq__": _equal(compared), "__hash__": _hash(hashed)}
    if repr:
        functions["__repr__"] = _repr(tuple(one.name for one in fields if one.repr))
    if slots:
        functions |= _pickling(tuple(one.name for one in fields))
    if "__init__" not in kept:
        functions["__init__"] = _init(made, fields)
    for name, function in functions.items():
        if name not in kept:
            function.__name__, function.__qualname__ = name, f"{made.__qualname__}.{name}"
            setattr(made, name, function)
    kept_type: type = made
    return kept_type


def _values(names: tuple[str, ...]) -> _Values:
    """Return what gives the values of some fields as a tuple."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda self: tuple(getattr(self, name) for name in names)


def _init(cls: type, fields: tuple[dataclasses.Field[Any], ...]) -> Callable[..., None]:
    """Return `__init__`, compiled from text as the library does it."""
    known: dict[str, Any] = {"_set": object.__setattr__, "_MISSING": dataclasses.MISSING}
    plain: list[str] = []
    named: list[str] = []
    lines: list[str] = []
    for one in fields:
        value = one.name
        parameter = one.name
        if one.default_factory is not dataclasses.MISSING:
            known[f"_make_{one.name}"] = one.default_factory
            value = (
                f"_make_{one.name}() if {one.name} is _MISSING else {one.name}" if one.init else f"_make_{one.name}()"
            )
            parameter += "=_MISSING"
        elif one.default is not dataclasses.MISSING:
            known[f"_default_{one.name}"] = one.default
            value = value if one.init else f"_default_{one.name}"
            parameter += f"=_default_{one.name}"
        elif not one.init:
            continue
        lines.append(f" _set(self, {one.name!r}, {value})")
        if one.init:
            (named if one.kw_only else plain).append(parameter)
    if hasattr(cls, "__post_init__"):
        lines.append(" self.__post_init__()")
    parameters = ", ".join(["self", *plain, *(["*", *named] if named else [])])
    exec("\n".join([f"def __init__({parameters}):", *lines, " pass"]), known)  # noqa: S102 - of names of fields alone
    made: Callable[..., None] = known["__init__"]
    return made


def _guards(cls: Any, names: set[str]) -> dict[str, Any]:
    """Return what refuses to change a field, in the words of the library."""

    def __setattr__(self: Any, name: str, value: Any) -> None:  # noqa: N807
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        super(cls, self).__setattr__(name, value)

    def __delattr__(self: Any, name: str) -> None:  # noqa: N807
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
        super(cls, self).__delattr__(name)

    return {"__setattr__": __setattr__, "__delattr__": __delattr__}


def _equal(values: _Values) -> Callable[[Any, Any], Any]:
    def __eq__(self: Any, other: Any) -> Any:  # noqa: N807
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    return __eq__


def _hash(values: _Values) -> Callable[[Any], int]:
    def __hash__(self: Any) -> int:  # noqa: N807
        return hash(values(self))

    return __hash__


def _repr(names: tuple[str, ...]) -> Callable[[Any], str]:
    def __repr__(self: Any) -> str:  # noqa: N807
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{self.__class__.__qualname__}({shown})"

    return __repr__


def _pickling(names: tuple[str, ...]) -> dict[str, Any]:
    """Return what pickles and copies a class with slots, which nothing may be assigned to."""

    def __getstate__(self: Any) -> list[Any]:  # noqa: N807
        return [getattr(self, name) for name in names]

    def __setstate__(self: Any, state: list[Any]) -> None:  # noqa: N807
        for name, value in zip(names, state, strict=True):
            object.__setattr__(self, name, value)

    return {"__getstate__": __getstate__, "__setstate__": __setstate__}


SnapshotId = str
SourceId = str
KeyId = str
PackId = str
FragmentId = str
ChunkId = bytes
HOLE: ChunkId = bytes(32)  # an extent of this chunk reads as zeros and is a hole in the file
DATA_AS_OF = "data_as_of_utc"  # the fact of a snapshot whose source was itself a copy, with a time of its own
UNKNOWN_MOMENT = "unknown"
SIGNER_ID_BYTES = 16
ED25519_SIGNATURE_BYTES = 64
ML_DSA_65_SIGNATURE_BYTES = 3309


class EntryKind(StrEnum):
    """The kinds of entries of a source."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"  # another name of the file entry whose path is `target`
    FIFO = "fifo"
    SOCKET = "socket"
    CHARACTER_DEVICE = "character-device"
    BLOCK_DEVICE = "block-device"


class Extent(NamedTuple):
    """`length` bytes of `chunk` from `offset`; zeros when the chunk is `HOLE`."""

    chunk: ChunkId
    offset: int
    length: int


class Entry(NamedTuple):
    """One name of a source: its metadata, without its content. A tuple, because there are millions of them.

    `path` is relative to the source's root with `/` between names, and empty for the root itself. Times are in
    nanoseconds since the epoch, sizes in bytes. `inode` and `device` identify the file at the source and serve only
    change detection. `page_bytes` is 0 for a file cut by content, else the page size of a page-structured file.
    """

    path: bytes
    kind: EntryKind
    mode: int = 0  # permission bits with setuid, setgid and sticky; no file type bits
    uid: int = 0
    gid: int = 0
    user: str = ""
    group: str = ""
    size: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    inode: int = 0
    device: int = 0
    rdev: int = 0
    links: int = 1
    target: bytes = b""  # of a symlink, as stored; of a hard link, the path of the entry it names again
    xattrs: tuple[tuple[bytes, bytes], ...] = ()  # sorted by name; POSIX ACLs are among them
    page_bytes: int = 0


class ProblemCode(StrEnum):
    """The problem of one entry."""

    VANISHED = "vanished"
    UNREADABLE = "unreadable"
    CHANGING = "changing"  # while it was read
    UNSUPPORTED = "unsupported"  # of a kind that cannot be held
    METADATA = "metadata"  # in part; the content is right
    LOST = "lost"  # content that no replica could give
    REFUSED = "refused"  # by the target of a restore


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about one entry that a person should know. Who reports it decides whether it `matters`."""

    path: bytes
    code: ProblemCode
    message: str
    matters: bool = True  # the snapshot lacks something that the source had, so it is incomplete


def data_moment(started_utc: datetime, facts: Mapping[str, str]) -> datetime | None:
    """Return up to when a snapshot has its source's data for certain: not later than reading began; None if unknown."""
    moment = facts.get(DATA_AS_OF)
    if moment is None:
        return started_utc
    try:
        return min(started_utc, datetime.fromisoformat(moment))
    except (ValueError, TypeError):  # not a time, or one of no zone
        return None


@dataclass(frozen=True, slots=True)
class SnapshotCounts:
    """Counts of one backup. All byte figures are plain bytes unless they say stored."""

    entries: int = 0
    files: int = 0
    bytes_total: int = 0  # logical size of all files of the snapshot
    bytes_read: int = 0  # read from the source by this run
    bytes_new: int = 0  # of chunks the repository did not hold
    bytes_stored: int = 0  # of objects made by this run, per replica
    chunks_new: int = 0
    packs_new: int = 0
    entries_unchanged: int = 0
    problems: int = 0
    lacking: int = 0  # problems that matter: each leaves something out


def is_tag(text: object) -> bool:
    """Whether a value is text that can be a tag of a snapshot: no spaces, commas or control characters, not empty."""
    if not isinstance(text, str) or not 0 < len(text) <= limits.TAG_CHARS_MAX:
        return False
    return text.isprintable() and "," not in text and not any(character.isspace() for character in text)


class SnapshotState(StrEnum):
    """Whether a snapshot has everything of its source that a restore should bring back."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"  # it has problems that matter


@dataclass(frozen=True, slots=True)
class PromisedLock:
    """The promise of a snapshot's commit record at a replica that lists it."""

    replica: str
    mode: str  # as its commit record has it
    until_utc: datetime


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """One committed snapshot, by its commit record and the listings of the replicas."""

    snapshot_id: SnapshotId
    source_id: SourceId
    source: str
    kind: str
    identity: str  # scheduled moment or event id; empty for a backup asked for by hand
    started_utc: datetime
    committed_utc: datetime
    counts: SnapshotCounts
    replicas: tuple[str, ...]  # names of the reachable replicas that hold it
    facts: tuple[tuple[str, str], ...] = ()
    locks: tuple[PromisedLock, ...] = ()  # of `replicas` that lock their objects
    state: SnapshotState = SnapshotState.COMPLETE
    sequence: int = 0  # its place among the snapshots of its source; 0 for the first ones, which had none
    parent: SnapshotId = ""  # the snapshot that it follows
    misdated: bool = False  # dated later than it can have been committed, or before the one it follows: no newest one
    forked: bool = False  # another one follows the same snapshot: no newest one
    ahead: bool = False  # made by somebody who knew of the owner log what no replica shows: no newest one
    refused: str = ""  # why it does not count, where it was asked for all the same
    tags: tuple[str, ...] = ()  # that its backup was given; notes change them (`catalog.notes.with_tags`)
    passed_over: tuple[SnapshotId, ...] = ()  # later ones that a choice of it left out, because they are incomplete

    @property
    def complete(self) -> bool:
        """Whether it has everything of its source that a restore should bring back."""
        return self.state is SnapshotState.COMPLETE

    @property
    def sound(self) -> bool:
        """Whether it may be the newest of its source."""
        return not (self.misdated or self.forked or self.ahead or self.refused)

    @property
    def data_utc(self) -> datetime | None:
        """Up to when it has its source's data for certain, by which an rpo is judged; None if it is unknown."""
        return data_moment(self.started_utc, dict(self.facts))


class ChangeKind(StrEnum):
    """How an entry of one snapshot differs from another's."""

    ADDED = "added"
    REMOVED = "removed"
    MODIFIED = "modified"
    METADATA = "metadata"  # alone: the content is the same


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two snapshots."""

    path: bytes
    change: ChangeKind
    kind: EntryKind
    bytes_before: int = 0
    bytes_after: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """The fate of one path between two snapshots of a source that follow each other."""

    source: str
    snapshot_id: SnapshotId  # the first one that has it so, or no longer has it
    committed_utc: datetime
    state: SnapshotState  # of that snapshot: what an incomplete one lacks may have been there
    change: ChangeKind
    path: bytes
    kind: EntryKind
    bytes_before: int = 0
    bytes_after: int = 0
    mtime_ns: int = 0  # of the entry; of one that was removed, as it last was
    previous_id: SnapshotId = ""  # the snapshot that it was compared with; empty for the first


@dataclass(frozen=True, slots=True)
class ReplicaRequests:
    """Requests of one run to one replica, as its service counts and bills them."""

    replica: str
    puts: int = 0  # also each part of a large object, and its beginning and end
    gets: int = 0
    heads: int = 0
    lists: int = 0  # pages
    deletes: int = 0
    bytes_up: int = 0  # of objects, without what the protocol adds
    bytes_down: int = 0

    @property
    def total(self) -> int:
        """Requests of every kind."""
        return self.puts + self.gets + self.heads + self.lists + self.deletes


@dataclass(frozen=True, slots=True)
class RefusedObject:
    """An object that does not count, because nobody who may vouch for it does; it is shown, never used, never deleted.

    `reason`: one word, as docs/reference/errors.md explains them. `detail`: who says what, of what a signer claims.
    """

    name: str
    replicas: tuple[str, ...]
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class DoubtedSnapshot:
    """A snapshot that counts and that a person should look at; `code` as docs/reference/errors.md has it.

    `commit`: hash of its commit.
    """

    code: str
    source_id: SourceId
    snapshot_id: SnapshotId
    commit: str
    detail: str


@dataclass(frozen=True, slots=True)
class LostSnapshot:
    """A snapshot that is known to have been committed and that no replica lists, though nobody forgot it.

    `commit`: hash of its commit. `detail`: how it is known.
    """

    source_id: SourceId
    snapshot_id: SnapshotId
    commit: str
    detail: str


@dataclass(frozen=True, slots=True)
class DamagedObject:
    """An object that is missing or wrong at one replica, and what it touches."""

    replica: str
    name: str
    code: str  # the state of its proof, or the code of an error that is no damage
    detail: str
    snapshots: tuple[SnapshotId, ...] = ()
    paths: tuple[bytes, ...] = ()  # at most the first 1,000, as "source:path" is for the reader to make
    paths_total: int = 0


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature of either suite; nothing about it is checked before `signing.verify` does.

    `signer`: 32 hex digits. `ml_dsa_65`: nothing where the kind of object is signed by Ed25519 alone.
    """

    signer: str
    ed25519: bytes
    ml_dsa_65: bytes = b""

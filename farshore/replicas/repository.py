"""A repository that is open: its header, the keys this host holds, and its replicas.

One logical repository with N placements: every replica is complete by itself. Opening reads each replica's header; a
replica that cannot be reached is kept aside with its error, so callers see the whole truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from farshore import limits
from farshore.clock import Clock
from farshore.config import Dedupe, Prefer
from farshore.errors import (
    Bug,
    CredentialCannotRead,
    FarshoreError,
    KeyMissing,
    QuorumNotReached,
    RepositoryMissing,
    SourceNotEnrolled,
)
from farshore.format import names
from farshore.format.header import Header
from farshore.format.names import object_bytes_max
from farshore.model import DamagedObject, KeyId, LostSnapshot, RefusedObject, ReplicaRequests
from farshore.replicas import DetachedThreads, FirstBug, OnWait, ask_all, wait_quietly
from farshore.replicas.cache import ObjectCache
from farshore.replicas.reading_order import Pace, ReadPrice
from farshore.sealed import KeySet
from farshore.stores.base import AsksAhead, Store
from farshore.stores.object_retention import RetentionRule
from farshore.stores.wrappers import WriteGuard
from farshore.stores.wrappers.metered import Meter, MeteredStore

if TYPE_CHECKING:
    from datetime import datetime

    from farshore.chunking.content import CutSizes
    from farshore.format.needs import NeededKey
    from farshore.replicas.owner_log import OwnerLog
    from farshore.trust import TrustState
    from farshore.trust.memory import Memory

Decoded = TypeVar("Decoded")


def whole_bytes_max(name: str, size: int) -> int:
    """Return how many bytes a whole object may have: those in a commit, where it is one that only they bound."""
    bytes_max = object_bytes_max(name)
    return min(size, bytes_max) if size and name.startswith(names.RUNS) else bytes_max


class ObjectSource(Protocol):
    """Where an object can be read: one replica, or several through a `ReplicaReader`."""

    def get(
        self,
        name: str,
        decode: Callable[[bytes], Decoded],
        *,
        size: int = 0,
        offset: int = 0,
        length: int | None = None,
    ) -> Decoded:
        """Return what `decode` makes of an object, or of a range of it; it raises for bytes that are not good.

        Args:
            size: The bytes that are expected, as far as they are known.
        """
        ...

    def ask(self, name: str, question: Callable[[Replica], Decoded], *, size: int = 0) -> Decoded:
        """Return the answer of a replica to a question about an object that needs more than one request."""
        ...


@dataclass(frozen=True)
class Replica:
    """One bucket or directory holding the repository. `store` retries and counts; safe from many threads.

    `uploads`: how many puts a backup makes at once. `spool_bytes`: bytes that may wait on disk while it is behind.
    `pace` is its speed as measured in this process, `price` the price of reading from it. `guard` is asked by `store`
    which changes may be sent, where the replica was opened to read.
    """

    name: str
    region: str
    url: str
    store: Store
    meter: MeteredStore
    uploads: int = limits.UPLOADS_PER_REPLICA
    spool_bytes: int = limits.SPOOL_BYTES
    retention_rule: RetentionRule = field(default_factory=RetentionRule)  # `store` puts objects by it
    price: ReadPrice = field(default_factory=ReadPrice)
    pace: Pace = field(default_factory=Pace, repr=False, compare=False)
    guard: WriteGuard = field(default_factory=WriteGuard, repr=False, compare=False)

    def life_sign(self) -> tuple[int, ...]:
        """Return a value that changes while the replica answers, receives or sends bytes, or lists objects.

        A trickle changes it too seldom to count as life: a replica may send a byte now and then for ever.
        """
        now = self.meter.snapshot()
        moved = (count // limits.LIFE_SIGN_BYTES for count in self.meter.moved())
        return (now.answers, now.objects_listed // limits.LIFE_SIGN_OBJECTS, *moved)

    def get(
        self,
        name: str,
        decode: Callable[[bytes], Decoded],
        *,
        size: int = 0,
        offset: int = 0,
        length: int | None = None,
    ) -> Decoded:
        """As `ObjectSource` says, from this replica alone."""
        return decode(self.store.get(name, offset, length, bytes_max=whole_bytes_max(name, size)))

    def ask(self, name: str, question: Callable[[Replica], Decoded], *, size: int = 0) -> Decoded:
        """As `ObjectSource` says, from this replica alone."""
        return question(self)


@dataclass(frozen=True, slots=True)
class BackupSizes:
    """Where a backup cuts what it writes, and from which number on it works otherwise; usually as the limits say."""

    segment_bytes: int = limits.SEGMENT_BYTES
    pack_bytes: int = limits.PACK_BYTES_TARGET
    walking_processes_entries_min: int = limits.WALKING_PROCESSES_ENTRIES_MIN
    walk_span_entries: int = limits.WALK_SPAN_ENTRIES
    head_objects_max: int = limits.HEAD_OBJECTS_MAX


@dataclass
class Repository:
    """All replicas together. A context manager: leaving it closes the stores.

    Raises at its end a `Bug` of a thread whose answer nobody waited for.
    """

    header: Header
    quorum: int
    replicas: Mapping[str, Replica]
    unreachable: Mapping[str, FarshoreError]
    configured: tuple[str, ...]  # every replica of the configuration, also those not opened now
    state_dir: Path
    cache_dir: Path
    clock: Clock
    keys: KeySet | None = None
    log: OwnerLog | None = None  # as the replicas showed it when they were opened
    memory: Memory | None = None  # what this host remembers of the repository
    audit_paths: bool = False
    anchor: Callable[[str], str] | None = None  # keeps the hash of a daily seal elsewhere; returns why it could not
    dedupe: Dedupe = Dedupe.PROVEN
    prefer: Prefer = Prefer.BALANCED
    hedge: bool = True
    patient: bool = True  # whether replicas that are silent are waited for after another one has answered
    on_wait: OnWait = wait_quietly  # called with the replicas that everybody waits for
    backup_sizes: BackupSizes = field(default_factory=BackupSizes)
    cache: ObjectCache = field(init=False)
    threads: DetachedThreads = field(init=False)  # for reads, which may hang
    resources: ExitStack = field(default_factory=ExitStack)  # ends with it: directories in place of unusable ones
    damaged: dict[tuple[str, str], DamagedObject] = field(init=False, default_factory=dict)  # found by reads
    refused: dict[str, RefusedObject] = field(init=False, default_factory=dict)  # by name, that listings showed
    unread: dict[str, int] = field(init=False, default_factory=dict)  # names at a replica that nothing signed names
    lost: dict[str, LostSnapshot] = field(init=False, default_factory=dict)  # by hash of the commit, gone everywhere
    own_commits: dict[str, datetime] = field(init=False, default_factory=dict)  # of sources that these keys may commit
    foreign: set[str] = field(init=False, default_factory=set)  # commits of domains whose keys are not at hand
    key_names: dict[KeyId, dict[NeededKey, None]] = field(init=False, default_factory=dict)  # that needs gave; grows
    state_is_temporary: bool = field(init=False, default=False)  # its files end with this process
    unrecorded: str = field(init=False, default="")  # why audit rows of what was done could not be kept
    unasked: dict[str, FarshoreError] = field(init=False)  # replicas that could not be asked, now or later; grows
    _drained: dict[str, Meter] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.unasked = dict(self.unreachable)
        self.cache = ObjectCache(self.cache_dir, self.header.repository_id)
        self.threads = DetachedThreads(limits.READS_AT_ONCE_MAX, "read")

    def __enter__(self) -> Repository:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self.threads.close()
        for replica in self.replicas.values():
            replica.store.close()
        self.resources.close()
        self.first_bug.check(error)

    def ask_all(
        self, ask: Callable[[Replica], Decoded], replicas: Iterable[Replica] | None = None
    ) -> tuple[dict[str, Decoded], dict[str, FarshoreError]]:
        """Ask replicas, or all that are open, at the same time, as `farshore.replicas.ask_all` does.

        A replica is not silent while it answers the requests that its part of the question needs. The wait is not
        reported: opening the repository and listing its commits do that.
        """
        chosen = {one.name: one for one in (self.replicas.values() if replicas is None else replicas)}
        return ask_all(
            chosen, lambda name: ask(chosen[name]), clock=self.clock, patient=self.patient,
            alive=lambda name: chosen[name].life_sign(), first_bug=self.threads.first_bug,
        )  # fmt: skip

    def ask_ahead(
        self,
        prefixes: Iterable[str] = (),
        heads: Iterable[str] = (),
        *,
        replicas: Iterable[Replica] | None = None,
        again: bool = False,
    ) -> None:
        """Have services begin to answer what they will be asked soon, as `AsksAhead` says; does not wait.

        The answers show what is there after this call, so it follows whatever they must follow. Each is used once, and
        one that nobody uses is a request in vain.
        """
        for replica in self.replicas.values() if replicas is None else replicas:
            if isinstance(replica.store, AsksAhead):
                replica.store.ask_ahead(prefixes, heads, again=again)

    def note_unasked(self, failed: Mapping[str, FarshoreError]) -> None:
        """Keep why replicas could not be asked; the first reason of each stays. Safe from many threads."""
        for name, error in failed.items():
            self.unasked.setdefault(name, error)

    @property
    def first_bug(self) -> FirstBug:
        """Where threads keep a broken promise of ours whose answer may be dropped."""
        return self.threads.first_bug

    @property
    def repository_id(self) -> str:
        """The id as text."""
        return self.header.repository_id

    @property
    def sizes(self) -> CutSizes:
        """Chunk sizes of this repository."""
        from farshore.chunking.content import CutSizes

        cuts = self.header.chunking
        return CutSizes(cuts.minimum, cuts.average, cuts.maximum, cuts.normalization, cuts.block)

    @property
    def trust(self) -> TrustState:
        """The state of the owner log: who may write what."""
        if self.log is None:
            raise Bug("the owner log was not read yet")
        return self.log.state

    def source_id(self, name: str) -> str:
        """Return the id under which the holder of these keys commits a source of this name.

        Raises:
            SourceNotEnrolled: Its certificate does not allow that source.
        """
        signing_key = self.writing_keys().signing_key
        certified = self.trust.certificate(signing_key.signer_id) if signing_key else None
        source_id = certified.certificate.source_id(name) if certified else None
        if source_id is None:
            raise SourceNotEnrolled(f"the certificate of this host does not allow a source named {name}")
        return source_id

    def source_ids(self, name: str) -> tuple[str, ...]:
        """Return every id that some certificate gives to a source of this name."""
        certified = (one.certificate for of_signer in self.trust.certificates.values() for one in of_signer)
        found = {one.source_id(name): None for one in certified if one.source_id(name) is not None}
        return tuple(source_id for source_id in found if source_id)

    def writing_keys(self) -> KeySet:
        """Return the keys, at least a writer's."""
        if self.keys is None:
            raise KeyMissing("this repository was opened without keys", "Configure a passphrase or a credential.")
        return self.keys

    def reading_keys(self) -> KeySet:
        """Return a reader's keys.

        Raises:
            CredentialCannotRead: Only a write-only credential is at hand.
        """
        keys = self.writing_keys()
        if not keys.can_read:
            raise CredentialCannotRead("this host's credential can add backups and cannot read one back")
        return keys

    def replica(self, name: str) -> Replica:
        """Return a reachable replica by name, or raise what kept it from being opened."""
        if name in self.replicas:
            return self.replicas[name]
        if name in self.unreachable:
            raise self.unreachable[name]
        raise no_such_replica(name, self.configured)

    def moved(self) -> dict[str, tuple[int, int]]:
        """Return by replica the bytes received and sent, of objects under way too."""
        return {name: replica.meter.moved() for name, replica in self.replicas.items()}

    def drain_requests(self) -> tuple[ReplicaRequests, ...]:
        """Return the requests to each replica since the last call, or since it was opened.

        So the first run of a process includes opening and finding a snapshot, and each request is reported once.
        """
        drained: list[ReplicaRequests] = []
        for name, replica in self.replicas.items():
            now = replica.meter.snapshot()
            drained.append(_requests_between(name, self._drained.get(name), now))
            self._drained[name] = now
        return tuple(drained)

    def require_quorum(self) -> None:
        """Raise `QuorumNotReached` when fewer replicas than the quorum can be reached."""
        if len(self.replicas) < self.quorum:
            raise self.too_few(len(self.replicas), "can be reached", self.unreachable)

    def too_few(
        self, count: int, what_they_do: str, reasons: Mapping[str, object], hint: str | None = None
    ) -> QuorumNotReached:
        """Return the error that only `count` replicas do it; `reasons`: why not, by replica."""
        listed = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        return QuorumNotReached(
            f"{count} of {len(self.configured)} replicas {what_they_do}, {self.quorum} are needed ({listed})", hint
        )


def _requests_between(replica: str, before: Meter | None, now: Meter) -> ReplicaRequests:
    def count(kind: str) -> int:
        return now.requests.get(kind, 0) - (before.requests.get(kind, 0) if before else 0)

    return ReplicaRequests(
        replica=replica,
        puts=count("put"),
        gets=count("get"),
        heads=count("head"),
        lists=count("list"),
        deletes=count("delete"),
        bytes_up=now.bytes_out - (before.bytes_out if before else 0),
        bytes_down=now.bytes_in - (before.bytes_in if before else 0),
    )


def no_such_replica(name: str, configured: Iterable[str]) -> RepositoryMissing:
    """Return the error of a name that the configuration gives to no replica."""
    return RepositoryMissing(f"no replica is named {name}", f"The configuration names these: {', '.join(configured)}.")

"""Commits: which snapshots the replicas list, and the commits of those, read and judged.

Needs no key: a commit is signed, and what the owner log says decides whether it counts. Keys of its domain open its
details. Anybody who may put objects can put any number of names; those that nothing signed names are read by a budget.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from farshore import limits
from farshore.catalog.commit_cache import cached_commits, keep_commits, refused_before, remember_refused
from farshore.catalog.signed_commits import Refusal, Refused, SignedCommit, judge, open_details, read_signed
from farshore.errors import Corrupt, FarshoreError, KeyMissing, NotFound, ObjectCorrupt, Unsupported
from farshore.format import names
from farshore.format.commit import Commit, CommitHead
from farshore.format.names import CommitName
from farshore.model import RefusedObject, SourceId
from farshore.replicas import ask_all
from farshore.replicas.repository import ObjectSource, Replica, Repository
from farshore.trust.memory import Memory

_SourceOf = Callable[[tuple[str, ...]], ObjectSource]


@dataclass(frozen=True, slots=True)
class RefusedCommit:
    """A commit that does not count: where it is, why, and the commit itself where it can be read all the same."""

    name: CommitName
    replicas: tuple[str, ...]
    reason: Refusal
    commit: Commit | None = None


@dataclass(frozen=True, slots=True)
class ListedCommits:
    """The snapshots that replicas list as committed. `failed`: replicas that could not be listed or read.

    `heads`: of every commit that counts, by its hash. `commits`: those of them whose details the keys at hand open.
    `unread`: by replica how many names nothing signed names, and were too many to be read.
    """

    heads: Mapping[str, CommitHead]
    commits: Mapping[str, Commit]
    holders: Mapping[str, tuple[str, ...]]  # replicas in the order of the configuration, by the hash of the commit
    failed: Mapping[str, FarshoreError]
    stored_utc: Mapping[str, datetime] = field(default_factory=dict)  # the earliest that a replica reports
    refused: tuple[RefusedCommit, ...] = ()
    unread: Mapping[str, int] = field(default_factory=dict)
    forgotten: Mapping[str, CommitHead] = field(default_factory=dict)  # by tombstones; in none of the others
    forgotten_at: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # the replicas that list each

    @property
    def foreign(self) -> list[CommitHead]:
        """Return those that count, and are of a domain whose keys are not at hand."""
        return [head for one, head in self.heads.items() if one not in self.commits]

    def only(self, source_ids: Collection[SourceId]) -> ListedCommits:
        """Return those of some sources."""
        kept = {one for one, head in self.heads.items() if head.source_id in source_ids}
        return ListedCommits(
            {one: head for one, head in self.heads.items() if one in kept},
            {one: commit for one, commit in self.commits.items() if one in kept},
            {one: holders for one, holders in self.holders.items() if one in kept},
            self.failed,
            {one: moment for one, moment in self.stored_utc.items() if one in kept},
            tuple(one for one in self.refused if one.name.source_id in source_ids),
            self.unread,
            {one: head for one, head in self.forgotten.items() if head.source_id in source_ids},
            self.forgotten_at,
        )


@dataclass(frozen=True, slots=True)
class ReadCommits:
    """Commits that were read: those that count, opened where their keys are at hand; those refused; and failures."""

    accepted: Sequence[CommitHead]
    refused: Mapping[CommitName, Refused]
    bad: Mapping[CommitName, FarshoreError]
    unread: Sequence[CommitName] = ()


def listed_prefixes(source: str | None = None) -> tuple[str, ...]:
    """Return the prefixes that `list_commits` lists whatever the owner log says, in no order.

    Args:
        source: The one source that is asked for; the prefix of its commits follows from the log. None: all.
    """
    return (names.SNAPSHOTS, names.FORGOTTEN) if source is None else (names.FORGOTTEN,)


def list_commits(
    repository: Repository, source_id: SourceId | None = None, *, include_refused: bool = False
) -> ListedCommits:
    """Return the snapshots that reachable replicas list, of one source or of all. Lists them concurrently.

    A snapshot that a maintainer has forgotten is not among them. A commit damaged at one replica is read from
    another that lists it; one that no replica has whole is refused. Commits that are refused, unread or of another
    domain are noted at the repository too, and so are snapshots that this host remembers and no replica has.

    Args:
        include_refused: Read also what was refused before, so that it is returned as far as it can be read.
    """
    memory = repository.memory
    listed, failed = ask_all(
        repository.replicas,
        lambda name: (
            list(_listed_commits(repository.replicas[name], source_id)),
            [one.name for one in repository.replicas[name].store.list(names.FORGOTTEN)],
        ),
        clock=repository.clock,
        patient=repository.patient,
        alive=lambda name: repository.replicas[name].life_sign(),
        on_wait=repository.on_wait,
        first_bug=repository.first_bug,
    )
    holders: dict[CommitName, tuple[str, ...]] = {}
    stored_utc: dict[str, datetime] = {}
    for replica in repository.replicas:
        for item, moment in listed[replica][0] if replica in listed else ():
            holders[item] = (*holders.get(item, ()), replica)
            if moment is not None:
                stored_utc[item.hash] = min(moment, stored_utc.get(item.hash, moment))
    reading = _Reading(repository, holders, stored_utc, cached=True, again=include_refused)

    def reader_of(replicas: tuple[str, ...]) -> ObjectSource:
        from farshore.replicas.reader import open_reader  # a host fetches a commit once

        return open_reader(repository, only=replicas)

    read = reading.everything(reader_of)
    failed.update({name: error for name, error in reading.failed.items() if name not in failed})
    repository.note_unasked(failed)
    forgotten = _forgotten(repository, {replica: found for replica, (_, found) in listed.items()})
    gone = {head.hash: head for head in read.accepted if head.hash in forgotten}
    heads = {head.hash: head for head in read.accepted if head.hash not in forgotten}
    unread: dict[str, int] = {}
    for item in read.unread:
        unread.update({replica: unread.get(replica, 0) + 1 for replica in holders[item]})
    damaged = {item: Refused(Refusal.DAMAGED) for item, error in read.bad.items() if isinstance(error, Corrupt)}
    refused = tuple(
        RefusedCommit(item, holders[item], why.reason, reading.opened(item))
        for item, why in sorted({**read.refused, **damaged}.items(), key=lambda pair: pair[0])
    )
    commits = {one: head for one, head in heads.items() if isinstance(head, Commit)}
    repository.refused.update({
        one.name.name: RefusedObject(one.name.name, one.replicas, one.reason.value) for one in refused
    })  # fmt: skip
    repository.unread.update(unread)
    repository.foreign.update(heads.keys() - commits.keys())
    held = {item.hash: replicas for item, replicas in holders.items() if item.hash in heads}
    gone_at = {item.hash: replicas for item, replicas in holders.items() if item.hash in gone}
    found = ListedCommits(heads, commits, held, failed, stored_utc, refused, unread, gone, gone_at)
    _note_heads(repository, memory, found, source_id, {item.hash for item in holders}, forgotten)
    return found


def _note_heads(
    repository: Repository,
    memory: Memory | None,
    found: ListedCommits,
    source_id: SourceId | None,
    present: Collection[str],
    forgotten: Collection[str],
) -> None:
    from farshore.catalog.heads import note_heads

    note_heads(repository, memory, found, source_id=source_id, present=present, forgotten=forgotten)


def _forgotten(repository: Repository, listed: Mapping[str, Collection[str]]) -> frozenset[str]:
    """Return the hashes of commits that tombstones forget, among the names that replicas list below `forgotten/`."""
    if not any(listed.values()):
        return frozenset()
    from farshore.catalog.signed_objects import holders_of
    from farshore.catalog.tombstones import forgotten_among, is_tombstone

    tombstones = {replica: [name for name in found if is_tombstone(name)] for replica, found in listed.items()}
    return forgotten_among(repository, holders_of(tombstones))


def list_commit_names(replica: Replica, source_id: SourceId | None = None) -> list[CommitName]:
    """Return the names of commits that a replica lists."""
    return [item for item, _ in _listed_commits(replica, source_id)]


def _listed_commits(replica: Replica, source_id: SourceId | None) -> Iterator[tuple[CommitName, datetime | None]]:
    """Yield the commits that a replica lists, each with its time there."""
    prefix = names.SNAPSHOTS if source_id is None else names.commits_of(source_id)
    for info in replica.store.list(prefix):
        item = names.parse_commit(info.name)
        if item is not None:
            yield item, info.modified_utc


def read_commits(repository: Repository, source: ObjectSource, items: Iterable[CommitName]) -> ReadCommits:
    """Read commits from a source and not from the cache, so that one damaged there hides no other.

    Raises:
        StoreUnavailable, StoreDenied: The source does not give them.
    """
    reading = _Reading(repository, dict.fromkeys(items, ("",)), {}, cached=False)
    read = reading.everything(lambda _: source, failures_max=0)
    for error in reading.failed.values():
        raise error
    return read


def read_commit(repository: Repository, source: ObjectSource, name: CommitName) -> Commit:
    """Return one commit that was listed before, from a replica and not from the cache; whether it counts is not judged.

    Raises:
        ObjectNotFound, ObjectCorrupt, StoreUnavailable, StoreDenied, KeyMissing: It cannot be had.
    """
    signed = source.get(name.name, lambda data: read_signed(repository, name, data))
    if isinstance(signed, Refused) and signed.unproven is not None:
        signed = signed.unproven
    if isinstance(signed, Refused):
        raise ObjectCorrupt(f"{name.name} is refused: {signed.reason}")
    return open_details(repository.writing_keys(), signed.head, signed.sealed)


class _Reading:
    """Reads commits in rounds: those that this host knows, then names that accepted commits name, and others by budget.

    `failed`: replicas that did not give what they list.
    """

    def __init__(
        self,
        repository: Repository,
        holders: Mapping[CommitName, tuple[str, ...]],
        stored_utc: Mapping[str, datetime],
        *,
        cached: bool,
        again: bool = False,
    ) -> None:
        self._again = again  # whether what was refused before is read once more
        self._repository = repository
        self._holders = holders
        self._stored_utc = stored_utc
        self._cached = cached
        self._signed: dict[CommitName, SignedCommit] = {}
        self._refused: dict[CommitName, Refused] = {}
        self._accepted: dict[CommitName, CommitHead] = {}
        self._bad: dict[CommitName, FarshoreError] = {}
        key = repository.keys.signing_key if repository.keys is not None else None
        certified = repository.trust.certificate(key.signer_id) if key is not None else None
        self._own = certified.certificate if certified is not None else None
        revocations = repository.trust.revocations.values()
        self._named = {one for revoked in revocations for one in revoked.commits or ()}
        self.failed: dict[str, FarshoreError] = {}

    def everything(self, source_of: _SourceOf, *, failures_max: int = limits.STORE_CONNECTIONS) -> ReadCommits:
        """Read what can be read.

        Args:
            failures_max: How many reads from the same replicas may fail before no more is asked of them.
        """
        left = self._known()
        fetched: list[SignedCommit] = []
        refused_now: dict[CommitName, Refused] = {}
        unnamed = accepted_bytes = refused_bytes = 0
        while left and not (self.failed and failures_max == 0):
            named = [item for item in left if item.hash in self._named]
            budget = max(limits.UNKNOWN_COMMITS_MAX, 2 * len(self._accepted)) - unnamed
            if refused_bytes >= max(limits.UNKNOWN_BYTES_MAX, accepted_bytes):
                budget = 0
            at_once = max(limits.STORE_CONNECTIONS, len(self._accepted))  # each may be as large as any
            others = [item for item in left if item.hash not in self._named][: max(min(budget, at_once), 0)]
            if not named and not others:
                break
            unnamed += len(others)
            chosen = {*named, *others}
            left = [item for item in left if item not in chosen]
            for item, result, size in self._fetch([*named, *others], source_of, failures_max):
                if isinstance(result, SignedCommit):
                    accepted_bytes += size
                else:
                    refused_bytes += size
                if isinstance(result, SignedCommit):
                    fetched.append(result)
                elif isinstance(result, Refused):
                    refused_now[item] = result
                self._sort(item, result)
        if self._cached:
            keep_commits(self._repository, fetched)
            remember_refused(self._repository, refused_now)
        return ReadCommits(list(self._accepted.values()), self._refused, self._bad, left)

    def opened(self, item: CommitName) -> Commit | None:
        """Return a commit with its details, whether it counts or not; None where that cannot be had."""
        head = self._open(self._signed[item]) if item in self._signed else None
        return head if isinstance(head, Commit) else None

    def _known(self) -> list[CommitName]:
        """Judge what this host has read before; return the names that are left, in the order to read them."""
        if self._cached:
            for item, signed in cached_commits(self._repository, self._holders).items():
                self._sort(item, signed)
            if not self._again:
                self._refused.update(refused_before(self._repository, self._holders))
        certified = [one.certificate for of in self._repository.trust.certificates.values() for one in of]
        left: list[CommitName] = []
        for item in self._holders:
            if item in self._accepted or item in self._refused:
                continue
            if not any(one.allows_source(item.source_id) for one in certified):
                self._refused[item] = Refused(Refusal.NOT_ITS_SOURCE)
                continue
            left.append(item)
        # Whoever plants names does it at one time: so from both ends, and first what most replicas list.
        left.sort(key=lambda item: (self._moment(item), item))
        ends = [one for pair in zip(left, reversed(left), strict=True) for one in pair]
        ordered = list(dict.fromkeys(ends))
        return sorted(ordered, key=lambda item: -len(self._holders[item]))

    def _moment(self, item: CommitName) -> float:
        moment = self._stored_utc.get(item.hash)
        return moment.timestamp() if moment is not None else 0.0

    def _sort(self, item: CommitName, result: SignedCommit | Refused | FarshoreError) -> None:
        if isinstance(result, FarshoreError):
            self._bad[item] = result
            return
        if isinstance(result, Refused):
            self._refused[item] = result
            if result.unproven is not None:
                self._signed[item] = result.unproven
            return
        self._signed[item] = result
        head = self._open(result)
        reason = Refusal.DAMAGED if head is None else judge(self._repository, result.head)
        if reason is not None or head is None:
            self._refused[item] = Refused(reason or Refusal.DAMAGED, result.head.signer)
            return
        self._accepted[item] = head
        self._named.add(head.parent_commit)
        if self._own is not None and self._own.allows_source(head.source_id):
            self._repository.own_commits[head.hash] = head.committed_utc

    def _open(self, signed: SignedCommit) -> CommitHead | None:
        """Return the commit with its details where the keys at hand open them; None where they are damaged."""
        if self._repository.keys is None:
            return signed.head
        try:
            return open_details(self._repository.keys, signed.head, signed.sealed)
        except KeyMissing:
            return signed.head
        except ObjectCorrupt:
            return None

    def _fetch(
        self, items: Sequence[CommitName], source_of: _SourceOf, failures_max: int
    ) -> Iterator[tuple[CommitName, SignedCommit | Refused | FarshoreError, int]]:
        """Yield what the replicas give, and its bytes.

        Each is asked only for what it lists, and not on once it fails too often.
        """
        grouped: dict[tuple[str, ...], list[CommitName]] = {}
        for item in items:
            grouped.setdefault(self._holders[item], []).append(item)
        for replicas, of_group in grouped.items():
            if all(name in self.failed for name in replicas):
                continue
            failures = 0
            with ThreadPoolExecutor(limits.STORE_CONNECTIONS) as pool:
                reading = pool.map(_Getter(self._repository, source_of(replicas)), of_group)
                for item, (result, size) in zip(of_group, reading, strict=True):
                    yield item, result, size
                    if not isinstance(result, FarshoreError) or isinstance(result, (Corrupt, NotFound, Unsupported)):
                        continue
                    failures += 1  # so what these replicas hold is not known
                    self.failed.update({name: result for name in replicas if name not in self.failed})
                    if failures > failures_max:
                        pool.shutdown(wait=False, cancel_futures=True)
                        break


@dataclass(frozen=True, slots=True)
class _Getter:
    repository: Repository
    source: ObjectSource

    def __call__(self, item: CommitName) -> tuple[SignedCommit | Refused | FarshoreError, int]:
        try:
            return self.source.get(item.name, lambda data: (read_signed(self.repository, item, data), len(data)))
        except FarshoreError as error:
            return error, 0

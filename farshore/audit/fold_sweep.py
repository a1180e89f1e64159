"""Deletes at one replica the files and seals that a fold there replaces, once it is proven and old enough."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from farshore import limits
from farshore.audit import names
from farshore.audit.cached_query import tables_at
from farshore.audit.evidence import Evidence, read_evidence
from farshore.audit.fold_rows import RowSet, read_rows
from farshore.audit.folds import Fold
from farshore.audit.seals import Seal, SealedFile
from farshore.audit.tables import decode_table
from farshore.errors import Denied, FarshoreError, NotFound, ObjectCorrupt
from farshore.format.names import hash_of, object_bytes_max
from farshore.replicas.repository import Replica, Repository
from farshore.stores.base import ANY_OBJECT, ObjectInfo, Store


@dataclass(frozen=True, slots=True)
class SweptReplica:
    """One replica after a sweep.

    `deleted`, `freed`: objects and bytes that went, or with a dry run would go. `waiting`: objects of folds that are
    not old enough, the first until `waiting_until_utc`. `locked`: objects under a lock. `left`: replaced files that
    the fold does not prove, with the reason; somebody has to look. `indexed`: versions of Delta logs written.
    """

    replica: str
    deleted: int = 0
    freed: int = 0
    waiting: int = 0
    waiting_until_utc: datetime | None = None
    locked: int = 0
    left: Mapping[str, str] = field(default_factory=dict)
    indexed: int = 0
    error_code: str = ""
    error: str = ""


def sweep_replica(
    repository: Repository, replica: Replica, *, grace: timedelta, dry_run: bool, proven: set[tuple[str, str]]
) -> SweptReplica:
    """Delete replaced files and seals. Safe to repeat and to kill: files go before the seals that name them.

    Each fold is read back from this replica and compared with every file that goes, whichever maintainer
    made it.

    Args:
        proven: Hashes of a fold's seal and of a file whose rows it has, as another replica showed; filled.

    Raises:
        FarshoreError: As the store said; the next sweep goes on.
    """
    at = tables_at(repository, replica)
    listed = {info.name: info for info in replica.store.list(names.AUDIT)}
    sizes = {name: info.size for name, info in listed.items()}
    evidence = read_evidence(at.store, at.cache_dir, at.repository_id, at.authority, listed=sizes)
    evidence.cache.save()
    sweep = _Sweep(replica.store, evidence, listed, dry_run, SweptReplica(replica.name), proven)
    now_utc = repository.clock.now_utc()
    for seal in sorted(_with_fold(evidence), key=lambda one: (one.sealed_utc, one.hash)):
        sweep.sweep(seal, ready_utc=seal.sealed_utc + grace, now_utc=now_utc)
    return sweep.outcome


def _with_fold(evidence: Evidence) -> Iterator[Seal]:
    return (evidence.counted.seals[one] for one in evidence.counted.folded.folds)


@dataclass
class _Sweep:
    """The sweep of one replica."""

    store: Store
    evidence: Evidence
    listed: Mapping[str, ObjectInfo]
    dry_run: bool
    outcome: SweptReplica
    proven: set[tuple[str, str]]

    def sweep(self, seal: Seal, *, ready_utc: datetime, now_utc: datetime) -> None:
        """Delete the files and seals that one fold replaces."""
        fold = self.evidence.counted.folded.folds[seal.hash]
        files, seals = self._files(fold), self._seals(fold)
        if not files and not seals:
            return
        if now_utc < ready_utc:
            until = min(ready_utc, self.outcome.waiting_until_utc or ready_utc)
            count = self.outcome.waiting + len(files) + len(seals)
            self.outcome = replace(self.outcome, waiting=count, waiting_until_utc=until)
            return
        left = self._unproven(seal, fold, files)
        if left:
            self.outcome = replace(self.outcome, left={**self.outcome.left, **left})
            return
        # The seals last: as long as one is there, a sweep that goes on knows which files it named.
        if self._delete(file.name for file in files):
            self._delete(seals)

    def _files(self, fold: Fold) -> list[SealedFile]:
        """Return the files here that only seals of this stretch name, or folds of it that are not used."""
        counted = self.evidence.counted
        own = [counted.seals[one] for one in fold.seals if one in counted.seals]
        emptied = [one for one in own if one.fold is None]
        emptied += [one for one in map(counted.seals.__getitem__, counted.folded.shadowed) if _overlap(one.fold, fold)]
        found = {file.name: file for seal in emptied for file in seal.files if file.name in counted.spare}
        return [file for name, file in sorted(found.items()) if name in self.listed]

    def _seals(self, fold: Fold) -> list[str]:
        places = (names.seal_name(fold.chain, at, one) for at, one in fold.superseded().items())
        return [name for name in places if name in self.listed]

    def _unproven(self, seal: Seal, fold: Fold, files: Iterable[SealedFile]) -> dict[str, str]:
        """Return the files whose rows the fold at this replica does not have, and why nothing of it may go."""
        rows = self._rows(seal)
        if isinstance(rows, str):
            return {seal.name: rows}
        left = {}
        for file in files if not fold.expired else ():
            table = names.table_of(file.name) or ""
            if (seal.hash, file.blake3) in self.proven:
                continue
            try:
                data = self.store.get(file.name, bytes_max=object_bytes_max(file.name))
                if hash_of(data) != file.blake3:
                    left[file.name] = "it is damaged here; heal this replica"
                elif rows.lacks(table, decode_table(table, file.name, data)):
                    left[file.name] = f"the fold {seal.name} does not have its rows"
                else:
                    self.proven.add((seal.hash, file.blake3))
            except NotFound:
                continue  # another maintainer has just deleted it
            except ObjectCorrupt as error:
                left[file.name] = error.message
        return left

    def _rows(self, seal: Seal) -> RowSet | str:
        """Return the rows of a fold as they are at this replica, or the reason why they cannot be read."""
        files = []
        for file in seal.files:
            if not self.evidence.may_count(file.name):
                return f"{file.name} has rows that the writer of the chain may not say"
            try:
                data = self.store.get(file.name, bytes_max=object_bytes_max(file.name))
            except (NotFound, ObjectCorrupt) as error:
                return str(error)
            if hash_of(data) != file.blake3:
                return f"{file.name} is damaged here; heal this replica"
            files.append((file.name, data))
        try:
            return read_rows(files)[0]
        except ObjectCorrupt as error:
            return error.message

    def _delete(self, wanted: Iterable[str]) -> bool:
        """Delete objects; return whether all are gone."""
        whole = True
        for name in wanted:
            info = self.listed[name]
            try:
                if not self.dry_run:
                    self.store.delete(name, info.seen or ANY_OBJECT)
            except Denied:
                self.outcome = replace(self.outcome, locked=self.outcome.locked + 1)
                whole = False
                continue
            self.outcome = replace(self.outcome, deleted=self.outcome.deleted + 1, freed=self.outcome.freed + info.size)
        return whole


def _overlap(one: Fold | None, other: Fold) -> bool:
    return one is not None and one.chain == other.chain and one.first <= other.last and other.first <= one.last


def failed_replica(name: str, error: FarshoreError) -> SweptReplica:
    """Return a replica that could not be swept."""
    return SweptReplica(name, error_code=error.code, error=error.message)


GRACE = timedelta(days=limits.AUDIT_FOLD_GRACE_DAYS)

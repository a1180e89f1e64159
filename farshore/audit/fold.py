"""Folds the audit files of months that are over, and deletes the replaced files. Decisions 0052 and 0053.

A fold is made once, from the first replica that has its tables whole, and given to all. Each replica is swept by
itself. Rows of folds that are older than `audit.keep` go, but for those about objects and
snapshots that still exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path

from farshore import limits
from farshore.audit import names
from farshore.audit.cache import local_files, sync_tables
from farshore.audit.cached_query import tables_at
from farshore.audit.chain import UNPROVEN
from farshore.audit.evidence import Evidence, read_evidence
from farshore.audit.fold_plan import Stretch, plan_folds
from farshore.audit.fold_rows import NamedBytes, join_files, rows_about, subjects_of, write_rows
from farshore.audit.fold_sweep import GRACE, SweptReplica, failed_replica, sweep_replica
from farshore.audit.folds import Fold
from farshore.audit.index import index_replica
from farshore.audit.rows import Operation, PartState, ReplicaPart, RunResult
from farshore.audit.run_rows import record, record_fold, run_row
from farshore.audit.schema import TABLES
from farshore.audit.seals import Seal
from farshore.audit.tables import decode_table, unknown_columns
from farshore.errors import FarshoreError, ObjectCorrupt, StateUnknown
from farshore.format.names import parse_commit
from farshore.replicas.owner_log import check_maintainer
from farshore.replicas.repository import Replica, Repository
from farshore.results import Progress
from farshore.run import Run

KEEP = timedelta(days=limits.AUDIT_KEEP_DAYS)


@dataclass(frozen=True, slots=True)
class FoldOptions:
    """The options. `grace`: from a fold until the replaced files go; `keep`: how long rows stay."""

    dry_run: bool = False
    grace: timedelta = GRACE
    keep: timedelta = KEEP


@dataclass(frozen=True, slots=True)
class FoldedMonth:
    """One fold that was made, or with a dry run would be. `expired`: it leaves out rows until then, by their age.

    `seals`, `files_before`, `bytes_before`: of the replaced seals and files. `files`, `bytes`, `rows`: of the fold.
    """

    chain: str
    host: str
    month: date
    seals: int
    files_before: int
    bytes_before: int
    files: int = 0
    bytes: int = 0
    rows: int = 0
    expired: date | None = None


@dataclass(frozen=True, slots=True)
class FoldResult:
    """The outcome. `unfolded`: files of months that are over and stay as they are, because their rows do not count.

    `unexpired`: why old rows stay for now; empty where none is old enough.
    """

    run_id: str
    dry_run: bool
    started_utc: datetime
    finished_utc: datetime
    months: tuple[FoldedMonth, ...]
    replicas: tuple[SweptReplica, ...]
    unfolded: tuple[str, ...] = ()
    unexpired: str = ""

    @property
    def done(self) -> bool:
        """Whether nothing was left that somebody has to look at."""
        return not any(one.error or one.left for one in self.replicas)


@dataclass
class _Known:
    """Facts about files by their content, which one replica showed for all."""

    statistics: dict[str, str] = field(default_factory=dict)
    proven: set[tuple[str, str]] = field(default_factory=set)


def fold_tables(repository: Repository, options: FoldOptions, run: Run) -> FoldResult:
    """Fold what can be folded, sweep each replica, and bring the Delta logs up. Repeatable; safe to kill at any moment.

    Raises:
        KeyMissing, FeatureMissing, LogForked: As `check_maintainer` says.
        StoreUnavailable, StoreDenied, ObjectCorrupt, ObjectNotFound: No replica has its tables whole.
        StoreFull, ConfigInvalid: The state or cache directory cannot be used.
    """
    if not options.dry_run:
        check_maintainer(repository, "fold the audit tables")
    months, unfolded, unexpired = _fold_first(repository, options, run)
    known = _Known()
    swept = [_sweep(repository, replica, options, run, known) for replica in repository.replicas.values()]
    swept += [failed_replica(name, error) for name, error in sorted(repository.unreachable.items())]
    result = FoldResult(
        run.run_id, options.dry_run, run.started_utc, run.clock.now_utc(), tuple(months), tuple(swept), unfolded,
        unexpired,
    )  # fmt: skip
    if not options.dry_run and (months or any(one.deleted or one.error for one in swept)):
        _record(repository, result, run)
    return result


def _fold_first(
    repository: Repository, options: FoldOptions, run: Run
) -> tuple[list[FoldedMonth], tuple[str, ...], str]:
    """Fold from the first replica that has its tables whole."""
    failed: FarshoreError | None = None
    for replica in repository.replicas.values():
        run.progress(Progress(f"fold:{replica.name}"))
        try:
            folding = _Folding.at(repository, replica, options, run)
        except FarshoreError as error:
            failed = error
            continue
        months = list(folding.fold_months())
        try:
            return [*months, *folding.expire_months()], folding.unfolded, ""
        except StateUnknown as error:
            return months, folding.unfolded, error.message
    if failed is not None:
        raise failed
    return [], (), ""


def _sweep(repository: Repository, replica: Replica, options: FoldOptions, run: Run, known: _Known) -> SweptReplica:
    run.progress(Progress(f"sweep:{replica.name}"))
    try:
        swept = sweep_replica(repository, replica, grace=options.grace, dry_run=options.dry_run, proven=known.proven)
        if options.dry_run:
            return swept
        indexed = index_replica(repository, replica, run=run, statistics=known.statistics)
        return replace(swept, indexed=sum(bool(one.added or one.removed) for one in indexed))
    except FarshoreError as error:
        return failed_replica(replica.name, error)


def _record(repository: Repository, result: FoldResult, run: Run) -> None:
    state = RunResult.COMPLETED if result.done else RunResult.COMPLETED_WITH_WARNINGS
    row = run_row(run, Operation.FOLD, finished_utc=result.finished_utc, state=state)
    parts = (
        ReplicaPart(
            replica=one.replica, state=PartState.FAILED if one.error else PartState.PRUNED, error_code=one.error_code,
            error=one.error,
        )
        for one in result.replicas
    )  # fmt: skip
    record(
        repository,
        run.run_id,
        [replace(row, replicas=tuple(parts), problems=sum(len(one.left) for one in result.replicas))],
    )


@dataclass
class _Folding:
    """The rows of one replica, whose files are on this host."""

    repository: Repository
    replica: Replica
    options: FoldOptions
    run: Run
    evidence: Evidence
    files: Mapping[str, Path]

    @staticmethod
    def at(repository: Repository, replica: Replica, options: FoldOptions, run: Run) -> _Folding:
        """Fetch every file that counts.

        Raises:
            FarshoreError: As the store said, or a seal or file that counts is damaged or gone here.
        """
        at = tables_at(repository, replica)
        evidence = read_evidence(at.store, at.cache_dir, at.repository_id, at.authority)
        bad = [*evidence.damaged, *(evidence.counted.seals[one].name for one in evidence.counted.folded.unproven)]
        if bad:
            raise ObjectCorrupt(f"{bad[0]} at {replica.name} is damaged, or {UNPROVEN}")
        synced = sync_tables(at.store, at.root, TABLES, at.replica, evidence)
        for trouble in synced.damaged.values():
            raise trouble
        return _Folding(repository, replica, options, run, evidence, dict(local_files(at.root, TABLES)))

    @property
    def unfolded(self) -> tuple[str, ...]:
        """Files that a seal names and whose rows its signer may not say."""
        return tuple(sorted(name for name in self.evidence.counted.files if name not in self.files))

    def fold_months(self) -> Iterator[FoldedMonth]:
        """Make a fold of each stretch that can be folded, and yield it once some replica has it."""
        stretches = plan_folds(self.evidence.counted, now_utc=self.repository.clock.now_utc(), usable=self._is_usable)
        for number, stretch in enumerate(stretches, start=1):
            month = self._month(stretch.fold, stretch.month, stretch)
            if not self.options.dry_run:
                contents = ((file.name, self.files[file.name].read_bytes()) for file in stretch.files)
                made, rows = join_files(contents, stretch.month, self.run.run_id)
                self._publish(stretch.fold, made)
                month = replace(month, files=len(made), bytes=sum(len(data) for _, data in made), rows=rows)
            self.run.progress(Progress(f"fold:{self.replica.name}", entries=number, bytes_total=len(stretches)))
            yield month

    def expire_months(self) -> Iterator[FoldedMonth]:
        """Make the folds anew whose rows are older than they are kept, without those about objects that are gone."""
        until = (self.repository.clock.now_utc() - self.options.keep).date()
        counted = self.evidence.counted
        old = [(counted.seals[one], fold) for one, fold in counted.folded.folds.items() if not fold.expired]
        due = [(seal, fold) for seal, fold in old if seal.files and _month_after(_partition(seal)) <= until]
        there = self._there([seal for seal, _ in due]) if due else lambda _: True
        for seal, fold in sorted(due, key=lambda one: (one[0].sealed_utc, one[0].hash)):
            month = replace(self._month(fold, _partition(seal), seal), expired=until)
            if not self.options.dry_run:
                made = [one for table in TABLES for one in self._left(seal, table, there)]
                self._publish(replace(fold, expired=until.isoformat()), made)
                month = replace(month, files=len(made), bytes=sum(len(data) for _, data in made))
            yield month

    def _left(self, seal: Seal, table: str, there: Callable[[str], bool]) -> list[NamedBytes]:
        of_table = [file.name for file in seal.files if names.table_of(file.name) == table]
        parts = [decode_table(table, one, self.files[one].read_bytes()) for one in of_table]
        left = [rows_about(one, there) for one in parts]
        # The run that made the repository left an empty file of each table, by which engines know its columns.
        if any(map(len, left)) or (parts and not any(map(len, parts))):
            return write_rows(table, left, _partition(seal), self.run.run_id)
        return []

    def _there(self, due: Iterable[Seal]) -> Callable[[str], bool]:
        """Return whether some replica has an object or snapshot that rows are about. All replicas have to say so.

        Raises:
            StateUnknown: A replica does not answer: it may have objects of these rows.
        """
        wanted: set[str] = set()
        for seal in due:
            for file in seal.files:
                table = names.table_of(file.name) or ""
                wanted |= subjects_of(decode_table(table, file.name, self.files[file.name].read_bytes()))
        found, failed = self.repository.ask_all(lambda replica: _named(replica, wanted))
        if failed or self.repository.unreachable:
            away = sorted({*failed, *self.repository.unreachable})
            raise StateUnknown(f"{away[0]} does not say what it has, so no audit rows are dropped by their age")
        return frozenset().union(*found.values()).__contains__

    def _is_usable(self, seal: Seal) -> bool:
        own = () if seal.fold is not None else seal.files
        return all(file.name in self.files and not self._is_later(file.name) for file in own)

    def _is_later(self, name: str) -> bool:
        return bool(unknown_columns(names.table_of(name) or "", name, self.files[name].read_bytes()))

    def _publish(self, fold: Fold, made: list[NamedBytes]) -> None:
        record_fold(self.repository, self.run.run_id, fold, made)

    def _month(self, fold: Fold, month: date, source: Stretch | Seal) -> FoldedMonth:
        signer = next(seal.signer for seal in self.evidence.counted.seals.values() if seal.chain == fold.chain)
        certificate = self.repository.trust.certificate(signer)
        return FoldedMonth(
            fold.chain, certificate.certificate.host if certificate else "", month, len(fold.superseded()),
            len(source.files), sum(file.bytes for file in source.files),
        )  # fmt: skip


def _named(replica: Replica, wanted: set[str]) -> set[str]:
    """Return those of these objects and snapshots that a replica lists."""
    found: set[str] = set()
    for info in replica.store.list(""):
        if info.name in wanted:
            found.add(info.name)
        commit = parse_commit(info.name)
        if commit is not None and commit.snapshot_id in wanted:
            found.add(commit.snapshot_id)
    return found


def _partition(seal: Seal) -> date:
    return date.fromisoformat(seal.files[0].name.split("/date=")[1][:10])


def _month_after(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)

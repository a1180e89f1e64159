"""Restore a snapshot: plan what its rows need, fetch it in windows, check every hash, put entries back in order.

A window holds the segments of a bounded stretch of the manifest; while one is written the next is fetched. Memory is
set by the limits, whatever the size of the snapshot.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy.typing as npt

from farshore import limits
from farshore.audit import run_rows
from farshore.audit.rows import AuditRow, Operation, RestoreRow, RunResult
from farshore.catalog import read_commit
from farshore.catalog.contents import open_snapshot
from farshore.catalog.data_keys import reading_keys_of
from farshore.catalog.index_loader import load_index, load_nothing
from farshore.catalog.needs import read_needs
from farshore.catalog.selection import Selection
from farshore.catalog.snapshots import Snapshot
from farshore.errors import Bug, Failure, NotFound, RestoreIncomplete, SnapshotUnknown
from farshore.format import names
from farshore.format.commit import Commit
from farshore.format.manifest import CHANGING, ManifestReader, ManifestRow
from farshore.format.names import CommitName
from farshore.index import ChunkIndex
from farshore.model import DamagedObject, Problem, ProblemCode
from farshore.ops.restore.content_plan import ContentPlan, plan_content
from farshore.ops.restore.delta.restoring import DeltaRestore
from farshore.ops.restore.file_writer import FileWriter
from farshore.ops.restore.options import RestoreOptions
from farshore.ops.restore.privileges import Privileges
from farshore.ops.restore.put_rows_back import all_needs, needs_of, put_rows_back
from farshore.ops.restore.space import require_space
from farshore.ops.restore.warm import readable_replicas
from farshore.plural import count_of
from farshore.process_memory import tune_process_memory
from farshore.repair.outcome import Repair, repair_rows
from farshore.repair.read_repair import ReadRepair, repair_result
from farshore.replicas.reader import ReplicaReader, open_reader
from farshore.replicas.repository import Repository
from farshore.results import Progress, ProgressCallback, RestoreResult
from farshore.run import Run
from farshore.targets.base import TargetKind
from farshore.targets.directory.existing import ExistingDirectoryTarget
from farshore.targets.directory.target import DirectoryTarget
from farshore.targets.stream.ordered import OrderedTarget

EVERYTHING = RestoreOptions()
STANDARD_OUTPUT = "-"


def mapped_bytes_min(files: int) -> int:
    """Return the size from which on blocks are mapped while a snapshot of this number of files is restored."""
    return limits.RESTORE_MAPPED_BYTES_MIN if files >= limits.RESTORE_MAPPED_FILES_MIN else limits.MAPPED_BYTES_MIN


def restore_snapshot(
    repository: Repository,
    snapshot: Snapshot,
    target: Path | OrderedTarget,
    *,
    replica: str | None = None,
    options: RestoreOptions = EVERYTHING,
    repair: bool = True,
    run: Run,
) -> RestoreResult:
    """Put a snapshot, or what is selected of it, into a directory, or send it to a stream.

    Every chunk is hashed when it is read and every whole file before it is called good. Where an object is bad or
    missing at one replica it is read from the next; with `replica` only that one is asked.

    Args:
        options: Which entries, and at which paths.
        repair: Repair objects that are damaged at one replica and good at another, beside the restore. The outcome
            is reported, and changes nothing about the restore.

    Raises:
        ObjectArchived: At no replica can all packs be read now; nothing was restored and nothing asked for.
        TargetNotEmpty, TargetFailed, TargetTooSmall: The target cannot be written, or is too small.
        SnapshotUnknown, PathsClash: Nothing is selected, or it cannot be placed so. Nothing was written.
        CredentialCannotRead, WrongPassphrase: The keys at hand cannot read.
        RestoreIncomplete: Some entries have no good copy anywhere; everything else was restored.
    """
    tune_process_memory(mapped_bytes_min(snapshot.counts.files))
    readable = readable_replicas(repository, snapshot, only=repository.replica(replica).name if replica else None)
    reader = open_reader(repository, only=[replica]) if replica else open_reader(repository, listed=readable)
    mending = _mending(repository, snapshot, reader, run) if repair else None
    reader.mender = mending.offer if mending else None
    result: RestoreResult | None = None
    failure: Failure | None = None
    try:
        result, lost = _restore(repository, snapshot, target, reader, options, run)
        failure = _incomplete(lost) if lost else None
    except Failure as error:
        failure = error
    repairs = mending.finish() if mending else []
    if result is not None:
        result = replace(result, repairs=tuple(repair_result(one) for one in repairs))
    if result is None or result.delta is None or not result.delta.dry_run:  # which restored nothing
        kind = DirectoryTarget.kind if isinstance(target, Path) else target.kind
        kind = kind if options.delta is None else ExistingDirectoryTarget.kind
        _record(repository, snapshot, kind, result, failure, repairs, run)
    if failure or result is None:
        raise failure or Bug("a restore ended without a result")
    return replace(result, requests=repository.drain_requests(), unrecorded=repository.unrecorded)


def _mending(repository: Repository, snapshot: Snapshot, reader: ReplicaReader, run: Run) -> ReadRepair:
    commits = {snapshot.snapshot_id: (snapshot.commit.hash,)}
    return ReadRepair(repository=repository, reader=reader, commits=commits, run_id=run.run_id)


def _restore(
    repository: Repository,
    snapshot: Snapshot,
    place: Path | OrderedTarget,
    reader: ReplicaReader,
    options: RestoreOptions,
    run: Run,
) -> tuple[RestoreResult, list[Problem]]:
    commit = _read_commit(repository, snapshot, reader)
    selection = Selection(options)
    manifest = open_snapshot(repository, commit, reader, wanted=selection.candidates if options.delta is None else None)
    selection.check(manifest)
    privileges = Privileges(options)
    changing: list[Problem] = []
    with ExitStack() as stack:
        delta, target = _open_target(place, options, privileges, run, stack)
        writer = None
        if delta is None or delta.prepare(repository, commit, reader, manifest, selection):
            rows = delta.rows if delta else lambda: privileges.limit(selection.rows(manifest))
            counts = delta.demand if delta else commit.counts
            if options.space and isinstance(place, Path):
                require_space(place, counts, rows)
            total = counts.bytes_total if selection.whole else 0
            run.progress(Progress("restore", bytes_total=total))
            plan = _plan(repository, commit, reader, manifest, selection, delta)
            if delta is None:
                target.begin()
            else:
                delta.make_way()
            watched = _watch(rows(), changing)
            writer = put_rows_back(
                watched if isinstance(place, Path) else place.expect(watched),
                plan,
                repository=repository,
                reader=reader,
                keys=reading_keys_of(repository, commit),
                target=target,
                spill_place=target.root_path if isinstance(target, DirectoryTarget) else _temporary(),
                on_window=partial(_report_progress, run.progress, total),
            )
        result = RestoreResult(
            snapshot_id=snapshot.snapshot_id,
            source=snapshot.source,
            run_id=run.run_id,
            target=str(place) if isinstance(place, Path) else STANDARD_OUTPUT,
            started_utc=run.started_utc,
            finished_utc=run.clock.now_utc(),
            entries=writer.entries if writer else 0,
            files=writer.files if writer else 0,
            bytes_restored=writer.bytes_written if writer else 0,
            replicas=tuple(sorted(reader.used)) or tuple(one.name for one in reader.order(0)[:1]),
            problems=(*(writer.lost if writer else ()), *changing, *(delta or target).problems()),
            fell_over=_of_snapshot(reader.damaged.values(), commit),
            hedged=reader.hedged,
            unmatched=selection.unmatched,
            devices_left_out=privileges.devices_left_out,
            setuid_left_out=privileges.setuid_left_out,
            delta=delta.counts if delta else None,
        )
    return result, writer.lost if writer else []


def _open_target(
    place: Path | OrderedTarget, options: RestoreOptions, privileges: Privileges, run: Run, stack: ExitStack
) -> tuple[DeltaRestore | None, DirectoryTarget | OrderedTarget]:
    """Return the target; beside it the restore into an existing tree, where it is one."""
    if not isinstance(place, Path):
        return None, place
    if options.delta is None:
        return None, DirectoryTarget(path=place, clock=run.clock)
    delta = DeltaRestore(path=place, options=options.delta, privileges=privileges, clock=run.clock)
    stack.enter_context(closing(delta))
    return delta, delta.target


def _report_progress(progress: ProgressCallback, total: int, writer: FileWriter) -> None:
    progress(Progress("restore", entries=writer.entries, bytes_done=writer.bytes_written, bytes_total=total))


def _plan(
    repository: Repository,
    commit: Commit,
    reader: ReplicaReader,
    manifest: ManifestReader,
    selection: Selection,
    delta: DeltaRestore | None,
) -> ContentPlan:
    """Plan the fetches; where there are none, no index is read either."""
    if delta is None:
        chunk_ids = selection.chunk_ids(manifest) if selection.narrow else None
        return plan_content(_needs(manifest, selection, chunk_ids), _index(repository, commit, reader, chunk_ids))
    chunk_ids = delta.chunk_ids()
    needs = needs_of(delta.rows()) if chunk_ids is None else [chunk_ids]
    return plan_content(needs, _index(repository, commit, reader, chunk_ids))


def _index(
    repository: Repository, commit: Commit, reader: ReplicaReader, chunk_ids: npt.NDArray[Any] | None
) -> ChunkIndex:
    if chunk_ids is not None and not len(chunk_ids):
        return load_nothing()
    return load_index(repository, reader, read_needs(repository, reader, commit), chunk_ids)


def _needs(
    manifest: ManifestReader, selection: Selection, chunk_ids: npt.NDArray[Any] | None
) -> Iterable[bytes | memoryview | npt.NDArray[Any]]:
    """Return what the selected rows need, in their order, by the cheapest way to it."""
    if chunk_ids is not None:
        return [chunk_ids]
    return all_needs(manifest) if selection.whole else needs_of(selection.rows(manifest))


def _temporary() -> Path | None:
    """Return where files without a name may be kept; None where there is no such place, and a restore does without."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        return None


def _watch(rows: Iterator[ManifestRow], changing: list[Problem]) -> Iterator[ManifestRow]:
    for row in rows:
        if row.state == CHANGING:
            changing.append(Problem(row.entry.path, ProblemCode.CHANGING, "it was changing while it was backed up"))
        yield row


def _read_commit(repository: Repository, snapshot: Snapshot, reader: ReplicaReader) -> Commit:
    """Return the record as a replica of this restore has it: a bad copy is found and mended like any other object."""
    try:
        return read_commit(repository, reader, _name_of(snapshot.commit))
    except NotFound as error:
        raise SnapshotUnknown(f"snapshot {snapshot.snapshot_id} is not at any reachable replica") from error


def _name_of(commit: Commit) -> CommitName:
    return CommitName(commit.source_id, commit.snapshot, commit.hash)


def _of_snapshot(found: Iterable[DamagedObject], commit: Commit) -> tuple[DamagedObject, ...]:
    """Return what reading this snapshot found; listing the others may have found more, which is theirs."""

    def is_ours(one: DamagedObject) -> bool:
        parsed = names.parse_commit(one.name)
        return parsed is None or parsed.hash == commit.hash

    return tuple(one for one in found if is_ours(one))


def _incomplete(lost: Sequence[Problem]) -> RestoreIncomplete:
    shown = ", ".join(problem.path.decode("utf-8", "backslashreplace") for problem in lost[:5])
    more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
    return RestoreIncomplete(
        f"{count_of(len(lost), 'file')} could not be restored whole: {shown}{more}; the first reason: {lost[0].message}"
    )


def _record(
    repository: Repository,
    snapshot: Snapshot,
    target_kind: TargetKind,
    result: RestoreResult | None,
    error: Failure | None,
    repairs: Sequence[Repair],
    run: Run,
) -> None:
    warned = result is not None and (result.problems or result.fell_over)
    state = RunResult.FAILED if error else RunResult.COMPLETED_WITH_WARNINGS if warned else RunResult.COMPLETED
    finished_utc = repository.clock.now_utc()
    restored = RestoreRow(
        run_id=run.run_id,
        snapshot_id=snapshot.snapshot_id,
        source_id=snapshot.source_id,
        source=snapshot.source,
        target_kind=target_kind,
        state=state,
        started_utc=run.started_utc,
        finished_utc=finished_utc,
        entries=result.entries if result else 0,
        files=result.files if result else 0,
        bytes_restored=result.bytes_restored if result else 0,
        replicas=result.replicas if result else (),
        verified=error is None,
        fell_over=len(result.fell_over) if result else 0,
        problems=len(result.problems) if result else 0,
    )
    row = run_rows.run_row(run, Operation.RESTORE, finished_utc=finished_utc, state=state, error=error)
    row = replace(
        row, source=snapshot.source, source_id=snapshot.source_id, snapshot_id=snapshot.snapshot_id,
        problems=restored.problems,
    )  # fmt: skip
    rows: list[AuditRow] = [row, restored]
    for one in repairs:
        rows += repair_rows(one, repository.replicas[one.replica], finished_utc, run)
    run_rows.try_record(repository, run.run_id, rows)

"""Audit rows of the operations: who writes them, and how a run becomes rows. docs/reference/audit.md."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from farshore import __version__
from farshore.audit.folds import Fold
from farshore.audit.outbox import Outbox, RecordedNeeds
from farshore.audit.own_chain import MadeCommit, Sealer, chain_dir, open_chain_id
from farshore.audit.recorder import AuditRecorder, AuditWritten
from farshore.audit.rights import may_write
from farshore.audit.rows import (
    TABLE_OF_ROW,
    AuditRow,
    CopyRow,
    CopyState,
    LockAction,
    LockRow,
    NeedRow,
    NeedsChange,
    ObjectKind,
    Operation,
    RunResult,
    RunRow,
    SnapshotMade,
    replica_parts,
)
from farshore.audit.seals import SeenHeads
from farshore.catalog.heads import remember_seen
from farshore.errors import Bug, ConfigInvalid, Failure, FarshoreError, StoreFull
from farshore.format.commit import Commit
from farshore.host import host_name
from farshore.host_resources import STATE, temporary_instead
from farshore.replicas.repository import Repository
from farshore.results import ReplicaOutcome
from farshore.run import Run
from farshore.signing import SigningKey
from farshore.stores.traffic import AcknowledgedPut

_STATE_UNUSABLE = (StoreFull, ConfigInvalid)  # as the outbox raises them
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WrittenObject:
    """An object that a run made."""

    name: str
    kind: ObjectKind
    bytes: int
    blake3: str


@dataclass(frozen=True, slots=True)
class EarlierObjects:
    """Objects that the run did not make.

    `reused`: all that the snapshot needs. `added`: those of them that the snapshot recorded before it does not need;
    `dropped`: those that it needs, and the snapshot does not.
    """

    reused: frozenset[str]
    added: frozenset[str]
    dropped: frozenset[str]


def run_row(
    run: Run, operation: Operation, *, finished_utc: datetime, state: RunResult, error: Failure | None = None
) -> RunRow:
    """Return a row of `runs` with what every operation knows; callers fill in the rest with `replace`."""
    return RunRow(
        run_id=run.run_id,
        engine=run.engine,
        operation=operation,
        state=state,
        started_utc=run.started_utc,
        finished_utc=finished_utc,
        flow_run_id=run.flow_run_id,
        error_code=error.code if error else "",
        error=error.message if error else "",
        host=host_name(),
        version=__version__,
    )


def record(
    repository: Repository,
    run_id: str,
    rows: Iterable[AuditRow],
    *,
    with_columns: bool = False,
    commits: Collection[MadeCommit] = (),
) -> AuditWritten | None:
    """Write rows to every reachable replica. Returns None where none could be kept, and without a key to sign them.

    Rows that a replica could not be given are kept on this host and sent with the next run's. Where this host's state
    directory cannot be used, the rows are sealed into a chain of this process's own and sent at once; what a run did
    never turns into an error because its rows cannot be kept. Then `repository.unrecorded` says why, and so does the
    log.

    Args:
        commits: Those that the run made; the next daily seal covers them, and their needs are among the rows.

    Raises:
        StoreUnavailable: The host has no record of its chain, and no replica had it.
    """
    written = _write(repository, run_id, rows, with_columns=with_columns, commits=commits)
    if repository.unrecorded:
        _log.warning("no audit row of this run was kept: %s", repository.unrecorded)
    return written


def record_fold(repository: Repository, run_id: str, fold: Fold, files: Iterable[tuple[str, bytes]]) -> AuditWritten:
    """Seal a fold into the chain of this host, and give its files to every reachable replica.

    Raises:
        StoreUnavailable, StoreFull, ConfigInvalid: As `AuditRecorder.flush`; then nothing is folded.
    """
    signing_key = repository.keys.signing_key if repository.keys is not None else None
    if signing_key is None:
        raise Bug("a fold was recorded by nobody who signs")
    recorder = _open_recorder(repository, signing_key)
    recorder.add_fold(run_id, fold, files)
    written = recorder.flush(run_id)
    _keep_head(repository, written)
    return written


def ask_ahead(repository: Repository) -> None:
    """Have services begin to answer what `record` will ask them of this host's chain; does not wait."""
    signing_key = repository.keys.signing_key if repository.keys is not None else None
    if signing_key is not None:
        with suppress(*_STATE_UNUSABLE):
            _open_recorder(repository, signing_key).ask_ahead()


def try_record(repository: Repository, run_id: str, rows: Iterable[AuditRow]) -> None:
    """Write rows as `record` does, for results that are returned whether or not the rows are kept.

    `repository.unrecorded` alone says why they are not: for one, neither the state directory nor the replicas can be
    written, as on a machine that everything is restored on with a credential that only reads.
    """
    try:
        _write(repository, run_id, rows)
    except FarshoreError as error:
        repository.unrecorded = error.message
    except OSError as error:
        repository.unrecorded = f"{error.filename or 'the state directory'}: {error.strerror or error}"


def _write(
    repository: Repository,
    run_id: str,
    rows: Iterable[AuditRow],
    *,
    with_columns: bool = False,
    commits: Collection[MadeCommit] = (),
) -> AuditWritten | None:
    """Write rows as `record` says; leave in `repository.unrecorded` why that could not be done."""
    if repository.keys is None:
        return None  # which the command says by itself
    signing_key = repository.keys.signing_key
    if signing_key is None:
        repository.unrecorded = "the keys at hand sign nothing, and only rows that somebody signed are used"
        return None
    counting = _counting(repository, signing_key, rows)
    if not counting and not with_columns:
        return None
    try:
        try:
            recorder = _open_recorder(repository, signing_key)
        except _STATE_UNUSABLE as trouble:
            _use_temporary_state(repository, trouble)
            recorder = _open_recorder(repository, signing_key)
        for row in counting:
            recorder.add(row)
        for commit in commits:
            recorder.add_commit(run_id, commit)
        if with_columns:  # an engine that reads files in place learns the columns of a table from its first one
            recorder.add_columns(run_id)
        try:
            written = recorder.flush(run_id)
        except _STATE_UNUSABLE as trouble:
            if recorder.sealed(run_id):
                _log.warning("%s; the audit rows of this run are sent with those of the next one", trouble.message)
                return None
            _use_temporary_state(repository, trouble)
            recorder.move(_chain_id(repository, signing_key), repository.state_dir)
            written = recorder.flush(run_id)
    except _STATE_UNUSABLE as trouble:
        repository.unrecorded = f"{trouble.message}. {trouble.hint}"
        return None
    _keep_head(repository, written)
    if repository.state_is_temporary and len(written.failed) == len(written.replicas):
        name = written.failed[0] if written.failed else "no replica"
        repository.unrecorded = (
            f"nothing of this host keeps it, and {name} refused it: {written.replicas.get(name, '')}"
        )
    return written


def _keep_head(repository: Repository, written: AuditWritten) -> None:
    """Have this host remember the new seal, once some replica has it, and anchor a daily one."""
    chain, sequence, seal_hash = written.head
    if chain and len(written.failed) < len(written.replicas):
        remember_seen(repository, chains={chain: (sequence, seal_hash)})
    failed = repository.anchor(seal_hash) if written.daily and repository.anchor is not None else ""
    if failed:
        _log.warning("%s; so the seals of today are not anchored", failed)


def _counting(repository: Repository, signing_key: SigningKey, rows: Iterable[AuditRow]) -> list[AuditRow]:
    """Return the rows that readers will count; `repository.unrecorded` names the tables of the others."""
    certificates = repository.trust.certificates_ever(signing_key.signer_id)
    kept: list[AuditRow] = []
    left_out: dict[str, None] = {}
    for row in rows:
        table = TABLE_OF_ROW[type(row)]
        if may_write(certificates, table, row):
            kept.append(row)
        else:
            left_out[table] = None
    if left_out:
        repository.unrecorded = (
            f"the certificate of this host lacks the right for rows of {', '.join(sorted(left_out))}; the owner gives "
            "it with 'farshore key enroll'"
        )
    return kept


def _open_recorder(repository: Repository, signing_key: SigningKey) -> AuditRecorder:
    head = repository.trust.head
    if head is None:
        raise Bug("rows were recorded before the owner log was read")
    return AuditRecorder(
        stores={name: replica.store for name, replica in repository.replicas.items()},
        repository_id=repository.repository_id,
        sealer=Sealer(
            signing_key,
            repository.header.fingerprint,
            head,
            _seen(repository),
            repository.own_commits,
            repository.header.past,
        ),
        chain_id=_chain_id(repository, signing_key),
        state_dir=repository.state_dir,
        clock=repository.clock,
        configured=repository.configured,
        paths=repository.audit_paths,
        alive=lambda name: repository.replicas[name].life_sign(),
        first_bug=repository.first_bug,
    )


def _seen(repository: Repository) -> SeenHeads:
    """Return the newest heads that this host remembers; what it lists just now may have been cut."""
    memory = repository.memory
    if memory is None:
        return SeenHeads()
    return SeenHeads({source: one.commit for source, one in memory.newest.items()}, memory.chains)


def _chain_id(repository: Repository, signing_key: SigningKey) -> str:
    return open_chain_id(repository.state_dir, repository.repository_id, signing_key.signer_id, repository.clock)


def _use_temporary_state(repository: Repository, trouble: FarshoreError) -> None:
    """Keep what is left of this process's rows in a directory that ends with it.

    Raises:
        StoreFull, ConfigInvalid: There can be none.
    """
    repository.state_dir = repository.resources.enter_context(temporary_instead(STATE, trouble))
    repository.state_is_temporary = True


def backup_rows(
    *,
    repository: Repository,
    commit: Commit,
    outcomes: Sequence[ReplicaOutcome],
    made: Sequence[WrittenObject],
    acknowledged: Mapping[str, set[str]],
    checksums: Mapping[str, Mapping[str, str]],
    earlier: EarlierObjects,
    adopted: Sequence[WrittenObject],
    sent: Mapping[str, Mapping[str, AcknowledgedPut]],
) -> list[AuditRow]:
    """Return rows of `needs`, `copies` and `locks` for one committed snapshot.

    Args:
        acknowledged: By replica, the names it acknowledged in this run.
        checksums: By replica and name, as the provider reported it.
        adopted: Objects that no earlier run recorded: packs of killed runs, and the fragment that names them now.
        sent: By replica and name, what this process put there, with the checksum that was sent.
    """
    committed = tuple(outcome.replica for outcome in outcomes if outcome.committed)
    shared = {"run_id": commit.run, "snapshot_id": commit.snapshot}
    of_source: dict[str, Any] = {**shared, "source_id": commit.source_id, "sequence": commit.sequence}
    rows: list[AuditRow] = []
    now = repository.clock.now_utc()

    def copy_row(name: str, replica_name: str, size: int, *, acknowledged: bool) -> CopyRow:
        replica = repository.replicas.get(replica_name)
        return CopyRow(
            object=name,
            replica=replica_name,
            region=replica.region if replica else "",
            provider=replica.store.capabilities.kind if replica else "unknown",
            state=CopyState.ACKNOWLEDGED if acknowledged else CopyState.MISSING,
            bytes=size,
            checksum=checksums.get(replica_name, {}).get(name, "") if acknowledged else "",
            acknowledged_utc=now if acknowledged else None,
            **shared,
        )

    for item in made:
        rows.append(_made_row(item, sent, of_source))
        holders = tuple(name for name in repository.configured if item.name in acknowledged.get(name, set()))
        rows += [copy_row(item.name, name, item.bytes, acknowledged=name in holders) for name in repository.configured]
    for item in adopted:
        rows.append(_made_row(item, sent, of_source))
        rows += [copy_row(item.name, name, item.bytes, acknowledged=True) for name in committed]
    new = {item.name for item in (*made, *adopted)}
    for change, objects in ((NeedsChange.REUSED, earlier.added), (NeedsChange.DROPPED, earlier.dropped)):
        rows += [NeedRow(object=name, change=change, **of_source) for name in sorted(objects - new)]
    for one in committed:
        brought = sorted(sent.get(one, {}).keys() & earlier.reused - new)
        rows += [copy_row(name, one, sent[one][name].bytes, acknowledged=True) for name in brought]
    rows += _lock_rows(commit, outcomes)
    return rows


def _made_row(
    item: WrittenObject, sent: Mapping[str, Mapping[str, AcknowledgedPut]], of_source: Mapping[str, Any]
) -> NeedRow:
    """Return the row of an object with every checksum that some replica was sent with it: the bytes are the same."""
    puts = [by_name[item.name] for by_name in sent.values() if item.name in by_name]
    return NeedRow(
        object=item.name,
        change=NeedsChange.MADE,
        kind=item.kind,
        bytes=item.bytes,
        checksums=tuple(sorted({put.checksum for put in puts if put.checksum})),
        **of_source,
    )


def _lock_rows(commit: Commit, outcomes: Sequence[ReplicaOutcome]) -> Iterator[LockRow]:
    """Yield the locks that a commit record promises, of each replica that holds it."""
    for outcome in outcomes:
        lock = commit.locks.get(outcome.replica)
        if lock is not None and outcome.committed:
            row = LockRow.of(commit, replica=outcome.replica, action=LockAction.COMMITTED, run_id=commit.run)
            yield replace(row, mode=lock.mode, locked_until_utc=lock.until_utc, changed=outcome.locks_extended)


def finished_run(
    row: RunRow, *, commit: Commit, outcomes: Sequence[ReplicaOutcome], needs_since: int, shrunken: bool
) -> RunRow:
    """Return the row of a backup run that committed."""
    committed = tuple(outcome.replica for outcome in outcomes if outcome.committed)
    return replace(
        row,
        source_id=commit.source_id,
        source=commit.source,
        snapshot_id=commit.snapshot,
        identity=commit.identity,
        problems=commit.counts.problems,
        replicas=replica_parts(outcomes),
        made=SnapshotMade.of(commit, replicas=committed, needs_since=needs_since, shrunken=shrunken),
    )


def recorded_needs(repository: Repository, source_id: str) -> RecordedNeeds | None:
    """Return the snapshot of a source whose needs this host's chain recorded last, whole or as changes.

    None where that is not known; rows of the next snapshot then name all that it needs.
    """
    signing_key = repository.keys.signing_key if repository.keys else None
    if signing_key is None:
        return None
    try:
        chain_id = _chain_id(repository, signing_key)
        outbox = Outbox(chain_dir(repository.state_dir, repository.repository_id, chain_id))
        with outbox.locked():
            head = outbox.head()
    except _STATE_UNUSABLE:
        return None
    return head.recorded.get(source_id) if head else None

"""Verify replicas: everything a listed snapshot needs is there, sound, and (read-data) hashes to its name.

Packs are checked by size from one listing, and read whole for the sample asked for; small objects are always read. Of
everything read, all is opened that the keys at hand open. The impact of a damaged object is answered from the
snapshots' needs, and from their manifests where a reader's keys are at hand.
"""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace

from farshore.audit import run_rows
from farshore.audit.rows import AuditRow, ProofState
from farshore.catalog import list_commit_names, read_commits
from farshore.catalog.data_keys import read_data_keys
from farshore.catalog.pack_trust import PackTrust
from farshore.catalog.tombstones import forgotten_commits
from farshore.check_results import CheckedReplica, VerifyResult
from farshore.errors import READ_ERRORS, BucketNotFound, StoreDenied, StorePaused, StoreUnavailable
from farshore.extras import require_extra
from farshore.format import names
from farshore.model import DamagedObject, RefusedObject
from farshore.ops.verify.audit_rows import record_verify
from farshore.ops.verify.check_chunks import check_chunks
from farshore.ops.verify.check_cuts import check_cuts, read_all_seals
from farshore.ops.verify.check_doubts import find_doubts
from farshore.ops.verify.check_gaps import name_gaps
from farshore.ops.verify.check_packs import check_packs
from farshore.ops.verify.check_small_objects import check_audit, check_fragments, check_keys, check_log, check_slots
from farshore.ops.verify.check_snapshot import check_snapshot
from farshore.ops.verify.claims import CLAIMED, settle_claims
from farshore.ops.verify.damage_impact import paths_touched
from farshore.ops.verify.findings import ReplicaCheck
from farshore.ops.verify.outcomes import SeenReplica, damaged_header, judge_replicas
from farshore.ops.verify.proof_log import FULL, ProofKeeper, choose_packs, reading_of
from farshore.ops.verify.sign_verdicts import VerdictWriter
from farshore.process_memory import tune_process_memory
from farshore.repair.outcome import Repair
from farshore.repair.read_repair import ReadRepair, repair_result
from farshore.replicas.reader import ReplicaReader, open_reader
from farshore.replicas.repository import Replica, Repository
from farshore.run import Run
from farshore.sealed.check_pack import PackChecker
from farshore.stores.object_retention import Access


def verify_repository(
    repository: Repository,
    *,
    replica: str | None = None,
    read_data_percent: float = 0.0,
    repair: bool = False,
    run: Run,
) -> VerifyResult:
    """Check one replica, or all; write the findings as audit rows; return them. Damage is a result, not an error.

    Args:
        read_data_percent: Share of the packs to read whole and hash; 100 reads all. Less reads those whose last reading
            is longest ago, so that all are read within 100 / share runs.
        repair: Mend damaged objects with good copies of other replicas, once everything was checked.

    A replica that cannot be asked is neither checked nor damaged: `checks` says so, and the others are checked.

    Raises:
        StoreUnavailable, StoreDenied: The replica that was asked for cannot be listed: unknown is not clean.
        ExtraMissing: A share of the packs is chosen by SQL over the audit tables, and DuckDB is not installed.
    """
    if 0 < read_data_percent < FULL:
        require_extra("sql")  # else the audit tables would be called unreadable
    tune_process_memory()
    keys, memory, trust = repository.writing_keys(), repository.memory, PackTrust(repository)
    chosen = [repository.replica(replica)] if replica else list(repository.replicas.values())
    reader = open_reader(repository, only=[one.name for one in chosen])
    proof = _pack_checker(repository, reader, trust)
    verdicts = VerdictWriter(repository, proof)
    forgotten = forgotten_commits(repository)  # what they need may be deleted at any moment
    checks = [
        _check_replica(repository, one, forgotten, reader, proof, verdicts, read_data_percent, run) for one in chosen
    ]
    if replica and checks[0].error:
        raise checks[0].error
    if read_data_percent >= FULL and keys.can_read:
        check_chunks(repository, checks, reader)
    repository.note_unasked({check.replica.name: check.error for check in checks if check.error})
    _settle(repository, checks)
    seals = read_all_seals(repository, checks) if replica is None else None
    if seals is not None:
        check_cuts(repository, checks, seals, memory)
    snapshots = tuple({commit.snapshot: None for check in checks for commit in check.commits})
    unopened = {} if replica else repository.unreachable
    headers = {name: damaged_header(name, error, snapshots) for name, error in unopened.items()}
    damaged = [found for found in headers.values() if found]
    damaged += _damage(repository, checks)
    repairs = _repair(repository, checks, run) if repair else []
    result = VerifyResult(
        run_id=run.run_id,
        replicas=tuple(name for name in repository.configured if replica in (None, name)),
        started_utc=run.started_utc,
        finished_utc=run.clock.now_utc(),
        snapshots=len(snapshots),
        objects=sum(check.objects for check in checks),
        bytes_read=sum(check.bytes_read for check in checks),
        read_data_percent=read_data_percent,
        damaged=tuple(damaged),
        repairs=tuple(repair_result(one) for one in repairs),
        readings=tuple(check.reading for check in checks if check.reading),
        checks=_outcomes(repository, checks, damaged, replica),
        refused=_refused(checks),
        doubts=find_doubts(repository, checks, seals),
        cut=tuple(sorted({name for check in checks for name in check.cut & check.damaged.keys()})),
        unread={check.replica.name: check.unread for check in checks if check.unread},
        proven=verdicts.proven,
        quarantined=tuple(one.hex() for one in verdicts.quarantined),
    )
    record_verify(repository, result, checks, repairs, run)
    return replace(result, requests=repository.drain_requests(), unrecorded=repository.unrecorded)


def _settle(repository: Repository, checks: Sequence[ReplicaCheck]) -> None:
    """Judge what one replica alone does not show: snapshots that were added, gaps, and what is only claimed."""
    list_again([(check.replica, check.listed) for check in checks if check.error is None])
    name_gaps(repository, checks)
    settle_claims(checks)


def _damage(repository: Repository, checks: Sequence[ReplicaCheck]) -> list[DamagedObject]:
    """Return what is damaged at each replica, with the paths that it touches where a reader's keys are at hand."""
    damaged: list[DamagedObject] = []
    for check in checks:
        found = list(check.damaged.values())
        if repository.writing_keys().can_read:
            found = paths_touched(repository, check.commits, check.needs, found)
        damaged += found
    return damaged


def _pack_checker(repository: Repository, reader: ReplicaReader, trust: PackTrust) -> PackChecker:
    return PackChecker(
        keys=repository.writing_keys(),
        data_keys=lambda key_id: tuple(read_data_keys(repository, reader, key_id)),
        maker=trust.maker,
        made_here=trust.is_signed,
    )


def list_again(seen: Sequence[tuple[Replica, set[str]]]) -> None:
    """List replicas again that seem to lack snapshots: a backup may have committed since they were listed.

    Adds to the snapshots of each; snapshots that all of them got meanwhile are left out.
    """
    everything = {snapshot for _, listed in seen for snapshot in listed}
    for replica, listed in seen:
        if listed < everything:
            with contextlib.suppress(*READ_ERRORS):
                listed.update(everything & {item.snapshot_id for item in list_commit_names(replica)})


def _refused(checks: Sequence[ReplicaCheck]) -> tuple[RefusedObject, ...]:
    """Return the objects that do not count, each with the replicas that list it."""
    replicas: dict[tuple[str, str], tuple[str, ...]] = {}
    details: dict[str, str] = {}
    for check in checks:
        details |= check.details
        for one in check.refused.items():
            replicas[one] = (*replicas.get(one, ()), check.replica.name)
    return tuple(
        RefusedObject(name, where, reason, details.get(name, "") if reason == CLAIMED else "")
        for (name, reason), where in sorted(replicas.items())
    )


def _outcomes(
    repository: Repository, checks: Sequence[ReplicaCheck], damaged: Sequence[DamagedObject], replica: str | None
) -> tuple[CheckedReplica, ...]:
    """Return the outcome of every replica that was chosen."""
    counts = Counter(one.replica for one in damaged)
    by_name = {check.replica.name: check for check in checks}
    seen: dict[str, SeenReplica] = {}
    for name in repository.configured:
        check = by_name.get(name)
        if check is not None:
            seen[name] = SeenReplica(check.listed, check.objects, counts[name], error=check.error)
        elif replica is None:
            seen[name] = SeenReplica(damaged=counts[name], error=None if counts[name] else repository.unreachable[name])
    return judge_replicas(seen)


def _repair(repository: Repository, checks: Sequence[ReplicaCheck], run: Run) -> list[Repair]:
    commits: dict[str, set[str]] = defaultdict(set)
    for commit in (one for check in checks for one in check.commits):
        commits[commit.snapshot].add(commit.hash)
    reader = open_reader(repository)
    mending = ReadRepair(repository=repository, reader=reader, commits=commits, run_id=run.run_id)
    return mending.mend_all(one for check in checks for one in check.damaged.values())


def _check_replica(
    repository: Repository,
    replica: Replica,
    forgotten: Collection[str],
    reader: ReplicaReader,
    proof: PackChecker,
    verdicts: VerdictWriter,
    read_data_percent: float,
    run: Run,
) -> ReplicaCheck:
    """Check one replica; what keeps it from being checked to the end is kept in `error`."""
    check = ReplicaCheck(replica, run.clock.random_bytes(16), forgotten)
    try:
        _fill(repository, check, reader, proof, verdicts, read_data_percent, run)
    except (StoreUnavailable, StorePaused, StoreDenied, BucketNotFound) as error:
        check.error = error
    check.objects = len(check.sizes)
    return check


def _fill(
    repository: Repository,
    check: ReplicaCheck,
    reader: ReplicaReader,
    proof: PackChecker,
    verdicts: VerdictWriter,
    read_data_percent: float,
    run: Run,
) -> None:
    replica = check.replica
    # Before everything else is listed: what a snapshot needs is put before its commit, and so is listed after it.
    listed = list_commit_names(replica)
    for info in replica.store.list():
        check.sizes[info.name] = info.size
        if info.access is not Access.READY:
            check.archived.add(info.name)
        if read_data_percent and info.modified_utc and info.name.startswith(names.PACKS):
            check.put_utc[info.name] = info.modified_utc
        if info.modified_utc and (item := names.parse_commit(info.name)):
            check.stored_utc[item.hash] = info.modified_utc
    read = read_commits(repository, replica, listed)
    check.commits += [one for one in read.accepted if one.hash not in check.forgotten]
    for item, error in read.bad.items():
        if item.hash in check.forgotten:
            continue
        check.blame(item.name, ProofState.ALTERED, str(error), item.snapshot_id)
        with contextlib.suppress(*READ_ERRORS):  # another replica's shows as well what this one must hold
            check.commits += read_commits(repository, reader, [item]).accepted
    damaged = {item.snapshot_id for item in read.bad if item.hash not in check.forgotten}
    check.listed = {one.snapshot for one in check.commits} | damaged
    check.note_refused({item.name: why.reason.value for item, why in read.refused.items()}, len(read.unread))
    check_slots(repository, check)
    check_log(repository, check)
    for commit in check.commits:
        check_snapshot(repository, check, commit, reader)
    check_keys(repository, check)
    check_fragments(repository, check)
    if read_data_percent:
        plan = choose_packs(repository, check, read_data_percent, run.clock)

        def write(rows: list[AuditRow]) -> None:
            run_rows.try_record(repository, run.run_id, rows)
            verdicts.try_write()

        keeper = ProofKeeper(write)
        check_packs(check, plan.packs, proof, run, keeper)
        verdicts.refuse_quarantined(check)
        check.reading = replace(
            reading_of(plan, replica.name, read_data_percent, run.started_utc), packs_archived=len(check.archived)
        )
    check_audit(repository, check)

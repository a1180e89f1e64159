"""The commit of one snapshot, made from the run and what it captured."""

from __future__ import annotations

from farshore import __version__, limits
from farshore.catalog.signed_commits import DETAILS_SALT_BYTES, sign_commit
from farshore.errors import Bug, ClockWrong
from farshore.format.commit import Commit
from farshore.model import SnapshotState
from farshore.ops.backup.attempt import Attempt
from farshore.ops.backup.clock_checks import next_moment
from farshore.ops.backup.pipeline.capture import CaptureResult
from farshore.ops.backup.prepare import RunState
from farshore.replicas.repository import Repository
from farshore.sources.base import Source
from farshore.trust.order import sequence_max


def new_commit(
    repository: Repository, source: Source, attempt: Attempt, state: RunState, captured: CaptureResult
) -> tuple[Commit, bytes]:
    """Return the commit of a run that is sealed, dated now and signed, and the bytes to store.

    Raises:
        ClockWrong: The clock was set back during the run.
    """
    committed_utc = next_moment(state.commits.last_dated, attempt.run.clock.now_utc())
    if state.commits.next_sequence > min(sequence_max(committed_utc), limits.SEQUENCE_MAX):
        raise ClockWrong(f"a snapshot of {committed_utc:%Y-%m-%d} can have no number above those that are there")
    parent, parent_commit = _parent(state)
    domain, head = repository.writing_keys().domain, repository.trust.head
    if head is None:
        raise Bug("a repository whose owner log is empty was opened")
    commit = Commit(
        snapshot=state.snapshot_id,
        source_id=state.source_id,
        run=attempt.run.run_id,
        lease=state.lease.lease.lease,
        domain=domain.domain,
        epoch=domain.epoch,
        parent=parent,
        parent_commit=parent_commit,
        sequence=state.commits.next_sequence,
        started_utc=attempt.run.started_utc,
        committed_utc=committed_utc,
        state=SnapshotState.INCOMPLETE if captured.counts.lacking else SnapshotState.COMPLETE,
        data_key=state.publisher.data_key_id,
        runs=state.publisher.runs,
        log=(head.number, head.hash),
        source=source.name,
        kind=source.kind,
        identity=attempt.identity,
        farshore=__version__,
        counts=captured.counts,
        facts=captured.facts,
        quorum=repository.quorum,
        marks=captured.marks,
        tags=attempt.tags,
        locks=state.locks.promised(committed_utc),
    )
    return sign_commit(repository.writing_keys(), commit, repository.clock.random_bytes(DETAILS_SALT_BYTES))


def _parent(state: RunState) -> tuple[str, str]:
    """Return the snapshot that this one follows and the hash of its commit; empty for the first.

    Where no replica lists any that it may follow, it is the one that this host remembers, unless that is listed: then
    its date is wrong.
    """
    newest, base = state.commits.newest, state.base
    if newest is not None:
        return newest.snapshot, newest.hash
    if base is not None and base.commit not in state.commits.listed:
        return base.snapshot_id, base.commit
    return "", ""

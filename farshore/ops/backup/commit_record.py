"""The commit record of one snapshot, made from the run and what it captured."""

from __future__ import annotations

from farshore import __version__
from farshore.clock import Clock
from farshore.format.records import Commit
from farshore.model import SnapshotState
from farshore.ops.backup.clock_checks import next_moment
from farshore.ops.backup.pipeline.capture import CaptureResult
from farshore.ops.backup.prepare import Attempt, RunState
from farshore.replicas.repository import Repository
from farshore.sources.base import Source


def new_commit(
    repository: Repository, source: Source, attempt: Attempt, run: RunState, captured: CaptureResult, clock: Clock
) -> Commit:
    """Return the commit record of a run that is sealed, dated now.

    Raises:
        ClockWrong: The clock was set back during the run.
    """
    newest = run.commits.newest
    committed_utc = next_moment(newest, clock.now_utc())
    parent = newest.snapshot if newest else run.base.snapshot_id if run.base else ""
    return Commit(
        snapshot=run.snapshot_id,
        source_id=run.source_id,
        source=source.name,
        kind=source.kind,
        identity=attempt.identity,
        run=attempt.run_id,
        parent=parent,
        started_utc=attempt.started_utc,
        committed_utc=committed_utc,
        farshore=__version__,
        data_key=run.data_key.key_id.hex(),
        objects=run.publisher.refs,
        counts=captured.counts,
        facts=captured.facts,
        quorum=repository.quorum,
        locks=run.locks.promised(committed_utc),
        state=SnapshotState.INCOMPLETE if captured.counts.lacking else SnapshotState.COMPLETE,
        sequence=run.commits.next_sequence,
        marks=captured.marks,
    )

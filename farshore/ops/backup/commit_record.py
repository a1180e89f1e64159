"""The commit record of one snapshot, made from the run and what it captured."""

from __future__ import annotations

from farshore import __version__
from farshore.format.records import Commit
from farshore.model import SnapshotState
from farshore.ops.backup.clock_checks import next_moment
from farshore.ops.backup.pipeline.capture import CaptureResult
from farshore.ops.backup.prepare import Attempt, RunState
from farshore.replicas.repository import Repository
from farshore.sources.base import Source


def new_commit(
    repository: Repository, source: Source, attempt: Attempt, state: RunState, captured: CaptureResult
) -> Commit:
    """Return the commit record of a run that is sealed, dated now.

    Raises:
        ClockWrong: The clock was set back during the run.
    """
    newest = state.commits.newest
    committed_utc = next_moment(newest, attempt.run.clock.now_utc())
    parent = newest.snapshot if newest else state.base.snapshot_id if state.base else ""
    return Commit(
        snapshot=state.snapshot_id,
        source_id=state.source_id,
        source=source.name,
        kind=source.kind,
        identity=attempt.identity,
        run=attempt.run.run_id,
        parent=parent,
        started_utc=attempt.run.started_utc,
        committed_utc=committed_utc,
        farshore=__version__,
        data_key=state.data_key.key_id.hex(),
        objects=state.publisher.refs,
        counts=captured.counts,
        facts=captured.facts,
        quorum=repository.quorum,
        locks=state.locks.promised(committed_utc),
        state=SnapshotState.INCOMPLETE if captured.counts.lacking else SnapshotState.COMPLETE,
        sequence=state.commits.next_sequence,
        marks=captured.marks,
    )

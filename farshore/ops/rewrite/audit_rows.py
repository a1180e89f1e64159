"""The audit rows of a rewrite: one of `runs` for each snapshot that replaces another, and `copies` of what was made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from farshore.audit import run_rows
from farshore.audit.rows import AuditRow, CopyRow, CopyState, Operation, PartState, ReplicaPart, RunResult
from farshore.ops.rewrite.commit import CommittedSnapshot
from farshore.ops.rewrite.publish import Publisher
from farshore.replicas.repository import Repository
from farshore.run import Run


def record_rewrite(repository: Repository, done: Sequence[CommittedSnapshot], publisher: Publisher, run: Run) -> None:
    """Write the rows of a rewrite, however it ended; none where it made nothing.

    The next daily seal of this host covers the new commits, whose dates are old.
    """
    now_utc = run.clock.now_utc()
    repository.own_commits.update({one.commit.hash: now_utc for one in done})
    rows = list(_rows(repository, done, publisher, run))
    if rows:
        run_rows.try_record(repository, run.run_id, rows)


def _rows(
    repository: Repository, done: Sequence[CommittedSnapshot], publisher: Publisher, run: Run
) -> Iterator[AuditRow]:
    now_utc = run.clock.now_utc()
    row = run_rows.run_row(run, Operation.REWRITE, finished_utc=now_utc, state=RunResult.COMPLETED)
    for one in done:
        parts = tuple(
            ReplicaPart(
                replica=name, state=PartState.COMMITTED if name in one.replicas else PartState.LEFT_BEHIND,
                error_code=publisher.failed[name].code if name in publisher.failed else "",
                error=publisher.failed[name].message if name in publisher.failed else "",
            )
            for name in repository.configured
        )  # fmt: skip
        yield replace(
            row, source=one.commit.source, source_id=one.commit.source_id, snapshot_id=one.commit.snapshot,
            identity=one.commit.identity, replicas=parts, replaces=one.before.snapshot,
        )  # fmt: skip
    for made in publisher.made:
        for name, replica in publisher.replicas.items():
            yield CopyRow(
                run_id=run.run_id, object=made.name, replica=name, region=replica.region,
                provider=replica.store.capabilities.kind, state=CopyState.ACKNOWLEDGED, bytes=made.bytes,
                acknowledged_utc=now_utc,
            )  # fmt: skip

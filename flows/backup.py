"""Back up one source to every replica: snapshot, then seal and replicate side by side, then commit and audit.

`python -m flows.backup --source shop` makes one run by hand, against the Prefect server that is configured;
`prefect deployment run backup/shop` has a worker make it (see deployments/prefect.yaml).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from farshore.clock import Clock, SystemClock
from farshore.errors import Failure
from farshore.results import BackupResult
from tasks.audit import write_audit
from tasks.capture import begin_snapshot, seal_source
from tasks.commit import commit_snapshot
from tasks.naming import artifact_key, name_backup_run, scheduled_identity
from tasks.policy import ATTEMPTS_MAX, attempt_wait_s, thread_runner
from tasks.progress import ProgressReporter, run_logger
from tasks.replicate import replicate_packs, require_no_bug
from tasks.report import failed, report_backup
from tasks.sessions import SESSIONS


@flow(
    name="backup",
    flow_run_name=name_backup_run,
    task_runner=thread_runner(),
    retries=0,  # Prefect would retry a wrong passphrase as readily as a lost connection; the loop below does not
    persist_result=False,
)
def backup(
    source: str,
    config_path: str | None = None,
    identity: str = "",
    attempts: int = ATTEMPTS_MAX,
    *,
    allow_empty: bool = False,
    accept_new: bool = False,
    tags: Sequence[str] = (),
) -> State[Any]:
    """Back up one source of farshore.toml; complete only when the snapshot was committed and read back at a quorum.

    A run is an attempt. Run it twice for the same identity and the second finds the backup done; kill it at any moment
    and nothing but its own unfinished snapshot is lost.

    Args:
        source: The source's name in farshore.toml.
        config_path: farshore.toml on the worker; empty searches where the command line does.
        identity: The cause of the backup, an event's id for instance. Empty means the moment that a schedule asked for,
            if one did.
        attempts: How often to start over after passing trouble, the first time included.
        allow_empty: Accept that nothing is kept of the source although it is the first time, or there was more before.
        accept_new: Accept, this once, that it is another source than before: file system, host, cluster.
        tags: Of the new snapshot, words or key=value; rules may keep what has one.
    """
    identity = identity or scheduled_identity()
    clock = SystemClock()
    attempt = 1
    while True:
        try:
            return report_backup(
                _attempt(
                    source, config_path, identity, clock, allow_empty=allow_empty, accept_new=accept_new, tags=tags
                )
            )
        except Failure as error:
            if not error.retryable or attempt >= attempts:
                return failed(error)
            wait_s = attempt_wait_s(attempt, clock.jitter())
            run_logger().warning("attempt %d: %s; the next one in %.0f s", attempt, error.message, wait_s)
            clock.wait_s(wait_s)
            attempt += 1


def _attempt(
    source: str, config_path: str | None, identity: str, clock: Clock, *, allow_empty: bool, accept_new: bool,
    tags: Sequence[str],
) -> BackupResult:  # fmt: skip
    with SESSIONS.enter(clock=clock) as session:
        started = begin_snapshot(
            session.session_id, source, config_path, identity, allow_empty=allow_empty, accept_new=accept_new,
            tags=tuple(tags),
        )  # fmt: skip
        if not started.already_done:
            reporter = ProgressReporter(board=session.board, key=artifact_key("progress", source), clock=clock)
            replicas = [*started.replicas, *session.left_behind]
            sending = [replicate_packs.submit(session.session_id, replica) for replica in replicas]
            sealing = seal_source.submit(session.session_id)
            reporter.follow([sealing, *sending])
            sealing.result()
            require_no_bug(sending)
            commit_snapshot(session.session_id)
            reporter.finish()
        return write_audit(session.session_id)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m flows.backup", description=backup.description)
    parser.add_argument("--source", required=True, help="the source's name in farshore.toml")
    parser.add_argument("--config", help="farshore.toml; searched for when omitted")
    parser.add_argument("--identity", default="", help="what the backup is of; it is made once")
    parser.add_argument("--allow-empty", action="store_true", help="accept that nothing is kept of the source")
    parser.add_argument("--accept-new", action="store_true", help="accept, this once, that it is another source")
    parser.add_argument("--tag", action="append", default=[], help="of the new snapshot; may be repeated")
    arguments = parser.parse_args()
    state = backup(
        arguments.source, arguments.config, arguments.identity, allow_empty=arguments.allow_empty,
        accept_new=arguments.accept_new, tags=arguments.tag, return_state=True,
    )  # fmt: skip
    sys.exit(0 if state.is_completed() else 1)

"""Restore one snapshot into an empty directory of the machine that runs this flow, or what differs in one that is not.

`farshore restore` does the same without Prefect; this is for restores that are asked for and kept on record there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State

from farshore.catalog.selection import split_selector
from farshore.clock import SystemClock
from farshore.errors import Failure
from farshore.ops.restore.delta.options import DeltaOptions
from farshore.ops.restore.options import RestoreOptions
from tasks.naming import artifact_key, name_restore_run
from tasks.policy import thread_runner
from tasks.progress import ProgressReporter
from tasks.report import failed, report_restore
from tasks.restore import find_snapshot, write_target
from tasks.sessions import SESSIONS


@flow(
    name="restore",
    flow_run_name=name_restore_run,
    task_runner=thread_runner(),
    retries=0,
    persist_result=False,
)
def restore(
    snapshot: str,
    target: str,
    replica: str | None = None,
    include: list[str] | None = None,
    config_path: str | None = None,
    *,
    exclude: list[str] | None = None,
    strip: int = 0,
    space_check: bool = True,
    leave_out: list[Literal["devices", "setuid"]] | None = None,
    delta: list[Literal["by-content", "delete", "dry-run"]] | None = None,
) -> State[Any]:
    """Restore one snapshot, checking every hash, falling over to another replica object by object.

    Args:
        snapshot: An id, a unique prefix, SOURCE for its latest, or SOURCE@TIME; with :/PATH behind it only what is
            below that path, as the root.
        target: An empty or new directory on the worker.
        replica: Read from this replica alone.
        include: Patterns of the paths to restore; everything when empty.
        config_path: farshore.toml on the worker; empty searches where the command line does.
        exclude: Patterns of the paths to leave out, also where `include` matches.
        strip: Drop this many leading names of every path.
        space_check: Refuse a disk that is too small for what will be written.
        leave_out: `devices`, `setuid` (setuid, setgid and capabilities of files), or both.
        delta: Bring back only what differs, in a target that need not be empty: an empty list, or some of `by-content`
            (read every file), `delete` (what the snapshot has not), `dry-run` (count differences, change nothing).
    """
    clock = SystemClock()
    try:
        with SESSIONS.enter(clock=clock) as session:
            selector, below = split_selector(snapshot)
            options = RestoreOptions(
                include=include or [],
                exclude=exclude or [],
                below=below,
                strip=strip,
                space=space_check,
                devices="devices" not in (leave_out or ()),
                setuid="setuid" not in (leave_out or ()),
                delta=None if delta is None else _options(delta),
            )
            info = find_snapshot(selector, replica, config_path)
            reporter = ProgressReporter(
                board=session.board, key=artifact_key("progress-restore", info.source), clock=clock
            )
            writing = write_target.submit(session.session_id, info, target, replica, options, config_path)
            reporter.follow([writing])
            result = writing.result()
            reporter.finish()
        return report_restore(result)
    except Failure as error:
        return failed(error)


def _options(words: Sequence[str]) -> DeltaOptions:
    return DeltaOptions(by_content="by-content" in words, delete="delete" in words, dry_run="dry-run" in words)

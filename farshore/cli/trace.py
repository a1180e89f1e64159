"""`--trace FILE` of every command: its requests to the replicas, and how many of them waited in line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from farshore.cli import Command, Invocation
from farshore.errors import ConfigInvalid
from farshore.plural import count_of
from farshore.stores.wrappers.traced import Trace

Execute = Callable[[Command, Invocation], int]


def execute_traced(command: Command, invocation: Invocation, execute: Execute) -> int:
    """Run one command as `execute` does, and write its requests to the file that `--trace` names.

    The sums are printed at the end, however it ends: as a note, or as a record `trace` with `--json`.
    """
    output = invocation.output
    path = Path(invocation.arguments.trace)
    try:
        trace = Trace(path, invocation.clock)
    except OSError as error:
        mistake = ConfigInvalid(
            f"the trace cannot be written to {path}: {error.strerror}", "Name a file in a directory that exists."
        )
        output.error(mistake)
        return mistake.exit_code
    try:
        return execute(command, replace(invocation, trace=trace))
    finally:
        done = trace.close()
        output.raw({"type": "trace", "file": str(path), **asdict(done)})
        output.note(
            f"trace: {count_of(done.requests, 'request')} in {done.seconds:.2f} s, {done.waits} in line, "
            f"{done.wait_connections} of these with a new connection; written to {path}"
        )

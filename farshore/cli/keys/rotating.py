"""One rotation with the secrets that the configuration names, and how its result is printed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from farshore.cli import OPENING, Invocation
from farshore.cli.opening import able_to_read, ask_new, opened_repository
from farshore.errors import EXIT_DONE, ConfigInvalid, CredentialCannotRead, FarshoreError, LogForked, QuorumNotReached
from farshore.plural import count_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from farshore.cli.output import Output
    from farshore.ops.setup.rekey import Rotated, Rotation
    from farshore.replicas.repository import Repository

NEW_VARIABLE = "FARSHORE_NEW_PASSPHRASE"
FAILURES: tuple[type[FarshoreError], ...] = (*OPENING, CredentialCannotRead, LogForked, QuorumNotReached)
_KEPT_COPIES = "whoever kept a copy of an older slot or key keeps what it opened until now: nothing takes that back"


def new_passphrase(invocation: Invocation) -> bytes:
    """Return the passphrase that is about to be set, from the environment or the terminal.

    Raises:
        ConfigInvalid: It is empty, or there is nobody to ask.
    """
    given = invocation.environment.get(NEW_VARIABLE)
    if given is None:
        return ask_new(invocation)
    if not given.strip():
        raise ConfigInvalid(f"{NEW_VARIABLE} is empty", "An empty passphrase protects nothing.")
    return os.fsencode(given)


def run_rotation(invocation: Invocation, choose: Callable[[Repository], Rotation], notes: Sequence[str] = ()) -> int:
    """Rotate what `choose` says once the repository is open; print the result, and its limits."""
    from farshore.access.open_replica import Writes
    from farshore.access.secrets import owner_secrets, read_secrets
    from farshore.access.unlock import Need
    from farshore.ops.setup.rekey import rotate

    config = able_to_read(invocation, invocation.config())
    with opened_repository(invocation, config, need=Need.OWNER, writes=Writes.ALL) as repository:
        secrets = read_secrets(config)
        done = rotate(repository, choose(repository), secrets, owner_secrets(config, secrets))
    print_rotated(invocation, done, notes)
    return EXIT_DONE


def print_rotated(invocation: Invocation, done: Rotated, notes: Sequence[str]) -> None:
    """Print what was made, what goes on opening the past, and what opens nothing any more."""
    output = invocation.output
    output.record("rotation", done)
    output.line(f"entry {done.entry} of the owner log: {count_of(len(done.made), 'slot')} made anew at every replica")
    for one in done.older:
        output.warning(
            f"{one.role} slot {one.slot_id[:8]} ({one.kind} {one.label or 'without a label'}) could not be made anew: "
            "it opens what was there before, and no later backup"
        )
    for one in done.ended:
        output.line(f"{one.role} slot {one.slot_id[:8]} ({one.kind} {one.label or 'without a label'}) opens no more")
    if done.revoked:
        output.line(f"the readers' signing key {done.revoked[:8]} was revoked; what it signed until now stays accepted")
    for host in done.enroll:
        output.line(f"enroll {host} anew, so that it writes with the new keys: farshore key enroll {host}")
    for note in (*notes, _KEPT_COPIES):
        output.line(note)
    warn_lacking(output, done.failed, "the new entry")


def warn_lacking(output: Output, failed: Iterable[str], what: str) -> None:
    """Warn of the replicas that could not be given something that every replica gets."""
    for name in failed:
        output.warning(f"{name} lacks {what}; 'farshore heal' or the next backup brings it there")

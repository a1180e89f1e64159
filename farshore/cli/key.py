"""`farshore key`: who can open the repository."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from farshore.cli.command import OPENING, Command, Invocation
from farshore.cli.init import recipient_text
from farshore.cli.opening import able_to_read, ask_new, opened_repository
from farshore.cli.wording import utc_time
from farshore.errors import EXIT_DONE, ConfigInvalid, CredentialCannotRead, QuorumNotReached, TargetForbidden

if TYPE_CHECKING:
    from datetime import datetime

    from farshore.ops.setup.keys import AddedSlot

NEW_VARIABLE = "FARSHORE_NEW_PASSPHRASE"


def add_generate_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", metavar="FILE", help="the identity file to make; it must not exist")


def generate(invocation: Invocation) -> int:
    """Make an identity file and print its public recipient."""
    from farshore.ops.setup.keys import generate_identity

    file = Path(invocation.arguments.file).expanduser()
    recipient = generate_identity(file)
    output = invocation.output
    output.raw({"type": "identity", "path": str(file), "recipient": recipient})
    output.note(f"made {file}, which only you can read: keep it off the backup hosts, and keep a copy elsewhere")
    output.note("the line below is public; give it to 'farshore init --recipient' or 'farshore key add-recipient'")
    output.line(recipient)
    return EXIT_DONE


def list_keys(invocation: Invocation) -> int:
    """List the key slots; no key is needed for that."""
    from farshore.access.open_repository import Writes
    from farshore.access.unlock import Need
    from farshore.ops.setup.keys import list_slots

    output = invocation.output
    with opened_repository(
        invocation, invocation.config(), need=Need.NONE, writes=Writes.NONE, patient=False
    ) as repository:
        slots = list_slots(repository)
    for slot in slots:
        output.record("slot", slot)
    output.table(
        ("slot", "role", "kind", "label", "added", "by", "recipient"),
        [(s.slot_id, s.role, s.kind, s.label, _moment(s.created_utc), s.host, s.recipient) for s in slots],
    )
    return EXIT_DONE


def add_recipient_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "recipient", metavar="TEXT|FILE", help="the line that 'farshore key generate' printed, or the identity"
    )
    _add_label(parser)


def add_passphrase_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    _add_label(parser)


def _add_label(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--label",
        default="",
        metavar="TEXT",
        help="whose it is, for 'farshore key list'; anybody who sees a replica can read it",
    )


def add_recipient(invocation: Invocation) -> int:
    """Let one more recipient read the data."""
    from farshore.access.open_repository import Writes
    from farshore.access.unlock import Need
    from farshore.ops.setup.keys import add_recipient_slot

    recipient = recipient_text(invocation.arguments.recipient)
    config = able_to_read(invocation, invocation.config())
    with opened_repository(invocation, config, need=Need.OWNER, writes=Writes.ALL) as repository:
        added = add_recipient_slot(repository, recipient, label=invocation.arguments.label, clock=invocation.clock)
    return _print_added(invocation, added, "recipient")


def add_passphrase(invocation: Invocation) -> int:
    """Let one more passphrase open the repository."""
    from farshore.access.open_repository import Writes
    from farshore.access.unlock import Need
    from farshore.ops.setup.initialize import weak_passphrase
    from farshore.ops.setup.keys import add_passphrase_slot

    given = invocation.environment.get(NEW_VARIABLE)
    new = None if given is None else os.fsencode(given)
    if new is not None and not new.strip():
        raise ConfigInvalid(f"{NEW_VARIABLE} is empty", "An empty passphrase protects nothing.")
    config = able_to_read(invocation, invocation.config())
    with opened_repository(invocation, config, need=Need.OWNER, writes=Writes.ALL) as repository:
        new = new or ask_new(invocation)
        added = add_passphrase_slot(repository, new, label=invocation.arguments.label, clock=invocation.clock)
    for warning in weak_passphrase(new):
        invocation.output.warning(warning)
    return _print_added(invocation, added, "passphrase")


def _print_added(invocation: Invocation, added: AddedSlot, kind: str) -> int:
    output = invocation.output
    output.raw({"type": "slot", "slot_id": added.slot_id, "kind": kind, "was_there": added.was_there})
    if added.was_there:
        output.line(f"this {kind} has key slot {added.slot_id} already; it is at every replica")
    else:
        output.line(f"added key slot {added.slot_id} ({kind}) at every replica")
    return EXIT_DONE


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else utc_time(moment)


def add_enroll_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("host", metavar="HOST", nargs="?", help="the name of the host (default: this host)")
    parser.add_argument("--sources", metavar="A,B", default="", help="what it may back up (default: any of its own)")
    parser.add_argument("--domain", default="", help="the hosts that it shares chunks with (default: none)")
    parser.add_argument(
        "--role", choices=("writer", "maintainer", "replicator", "auditor", "approver"), default="writer"
    )
    parser.add_argument(
        "--may", action="append", default=[], choices=("heal", "verify", "maintain", "approve"), help="a further right"
    )
    parser.add_argument("--out", metavar="FILE", help="where to leave the credential (default: for this host)")


def enroll(invocation: Invocation) -> int:
    """Certify a host, and leave its credential."""
    from farshore.access.open_repository import Writes
    from farshore.access.unlock import Need
    from farshore.host import host_name
    from farshore.ops.setup.enroll import enroll as enroll_host
    from farshore.ops.setup.initialize import write_credential
    from farshore.sealed.keys import Role
    from farshore.trust.actions import Right

    given, config = invocation.arguments, able_to_read(invocation, invocation.config())
    if given.host and given.host != host_name() and not given.out:
        raise ConfigInvalid(
            "the credential of another host needs a file to be left in", "Name one with --out, and move it to the host."
        )
    with opened_repository(invocation, config, need=Need.OWNER, writes=Writes.ALL) as repository:
        enrolled = enroll_host(
            repository,
            given.host or host_name(),
            role=Role(given.role),
            sources=tuple(name for name in given.sources.split(",") if name),
            domain=given.domain,
            rights=tuple(Right(one) for one in given.may),
        )
        header, repository_id = repository.header, repository.repository_id
        path = write_credential(config, enrolled.credential, header, Path(given.out) if given.out else None)
    output = invocation.output
    output.raw({
        "type": "credential", "path": path, "repository_id": repository_id, "role": given.role,
        "signer": enrolled.signer, "domain": enrolled.domain, "sources": list(enrolled.sources),
        "rights": list(enrolled.rights), "failed": list(enrolled.failed),
    })  # fmt: skip
    if given.out:
        output.line(f"the credential of {given.host}: {path}")
        output.line("  move it to the host, mode 0600, and name it there as repository.credential")
    else:
        output.line(f"this host's write-only credential: {path}")
        output.line("  it adds backups and cannot read one; take the passphrase off this host now")
    for name in enrolled.failed:
        output.warning(f"{name} lacks the certificate; 'farshore heal' or the next backup brings it there")
    return EXIT_DONE


_TO_ADD = (*OPENING, CredentialCannotRead, QuorumNotReached)

COMMAND = Command(
    name="key",
    summary="say who can open the repository",
    description="Make identities, and say which passphrases and recipients open the repository.",
    example="farshore key generate ~/offline/identity.json",
    children=(
        Command(
            name="generate",
            summary="make an identity file and print its public recipient",
            description=(
                "Make a private identity file (mode 0600) and print the public text of its recipient. Who holds the "
                "file can read every backup of a repository that has the recipient. Needs no configuration."
            ),
            example="farshore key generate identity.json > safe.recipient",
            add_arguments=add_generate_arguments,
            execute=generate,
            failures=(ConfigInvalid, TargetForbidden),
        ),
        Command(
            name="list",
            summary="list the key slots",
            description="List the passphrases and recipients that open the repository, without any secret of theirs.",
            example="farshore key list",
            execute=list_keys,
            failures=OPENING,
        ),
        Command(
            name="add-recipient",
            acts=True,
            summary="let one more identity read the data",
            description=(
                "Wrap the repository's keys for one more recipient; once, however often it is asked for. Needs the "
                "passphrase or an identity."
            ),
            example="farshore key add-recipient safe.recipient --label 'the safe in Oslo'",
            add_arguments=add_recipient_arguments,
            execute=add_recipient,
            failures=_TO_ADD,
        ),
        Command(
            name="add-passphrase",
            acts=True,
            summary="let one more passphrase open the repository",
            description=(
                "Wrap the repository's keys for one more passphrase, from FARSHORE_NEW_PASSPHRASE or asked for on the "
                "terminal. Needs the present passphrase or an identity."
            ),
            example="farshore key add-passphrase --label 'the safe in Oslo'",
            add_arguments=add_passphrase_arguments,
            execute=add_passphrase,
            failures=_TO_ADD,
        ),
        Command(
            name="enroll",
            acts=True,
            summary="let a host add backups, and leave its credential",
            description=(
                "Certify a host for a repository that exists, and write its credential: a writer's adds backups of its "
                "sources, deduplicates within its domain, and cannot read one back. Needs the owner's passphrase or "
                "identity once; take it off the host afterwards."
            ),
            example="farshore key enroll db7 --sources orders,users --out db7.credential",
            add_arguments=add_enroll_arguments,
            execute=enroll,
            failures=(*OPENING, CredentialCannotRead),
        ),
    ),
)

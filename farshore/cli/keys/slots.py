"""Who opens the repository: identities, recipients and passphrases."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from farshore.cli import Command, Invocation
from farshore.cli.init import recipient_text
from farshore.cli.keys.rotating import FAILURES, new_passphrase, run_rotation, warn_lacking
from farshore.cli.opening import able_to_read, opened_repository
from farshore.errors import EXIT_DONE, ConfigInvalid, TargetForbidden

if TYPE_CHECKING:
    from farshore.ops.setup.domain_readers import AddedReader
    from farshore.ops.setup.keys import AddedSlot
    from farshore.ops.setup.rekey import Rotation
    from farshore.replicas.repository import Repository

_ENROLL_ANEW = (
    "every domain has a new epoch: a host that is enrolled anew uploads its data once more; until then it goes on with "
    "keys that were known before, which name chunks and read none"
)


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
    output.note("the line below is public; give it to 'farshore init --recipient' or 'farshore key recipient add'")
    output.line(recipient)
    return EXIT_DONE


def _add_label(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--label",
        default="",
        metavar="TEXT",
        help="whose it is, for 'farshore key list'; anybody who sees a replica can read it",
    )


def add_recipient_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "recipient", metavar="TEXT|FILE", help="the line that 'farshore key generate' printed, or the identity"
    )
    parser.add_argument(
        "--sources",
        default="",
        metavar="NAME,…",
        help="let it read these alone: all sources of one domain or several, from a new epoch of each on",
    )
    _add_label(parser)


def add_recipient(invocation: Invocation) -> int:
    """Let one more recipient read the data."""
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.ops.setup.keys import add_recipient_slot

    recipient = recipient_text(invocation.arguments.recipient)
    config = able_to_read(invocation, invocation.config())
    with opened_repository(invocation, config, need=Need.OWNER, writes=Writes.ALL) as repository:
        if sources := [name for name in invocation.arguments.sources.split(",") if name]:
            from farshore.ops.setup.domain_readers import add_domain_reader

            reader = add_domain_reader(repository, recipient, sources, label=invocation.arguments.label)
            return _print_reader(invocation, reader)
        added = add_recipient_slot(repository, recipient, label=invocation.arguments.label, clock=invocation.clock)
    return _print_added(invocation, added, "recipient")


def add_passphrase(invocation: Invocation) -> int:
    """Let one more passphrase open the repository."""
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.ops.setup.initialize import weak_passphrase
    from farshore.ops.setup.keys import add_passphrase_slot

    given = new_passphrase(invocation) if not invocation.interactive else b""
    config = able_to_read(invocation, invocation.config())
    with opened_repository(invocation, config, need=Need.OWNER, writes=Writes.ALL) as repository:
        new = given or new_passphrase(invocation)
        added = add_passphrase_slot(repository, new, label=invocation.arguments.label, clock=invocation.clock)
    for warning in weak_passphrase(new):
        invocation.output.warning(warning)
    return _print_added(invocation, added, "passphrase")


def _print_reader(invocation: Invocation, added: AddedReader) -> int:
    output = invocation.output
    output.record("domain-reader", added)
    output.line(f"added key slot {added.slot_id}: it reads {', '.join(added.sources)} and nothing else")
    output.line("  it reads backups from now on: none that was made before, and none in an older epoch")
    for host in added.enroll:
        output.line(f"enroll {host} anew, so that it writes in the new epoch, and uploads its data once more")
    warn_lacking(output, added.failed, "the new entry")
    return EXIT_DONE


def _print_added(invocation: Invocation, added: AddedSlot, kind: str) -> int:
    output = invocation.output
    output.raw({"type": "slot", "slot_id": added.slot_id, "kind": kind, "was_there": added.was_there})
    if added.was_there:
        output.line(f"this {kind} has key slot {added.slot_id} already; it is at every replica")
    else:
        output.line(f"added key slot {added.slot_id} ({kind}) at every replica")
    return EXIT_DONE


def add_remove_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "recipient", metavar="SLOT|RECIPIENT", help="the beginning of its slot or recipient id in 'farshore key list'"
    )


def remove_recipient(invocation: Invocation) -> int:
    """Make all keys anew, and leave one recipient out."""
    given = invocation.arguments.recipient

    def choose(repository: Repository) -> Rotation:
        return _everything(repository, left_out=frozenset({_recipient_of(repository, given)}))

    return run_rotation(
        invocation, choose, [_ENROLL_ANEW, "snapshots that were made until now stay readable to the recipient"]
    )


def change_passphrase(invocation: Invocation) -> int:
    """Make all keys anew, for another passphrase instead of the present one."""
    if not invocation.interactive:
        new_passphrase(invocation)  # a mistake in it is reported before anything is opened

    def choose(repository: Repository) -> Rotation:
        return _everything(repository, new=new_passphrase(invocation))

    return run_rotation(
        invocation, choose, [_ENROLL_ANEW, "snapshots that were made until now stay readable with the old passphrase"]
    )


def _recipient_of(repository: Repository, given: str) -> str:
    from farshore.ops.setup.slot_files import read_slots

    stored = [one.info for one in read_slots(repository) if one.info.recipient]
    fitting = {one.recipient for one in stored if given and given in (one.slot_id, one.recipient)}
    fitting |= {one.recipient for one in stored if len(given) >= 8 and one.slot_id.startswith(given)}
    fitting |= {one.recipient for one in stored if len(given) >= 8 and one.recipient.startswith(given)}
    if len(fitting) != 1:
        raise ConfigInvalid(
            f"{len(fitting)} recipients have a slot or an id that begins with {given!r}",
            "'farshore key list' shows both; give at least 8 digits.",
        )
    return fitting.pop()


def _everything(repository: Repository, *, left_out: frozenset[str] = frozenset(), new: bytes = b"") -> Rotation:
    """Return the rotation of all keys that somebody who leaves has known."""
    from farshore.ops.setup.rekey import Rotation

    signing_key = repository.reading_keys().signing_key
    certified = repository.trust.certificate(signing_key.signer_id) if signing_key else None
    return Rotation(
        owner=True,
        recipient=True,
        root=True,
        domains=tuple(repository.trust.domains),
        reader_rights=certified.certificate.rights if certified is not None else None,
        left_out=left_out,
        new_passphrase=new,
        reason="a passphrase was changed" if new else "a recipient was removed",
    )


GENERATE = Command(
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
)
COMMANDS = (
    Command(
        name="recipient",
        summary="say which identities read the data",
        description="Let one more identity read the data, or one fewer.",
        example="farshore key recipient add safe.recipient",
        children=(
            Command(
                name="add",
                acts=True,
                summary="let one more identity read the data",
                description=(
                    "Wrap the repository's keys for one more recipient; once, however often it is asked for. Needs the "
                    "owner's and a reader's keys. With --sources it reads these sources alone, from a new epoch of "
                    "their domains on."
                ),
                example="farshore key recipient add safe.recipient --label 'the safe in Oslo'",
                add_arguments=add_recipient_arguments,
                execute=add_recipient,
                failures=FAILURES,
            ),
            Command(
                name="remove",
                acts=True,
                summary="make all keys anew, and leave one identity out",
                description=(
                    "Make new keys of owner and readers, a new root and a new epoch of each domain, in slots for "
                    "everybody but this recipient. Later backups are closed to it; what it could read it can go on "
                    "reading where it has a copy. Deletes nothing."
                ),
                example="farshore key recipient remove 5f0c2a91",
                add_arguments=add_remove_arguments,
                execute=remove_recipient,
                failures=FAILURES,
            ),
        ),
    ),
    Command(
        name="passphrase",
        summary="say which passphrases open the repository",
        description="Let one more passphrase open the repository, or another one instead.",
        example="farshore key passphrase add --label 'the safe in Oslo'",
        children=(
            Command(
                name="add",
                acts=True,
                summary="let one more passphrase open the repository",
                description=(
                    "Wrap the repository's keys for one more passphrase, from FARSHORE_NEW_PASSPHRASE or asked for on "
                    "the terminal. Needs the owner's and a reader's keys."
                ),
                example="farshore key passphrase add --label 'the safe in Oslo'",
                add_arguments=_add_label,
                execute=add_passphrase,
                failures=FAILURES,
            ),
            Command(
                name="change",
                acts=True,
                summary="make all keys anew, for another passphrase",
                description=(
                    "Make new keys of owner and readers, a new root and a new epoch of each domain, and wrap them for "
                    "the passphrase in FARSHORE_NEW_PASSPHRASE, or one that is asked for, instead of the present one. "
                    "The old one opens nothing any more; who kept a copy of its slot can read what was there until "
                    "now."
                ),
                example="farshore key passphrase change",
                execute=change_passphrase,
                failures=FAILURES,
            ),
        ),
    ),
)

"""Keys made anew: the recipient, the owner, the epoch of a domain; and the owner apart from the readers."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from farshore.cli import Command, Invocation
from farshore.cli.init import recipient_text
from farshore.cli.keys.rotating import FAILURES, new_passphrase, run_rotation

if TYPE_CHECKING:
    from farshore.ops.setup.rekey import Rotation
    from farshore.ops.setup.ways import Way
    from farshore.replicas.repository import Repository


def rotate_recipient(invocation: Invocation) -> int:
    """Make a new key pair that data keys are sealed to."""

    def choose(_: Repository) -> Rotation:
        from farshore.ops.setup.rekey import Rotation

        return Rotation(recipient=True)

    return run_rotation(
        invocation,
        choose,
        ["backups from now on are sealed to the new key; no snapshot was rewritten: the older key still reads those"],
    )


def rotate_owner(invocation: Invocation) -> int:
    """Make a new owner key."""

    def choose(_: Repository) -> Rotation:
        from farshore.ops.setup.rekey import Rotation

        return Rotation(owner=True)

    return run_rotation(
        invocation,
        choose,
        [
            "the owner before this one admits and revokes nobody any more, where a host has seen this entry",
            "on a machine that has not seen it, the older key can show a divided log, which is reported",
        ],
    )


def add_domain_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", metavar="NAME", help="the domain, as 'farshore key list' shows it")
    parser.add_argument(
        "--new-root", action="store_true", help="from a new root, for when the root itself may be known; readers get it"
    )


def rotate_domain(invocation: Invocation) -> int:
    """Begin the next epoch of a domain."""
    given = invocation.arguments

    def choose(_: Repository) -> Rotation:
        from farshore.ops.setup.rekey import Rotation

        return Rotation(domains=(given.name,), root=given.new_root)

    return run_rotation(
        invocation,
        choose,
        [
            "the new epoch shares no chunk with the older ones: the next backup of each host uploads all data again",
            "what the older keys name and open of older backups, they go on naming and opening",
        ],
    )


def add_split_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--recipient", metavar="TEXT|FILE", help="an identity that becomes the owner, instead of a passphrase"
    )
    parser.add_argument("--keep", action="store_true", help="let the reader's key go on writing and maintaining")
    parser.add_argument("--label", default="owner", metavar="TEXT", help="of the owner's slot, for 'farshore key list'")


def split(invocation: Invocation) -> int:
    """Part the owner from the readers."""
    given = invocation.arguments
    recipient = recipient_text(given.recipient) if given.recipient else ""
    if not recipient and not invocation.interactive:
        new_passphrase(invocation)  # a mistake in it is reported before anything is opened

    def choose(repository: Repository) -> Rotation:
        from farshore.ops.setup.rekey import Rotation

        return Rotation(
            owner=True,
            owner_only=(owner_way(invocation, recipient, given.label),),
            reader_rights=None if given.keep else _without_writing(repository),
            reason="the owner was parted from the readers",
        )

    return run_rotation(
        invocation,
        choose,
        [
            "what opened everything until now opens the data alone: it restores, verifies and heals, and admits nobody",
            *([] if given.keep else ["this host backs up with its credential"]),
            "keep the owner's secret off every backup host: FARSHORE_OWNER_PASSPHRASE or repository.identity gives it",
        ],
    )


def owner_way(invocation: Invocation, recipient: str, label: str) -> Way:
    """Return how an owner's slot is made: for a recipient's line, or for a passphrase that is asked for."""
    from farshore.ops.setup.ways import Way
    from farshore.sealed.key_files import decode_recipient

    if recipient:
        return Way(public_key=decode_recipient(recipient), label=label)
    return Way(passphrase=new_passphrase(invocation), label=label)


def _without_writing(repository: Repository) -> frozenset[str]:
    from farshore.trust.actions import Right

    signing_key = repository.reading_keys().signing_key
    certified = repository.trust.certificate(signing_key.signer_id) if signing_key else None
    rights = certified.certificate.rights if certified is not None else frozenset[str]()
    return rights - {Right.BACKUP, Right.MAINTAIN}


COMMANDS = (
    Command(
        name="rotate",
        summary="make keys anew",
        description=(
            "Make one kind of key anew: slots for the same people first, then an entry of the owner log. Rewrites no "
            "backup and deletes nothing; each says what it cannot take back."
        ),
        example="farshore key rotate recipient",
        children=(
            Command(
                name="recipient",
                acts=True,
                summary="make the key pair anew that backups are sealed to",
                description=(
                    "Make a new key pair and readers' slots with it, for the passphrase or identity at hand and for "
                    "all recipients. Slots of other passphrases and of shares open only what was there before; they "
                    "are listed."
                ),
                example="farshore key rotate recipient",
                execute=rotate_recipient,
                failures=FAILURES,
            ),
            Command(
                name="owner",
                acts=True,
                summary="make the owner's key anew",
                description=(
                    "Make a new key that signs the owner log, and slots of the owner with it; sign the readers' slots "
                    "again. Slots of the owner that could not be made anew open nothing any more; they are listed."
                ),
                example="farshore key rotate owner",
                execute=rotate_owner,
                failures=FAILURES,
            ),
            Command(
                name="domain",
                acts=True,
                summary="begin the next epoch of a domain",
                description=(
                    "Make the keys of a domain anew, from the same root or a new one. Hosts of the domain write with "
                    "the older keys until they are enrolled anew; they are listed."
                ),
                example="farshore key rotate domain main",
                add_arguments=add_domain_arguments,
                execute=rotate_domain,
                failures=FAILURES,
            ),
        ),
    ),
    Command(
        name="split",
        acts=True,
        summary="part the owner from the readers",
        description=(
            "Make a new owner key that only a passphrase of its own (FARSHORE_NEW_PASSPHRASE, or asked for) or an "
            "identity opens, and a new signing key of readers that can neither back up nor maintain. What opened "
            "everything until now opens the data alone."
        ),
        example="farshore key split --recipient owner.recipient",
        add_arguments=add_split_arguments,
        execute=split,
        failures=FAILURES,
    ),
)

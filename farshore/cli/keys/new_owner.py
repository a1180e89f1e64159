"""`farshore key new-owner`: the way on where the owner's key is lost."""

from __future__ import annotations

import argparse

from farshore.cli import Command, Invocation
from farshore.cli.init import recipient_text
from farshore.cli.keys.rotate import owner_way
from farshore.cli.keys.rotating import FAILURES, new_passphrase, warn_lacking
from farshore.cli.opening import able_to_read, opened_repository
from farshore.errors import EXIT_DONE, ConfigInvalid

_LIMITS = (
    "who has a reader's secret of before goes on reading: what was backed up until now is sealed to the same keys",
    "who finds the lost owner's key can admit writers for hosts that hold to the fingerprint of before, for no other",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--recipient", metavar="TEXT|FILE", help="an identity that becomes the owner, instead of a passphrase"
    )
    parser.add_argument("--label", default="owner", metavar="TEXT", help="of the owner's slot, for 'farshore key list'")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def new_owner(invocation: Invocation) -> int:
    """Ask, and give the repository a new owner."""
    from farshore.access.open_replica import Writes
    from farshore.access.secrets import read_secrets
    from farshore.access.unlock import Need
    from farshore.ops.setup.new_owner import give_new_owner
    from farshore.ops.setup.pins import pin_identity

    given, output = invocation.arguments, invocation.output
    recipient = recipient_text(given.recipient) if given.recipient else ""
    if not recipient and not invocation.interactive:
        new_passphrase(invocation)  # a mistake in it is reported before anything is opened
    config = able_to_read(invocation, invocation.config())
    with opened_repository(invocation, config, need=Need.READ, writes=Writes.ALL) as repository:
        output.note("the repository gets another fingerprint: every host that writes must be enrolled anew after this")
        if not given.yes and not (invocation.interactive and invocation.confirm("Give it a new owner?")):
            raise ConfigInvalid("nothing was changed", "Answer yes, or give --yes.")
        secrets, ways = read_secrets(config), [owner_way(invocation, recipient, given.label)]
        done = give_new_owner(repository, secrets, ways)
        past = repository.header.past
    output.record("new-owner", done)
    output.line(f"the fingerprint is from now on {done.fingerprint}")
    output.line(f"  in words: {done.fingerprint_words}")
    output.line(f"  it was {done.before}; every older snapshot restores under the new one")
    if config.repository.identity is not None:
        try:
            pin_identity(config.repository.identity, bytes.fromhex(done.fingerprint), past)
        except ConfigInvalid as error:
            output.warning(f"{error.message}: write the fingerprint into it with 'farshore key trust --identity'")
    if config.repository.fingerprint:
        output.line("write it into repository.fingerprint, in place of the one before")
    for host in done.enroll:
        output.line(f"enroll {host} anew; it writes nothing until then: farshore key enroll {host.split(' ')[0]}")
    output.line("on other machines that read: farshore key trust FINGERPRINT, with --identity where they have one")
    for one in done.older:
        output.warning(
            f"reader slot {one.slot_id[:8]} ({one.kind} {one.label or 'without a label'}) could not be made anew: it "
            "reads by the fingerprint of before, and only what was backed up under it"
        )
    for said in _LIMITS:
        output.line(said)
    warn_lacking(output, done.failed, "the new owner's header")
    return EXIT_DONE


COMMANDS = (
    Command(
        name="new-owner",
        acts=True,
        summary="give the repository a new owner, where the owner's key is lost",
        description=(
            "Put a header with a new owner key over the same packs, with a reader's secret: FARSHORE_NEW_PASSPHRASE, "
            "or an identity, owns the repository from now on. It gets another fingerprint. All snapshots stay and "
            "restore; every host that writes must be enrolled anew. Deletes and rewrites nothing."
        ),
        example="farshore key new-owner --recipient owner.recipient",
        add_arguments=add_arguments,
        execute=new_owner,
        failures=FAILURES,
    ),
)

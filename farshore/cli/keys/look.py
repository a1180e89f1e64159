"""Slots, certificates, the owner log and the fingerprint, shown without a key."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.opening import opened_repository
from farshore.cli.wording import shown_text, utc_time
from farshore.errors import EXIT_DONE, ConfigInvalid

if TYPE_CHECKING:
    from datetime import datetime

    from farshore.replicas.repository import Repository
    from farshore.sealed.slots import SlotInfo


@contextmanager
def _opened(invocation: Invocation) -> Iterator[Repository]:
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need

    with opened_repository(
        invocation, invocation.config(), need=Need.NONE, writes=Writes.NONE, patient=False
    ) as repository:
        yield repository


def list_keys(invocation: Invocation) -> int:
    """List key slots and certificates."""
    from farshore.ops.setup.slot_files import list_slots
    from farshore.ops.setup.trust_state import list_certificates

    output = invocation.output
    with _opened(invocation) as repository:
        slots, certificates = list_slots(repository), list_certificates(repository)
        newest = _newest(repository)
    for slot in slots:
        output.record("slot", slot)
    for one in certificates:
        output.record("certificate", one)
    output.table(
        ("slot", "role", "kind", "label", "added", "by", "recipient", "opens"),
        [
            (s.slot_id, s.role, s.kind, s.label, _moment(s.created_utc), s.host, s.recipient, _opens(s, newest))
            for s in slots
        ],
    )
    output.line()
    output.table(
        ("host", "signer", "role", "domain", "sources", "rights", "valid until", "revoked"),
        [
            (
                shown_text(one.host), one.signer[:16], one.role, shown_text(one.domain),
                shown_text(",".join(one.sources)), ",".join(one.rights),
                _moment(one.not_after_utc), shown_text(one.revoked),
            )
            for one in certificates
        ],
    )  # fmt: skip
    return EXIT_DONE


def add_show_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("whose", metavar="SIGNER|HOST|SLOT", help="a host, or the beginning of a signer or slot id")


def show(invocation: Invocation) -> int:
    """Print all of one slot, or of the certificates of a host or signer."""
    from farshore.ops.setup.slot_files import list_slots
    from farshore.ops.setup.trust_state import list_certificates

    given, output = invocation.arguments.whose, invocation.output
    with _opened(invocation) as repository:
        certificates = [one for one in list_certificates(repository) if given == one.host or _begins(one.signer, given)]
        slots = [one for one in list_slots(repository) if _begins(one.slot_id, given) or given == one.recipient]
        newest = _newest(repository)
    if not certificates and not slots:
        raise ConfigInvalid(f"no host, signer or slot is {given!r}", "'farshore key list' shows all of them.")
    for one in certificates:
        output.record("certificate", one)
        output.line(f"{one.role} {shown_text(one.host)}, certified by entry {one.entry} of the owner log")
        output.line(f"  signer   {one.signer}")
        output.line(f"  domain   {shown_text(one.domain)}")
        output.line(f"  sources  {shown_text(', '.join(one.sources)) or 'none'}")
        output.line(f"  rights   {', '.join(one.rights) or 'none'}")
        output.line(f"  valid    {utc_time(one.not_before_utc)} to {utc_time(one.not_after_utc)}; its end only warns")
        if not one.current:
            output.line(f"  revoked  {shown_text(one.revoked)}")
    for slot in slots:
        output.record("slot", slot)
        output.line(f"{slot.role} slot {slot.slot_id}: {slot.kind} {shown_text(slot.label)}")
        output.line(f"  added    {_moment(slot.created_utc) or 'unknown'} by {shown_text(slot.host) or 'unknown'}")
        output.line(f"  opens    {_opens(slot, newest)}")
    return EXIT_DONE


def log(invocation: Invocation) -> int:
    """Print the entries of the owner log, and where it is divided."""
    from farshore.ops.setup.trust_state import list_entries

    output = invocation.output
    with _opened(invocation) as repository:
        entries, trust = list_entries(repository), repository.trust
    for one in entries:
        output.record("log-entry", one)
        mark = "  (one of a fork)" if one.forked else ""
        output.line(f"{one.number:>4}  {utc_time(one.made_utc)}  {one.hash[:16]}  owner {one.signer[:8]}{mark}")
        for action in one.actions:
            output.line(f"      {shown_text(action)}")
        for unknown in one.unknown:
            output.warning(f"entry {one.number} has what this version does not know: {shown_text(unknown)}")
    for refused in trust.refused:
        output.warning(f"{refused.name} is refused: {shown_text(refused.reason)}")
    if trust.forked:
        numbers = ", ".join(str(number) for number in trust.forked)
        output.warning(f"two entries have the number {numbers}: choose with 'farshore key trust --entry HASH'")
    return EXIT_DONE


def fingerprint(invocation: Invocation) -> int:
    """Print the fingerprint of the repository that the replicas show."""
    from farshore.trust.words import to_words

    output = invocation.output
    with _opened(invocation) as repository:
        known, repository_id = repository.header.fingerprint, repository.repository_id
    output.raw({
        "type": "fingerprint", "repository_id": repository_id, "fingerprint": known.hex(),
        "fingerprint_words": to_words(known),
    })  # fmt: skip
    output.line(known.hex())
    output.line(to_words(known))
    output.note("it is right where it is the one that 'farshore init' printed; a replica can show any other")
    return EXIT_DONE


def _newest(repository: Repository) -> str:
    from farshore.crypto import recipient_id

    return recipient_id(repository.trust.recipient).hex()


def _opens(slot: SlotInfo, newest: str) -> str:
    if slot.role == "owner":
        return "the owner's key"
    if slot.role == "domain-reader":
        return "the backups of some domains, which 'farshore key log' shows"
    return "everything" if slot.newest in (newest, "") else "what was before"


def _begins(text: str, given: str) -> bool:
    return len(given) >= 8 and text.startswith(given)


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else utc_time(moment)


COMMANDS = (
    Command(
        name="list",
        summary="list key slots and certificates",
        description="List who opens the repository and who may write to it, without any secret. Needs no key.",
        example="farshore key list",
        execute=list_keys,
        failures=OPENING,
    ),
    Command(
        name="show",
        summary="show all of a slot, or of the certificates of a host",
        description="Show a slot, or the certificates of a host or signer: rights, sources, validity. Needs no key.",
        example="farshore key show db7",
        add_arguments=add_show_arguments,
        execute=show,
        failures=OPENING,
    ),
    Command(
        name="log",
        summary="show the owner log, and where it is divided",
        description="Show each entry of the owner log: what it changed, and when. Needs no key.",
        example="farshore key log",
        execute=log,
        failures=OPENING,
    ),
    Command(
        name="fingerprint",
        summary="show the fingerprint of the repository",
        description="Show the fingerprint of the repository in hex digits and as words. Needs no key.",
        example="farshore key fingerprint",
        execute=fingerprint,
        failures=OPENING,
    ),
)

"""Certificates made valid longer."""

from __future__ import annotations

import argparse

from farshore import limits
from farshore.cli import Command, Invocation
from farshore.cli.keys.rotating import FAILURES, warn_lacking
from farshore.cli.opening import able_to_read, opened_repository
from farshore.cli.wording import shown_text, utc_time
from farshore.errors import EXIT_DONE, EXIT_WARNINGS, ConfigInvalid

_DAYS_MAX = 36_500


def add_days(parser: argparse.ArgumentParser) -> None:
    """Declare the option of the commands that certify."""
    parser.add_argument(
        "--days", type=int, default=limits.CERTIFICATE_DAYS, metavar="N",
        help=f"how long the certificate is valid (default: {limits.CERTIFICATE_DAYS}); its end warns and stops nothing",
    )  # fmt: skip


def valid_days(given: int) -> int:
    """Return the number of days, or raise `ConfigInvalid` where no certificate can be valid for so long."""
    if not 0 < given <= _DAYS_MAX:
        raise ConfigInvalid(f"a certificate cannot be valid for {given} days", f"Give --days 1 to {_DAYS_MAX}.")
    return given


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("whose", metavar="HOST|SIGNER", help="all keys of a host, or the one key of a signer")
    add_days(parser)


def execute(invocation: Invocation) -> int:
    """Make certificates valid longer."""
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.ops.setup.renew import renew

    given, output = invocation.arguments, invocation.output
    days, config = valid_days(given.days), able_to_read(invocation, invocation.config())
    with opened_repository(invocation, config, need=Need.OWNER, writes=Writes.ALL) as repository:
        done = renew(repository, given.whose, days=days)
    for one in done.certificates:
        output.raw({
            "type": "renewed", "host": one.host, "role": one.role, "signer": one.signer,
            "not_after_utc": utc_time(done.not_after_utc), "failed": list(done.failed),
        })  # fmt: skip
        output.line(
            f"{one.role} {shown_text(one.host)}, signer {one.signer[:16]}: until {utc_time(done.not_after_utc)}"
        )
    warn_lacking(output, done.failed, "the certificate")
    return EXIT_WARNINGS if done.failed else EXIT_DONE


COMMANDS = (
    Command(
        name="renew",
        acts=True,
        summary="let certificates end later",
        description=(
            "Write into the owner log that the certificates of a host, or of one signer, are valid longer. The same "
            "keys go on: no credential changes, and nothing is moved to the host. For a host that was rebuilt, or "
            "whose key may be known, 'farshore key enroll' makes another key. Needs the owner's passphrase or identity."
        ),
        example="farshore key renew db7",
        add_arguments=add_arguments,
        execute=execute,
        failures=FAILURES,
        exits=((EXIT_WARNINGS, "done, and a replica lacks the certificate"),),
    ),
)

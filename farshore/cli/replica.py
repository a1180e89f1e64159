"""`farshore replica`: one replica by itself: try it, fill it when it is new, do without it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from farshore.cli import Command, Invocation, heal
from farshore.cli.wording import elapsed
from farshore.errors import (
    EXIT_DONE,
    EXIT_WARNINGS,
    BucketNotFound,
    ConfigInvalid,
    LifecycleDeletes,
    RepositoryMissing,
    SecretUnavailable,
    StoreUnavailable,
    StoreUnfit,
    StoreUnsafe,
)
from farshore.plural import count_of

if TYPE_CHECKING:
    from farshore.ops.probe.verdicts import ProbeResult

# Repeated here, so that help needs no engine; a test compares them with the engine's.
CHECKS = (
    "permissions",
    "clock",
    "conditional-put",
    "overwrite-refusal",
    "read-after-write",
    "objects",
    "ranges",
    "listing",
    "listing-prefixes",
    "listing-order",
    "checksums",
    "multipart",
    "conditional-parts",
    "large-object",
    "delete",
    "locks",
    "place",
    "speed",
)
ROLES = ("writer", "maintainer", "reader")


def add_probe_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("replica", metavar="NAME", help="the replica to try")
    parser.add_argument(
        "--role",
        choices=ROLES,
        default="writer",
        help="the purpose of its credential, which decides the rights that it should have",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=CHECKS,
        default=[],
        metavar="CHECK",
        help="make this check alone; may be given again (permissions are always looked at)",
    )
    parser.add_argument("--keep", action="store_true", help="do not remove what the probe put")


def probe(invocation: Invocation) -> int:
    """Try one replica, and print a verdict per capability."""
    from farshore.ops.probe.probe import probe_replica
    from farshore.ops.probe.verdicts import Role

    arguments, output = invocation.arguments, invocation.output
    config = invocation.config()
    result = probe_replica(
        config,
        arguments.replica,
        role=Role(arguments.role),
        only=arguments.only,
        keep=arguments.keep,
        progress=lambda at: output.note(f"trying {at.detail}"),
        clock=invocation.clock,
    )
    output.record("probe", result, verdict=result.verdict)
    _print(invocation, result)
    return exit_code_of(invocation, result)


def _print(invocation: Invocation, result: ProbeResult) -> None:
    output = invocation.output
    output.table(
        ("check", "verdict", "seen"),
        [
            (one.check, one.verdict.upper() if one.verdict in ("failed", "unsafe") else one.verdict, one.detail)
            for one in result.findings
        ],
        wraps=frozenset({"seen"}),
    )
    for one in result.findings:
        if one.hint and one.verdict in ("warning", "failed", "unsafe"):
            output.line()
            output.line(f"{one.check}: {one.hint}")
    if result.figures:
        output.line()
        output.table(
            ("measured", "median", "unit", "samples"),
            [(one.name, f"{one.median:,.1f}", one.unit, str(one.samples)) for one in result.figures],
            right=frozenset({"median", "samples"}),
        )
    output.line()
    output.line(
        f"{result.replica} ({result.url}) as {result.role}: {result.verdict}, "
        f"{count_of(len(result.findings), 'finding')} in {elapsed(result.finished_utc - result.started_utc)}"
    )
    if not result.objects_left:
        output.line(f"everything put below {result.prefix} was removed again")
        return
    output.line(f"{count_of(result.objects_left, 'object')} left below {result.prefix}, such as {result.left[0]}")
    if not invocation.arguments.keep:
        output.line("  this credential cannot remove them; delete the prefix with an account that may")


def exit_code_of(invocation: Invocation, result: ProbeResult) -> int:
    """Print an error for the gravest finding above a warning, and return the exit code."""
    grave = [one for one in result.findings if one.verdict == result.verdict]
    said = f"{result.replica}: {grave[0].check}: {grave[0].detail}" if grave else ""
    if result.verdict == "unsafe":
        invocation.output.error(StoreUnsafe(said, grave[0].hint or None))
        return StoreUnsafe.exit_code
    if result.verdict == "failed" and grave[0].check == "lifecycle":
        invocation.output.error(LifecycleDeletes(said, grave[0].hint or None))
        return LifecycleDeletes.exit_code
    if result.verdict == "failed":
        invocation.output.error(StoreUnfit(said, grave[0].hint or None))
        return StoreUnfit.exit_code
    return EXIT_WARNINGS if result.verdict == "warning" else EXIT_DONE


COMMAND = Command(
    name="replica",
    summary="try one replica, fill a new one, or do without one",
    description="Try one replica, fill a new one, or do without one.",
    example="farshore replica probe vault\nfarshore replica add iowa",
    children=(
        heal.ADD,
        heal.RETIRE,
        Command(
            name="probe",
            acts=True,
            summary="try what Farshore relies on, before a backup does",
            description=(
                "Try a replica in a private prefix of its own, probe/ID/, and give a verdict per capability: races of "
                "many writers for one name, reading and listing what was just written, ranges, checksums, objects in "
                "parts, locks, the clock, the rights of its credential, speed. Needs no key and no repository, changes "
                "nothing that is there, and removes what it put as far as the credential may delete."
            ),
            example="farshore replica probe vault\nfarshore replica probe oslo --only conditional-put --json",
            add_arguments=add_probe_arguments,
            execute=probe,
            failures=(
                ConfigInvalid,
                LifecycleDeletes,
                SecretUnavailable,
                RepositoryMissing,
                StoreUnavailable,
                BucketNotFound,
                StoreUnsafe,
                StoreUnfit,
            ),
            exits=((EXIT_WARNINGS, "usable, and something should be changed"),),
            interrupted="nothing that was there was changed; objects below probe/ may be left",
        ),
    ),
)

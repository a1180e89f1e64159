"""`farshore verify`: prove that the replicas hold what they should, and say what damage touches."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.opening import UnaskedWarnings, able_to_write, opened_repository, waiting_note
from farshore.cli.progress import reporter_for
from farshore.cli.proof_lines import format_check, format_proof, format_reading, format_summary
from farshore.cli.refused import warn_refused
from farshore.cli.run_report import warn_unrecorded
from farshore.cli.wording import format_repair, format_requests, human_bytes, shown_path, shown_text
from farshore.errors import (
    EXIT_DONE,
    EXIT_WARNINGS,
    CheckInconclusive,
    ConfigInvalid,
    HistoryCut,
    RecipientRetired,
    ReplicaEmpty,
    StoreUnavailable,
    VerifyFailed,
)
from farshore.plural import count_of

if TYPE_CHECKING:
    from farshore.check_results import VerifyResult
    from farshore.cli.output import Output
    from farshore.model import DamagedObject

PATHS_SHOWN_MAX = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    means = parser.add_mutually_exclusive_group()
    means.add_argument(
        "--remote",
        action="store_true",
        help="read nothing: compare the providers' sizes and checksums with those that were sent; needs no key",
    )
    means.add_argument(
        "--read-data",
        nargs="?",
        type=percent,
        const=100.0,
        default=0.0,
        metavar="PERCENT",
        help="also read and check this share of the packs' content, those first whose last reading is longest ago; "
        "all of it without a figure",
    )
    parser.add_argument("--replica", metavar="NAME", help="check this replica alone")
    parser.add_argument(
        "--repair", action="store_true", help="then mend what is damaged with good copies of other replicas"
    )


def percent(text: str) -> float:
    """Return a share in percent, above 0 and at most 100."""
    try:
        share = float(text.removesuffix("%"))
    except ValueError:
        share = 0.0
    if not 0 < share <= 100:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 100, not {text!r}")
    return share


def execute(invocation: Invocation) -> int:
    """Check, record the check, and report."""
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.ops.verify.verify import verify_repository
    from farshore.run import Run

    arguments, output = invocation.arguments, invocation.output
    if arguments.remote:
        return _execute_remote(invocation)
    config = able_to_write(invocation, invocation.config())
    # Without a reader's keys the paths that damage touches stay unknown.
    opened = None if arguments.repair else arguments.replica  # good copies are at the others
    with (
        opened_repository(
            invocation,
            config,
            need=Need.MOST,
            writes=Writes.REPAIRS if arguments.repair else Writes.ROWS,
            replica=opened,
        ) as repository,
        reporter_for(invocation, repository.moved) as progress,
    ):
        result = verify_repository(
            repository,
            replica=arguments.replica,
            read_data_percent=arguments.read_data,
            repair=arguments.repair,
            run=Run.start(invocation.clock, progress=progress),
        )
    output.record("verify", result, clean=result.clean)
    warn_refused(output, result.refused, result.unread)
    for damaged in result.damaged:
        output.line("\n".join(format_damage(damaged)))
    read = f", {human_bytes(result.bytes_read)} of content read" if result.read_data_percent else ""
    output.lines(format_check(one) for one in result.checks)
    output.line(format_summary(result, f"checked {count_of(result.objects, 'object')}", read))
    output.lines(format_reading(reading, result.finished_utc) for reading in result.readings)
    output.lines(format_verdicts(result))
    output.lines(f"snapshot {one.snapshot_id}: {one.code}: {one.detail}" for one in result.doubts)
    output.lines([format_repair(one) for one in result.repairs])
    output.lines(format_requests(result.requests))
    return warn_unrecorded(output, result.unrecorded, exit_code_of(output, result))


def _execute_remote(invocation: Invocation) -> int:
    """Check sizes and checksums that providers report, with any key at hand, or none."""
    from farshore.access import open_repository
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.ops.verify.remote.scrub import scrub_repository
    from farshore.run import Run
    from farshore.trust.actions import Right

    arguments, output = invocation.arguments, invocation.output
    if arguments.repair:
        raise ConfigInvalid(
            "--repair mends what was read and found damaged, and --remote reads nothing",
            "Run 'farshore heal' after it: it reads what this check names, and mends what is damaged.",
        )
    with (
        open_repository(
            invocation.config(),
            need=Need.ANY,  # the keys only sign what was found
            right=Right.VERIFY,
            writes=Writes.ROWS,
            replica=arguments.replica,
            on_wait=waiting_note(output),
            clock=invocation.clock,
        ) as repository,
        reporter_for(invocation, repository.moved) as progress,
    ):
        warnings = UnaskedWarnings(output)
        warnings.show(repository.unasked)
        result = scrub_repository(
            repository, replica=arguments.replica, run=Run.start(invocation.clock, progress=progress)
        )
    warnings.show(repository.unasked)
    output.record("verify", result, clean=result.clean, inconclusive=result.inconclusive, unproven=result.unproven)
    for damaged in result.damaged:
        output.line("\n".join(format_damage(damaged)))
    output.lines(format_check(one, "compared", "nothing damaged") for one in result.checks)
    for proof in result.proofs:
        output.lines(format_proof(proof))
    output.line(format_summary(result, f"compared {count_of(result.objects, 'object')}"))
    output.lines(format_requests(result.requests))
    if not result.recorded:
        output.note("this host has no key to sign audit rows with, so the results are shown here and kept nowhere")
    return warn_unrecorded(output, result.unrecorded, exit_code_of(output, result))


def format_verdicts(result: VerifyResult) -> list[str]:
    """Return the lines on packs that this run proved first, and on those that it quarantined."""
    lines = []
    if result.proven:
        lines.append(f"{count_of(result.proven, 'pack')} proved: hosts that share their domain may reuse them")
    if result.quarantined:
        packs = count_of(len(result.quarantined), "pack", "packs")
        lines.append(f"{packs} quarantined: no backup reuses what is in them, and restores go on reading them")
    return lines


def exit_code_of(output: Output, result: VerifyResult) -> int:
    """Print errors for findings above a warning, and return the exit code of the gravest."""
    from farshore.audit.coverage import COMMIT_UNCOVERED, uncovered_warning
    from farshore.ops.verify.outcomes import check_errors

    errors = check_errors(result)
    for error in errors:
        output.error(error)
    mended = bool(result.damaged) and result.mended
    if mended:
        output.warning(f"{count_of(len(result.damaged), 'object')} were damaged and mended; verify again to see it")
    if result.behind:
        output.warning(f"{', '.join(result.behind)} list fewer snapshots than others; 'farshore heal' brings the rest")
    uncovered = uncovered_warning(result.doubts)
    if uncovered:
        output.warning(uncovered, COMMIT_UNCOVERED)
    if errors:
        return errors[0].exit_code
    return EXIT_WARNINGS if mended or result.behind or result.unproven or uncovered else EXIT_DONE


def format_damage(damaged: DamagedObject) -> list[str]:
    """Return the lines on one damaged object and the snapshots and paths that need it."""
    lines = [f"{damaged.replica}: {damaged.name} is {damaged.code}: {shown_text(damaged.detail)}"]
    if damaged.snapshots:
        lines.append(f"  snapshots: {', '.join(one[:12] for one in damaged.snapshots)}")
    lines.extend(f"  path: {shown_path(path)}" for path in damaged.paths[:PATHS_SHOWN_MAX])
    if damaged.paths_total > min(len(damaged.paths), PATHS_SHOWN_MAX):
        lines.append(f"  and {count_of(damaged.paths_total - PATHS_SHOWN_MAX, 'more path')}")
    if not damaged.snapshots and not damaged.paths:
        lines.append("  no snapshot needs it")
    return lines


COMMAND = Command(
    name="verify",
    acts=True,
    summary="check every replica, and say what damage touches",
    description=(
        "Check that every replica holds every object of every snapshot it lists, by name, size and checksum, and that "
        "keys, indexes and manifests decode. With --read-data the packs' content is read and checked too: with 5 a "
        "twentieth of it, another one each time, so that twenty runs read all. Damage is shown with the snapshots and "
        "paths it touches. Nothing is changed unless --repair asks for it. With --remote nothing is read and no key is "
        "needed: for every object the size and checksum that its provider reports are compared with those sent. A "
        "replica that could not be asked is neither checked nor damaged. The exit code is that of the gravest finding: "
        "39 history that was deleted at all replicas, 62 damage, 84 a replica that lists no snapshot and others do, "
        "20 a replica that could not be asked, 66 too little was seen, 3 warnings."
    ),
    example="farshore verify --remote\nfarshore verify --read-data=5\nfarshore verify --replica vault --read-data",
    add_arguments=add_arguments,
    execute=execute,
    failures=(
        *OPENING,
        StoreUnavailable,
        HistoryCut,
        VerifyFailed,
        ReplicaEmpty,
        CheckInconclusive,
        RecipientRetired,
    ),
    exits=((EXIT_WARNINGS, "with warnings: snapshots lacking, damage mended, content unproven, or no audit row"),),
    shows_progress=True,
    interrupted="nothing was changed; run it again for a result",
)

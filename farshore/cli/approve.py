"""`farshore approve`: agree to what somebody asks approvers for, and list what waits."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.opening import able_to_write, opened_repository
from farshore.cli.wording import ID_DIGITS_SHOWN, human_bytes, shown_text, utc_time
from farshore.errors import EXIT_DONE, EXIT_WARNINGS, ConfigInvalid, QuorumNotReached, SnapshotUnknown
from farshore.plural import count_of

if TYPE_CHECKING:
    from farshore.cli.output import Output
    from farshore.ops.retain.approving import PendingRequest

_SNAPSHOTS_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("request", nargs="?", metavar="REQUEST", help="an id, or a prefix of one")
    parser.add_argument("--list", action="store_true", help="list all requests, and who has agreed to each")
    parser.add_argument("--show", action="store_true", help="only show the request: what it is about, and who asks")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, in clear, for people who read it later")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def execute(invocation: Invocation) -> int:
    """List requests, show one, or agree to it."""
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.ops.retain.approving import approve, find_request, list_requests
    from farshore.run import Run
    from farshore.trust.actions import Right

    arguments, output = invocation.arguments, invocation.output
    if bool(arguments.request) == arguments.list:
        raise ConfigInvalid("say which request, or --list", "farshore approve --list shows them.")
    config = able_to_write(invocation, invocation.config())
    acts = not arguments.list and not arguments.show
    with opened_repository(
        invocation, config, need=Need.WRITE, writes=Writes.ALL if acts else Writes.NONE, right=Right.APPROVE
    ) as repository:
        if arguments.list:
            return _list(output, list_requests(repository))
        found = find_request(repository, arguments.request)
        _show(output, found)
        if not acts:
            return EXIT_DONE
        if not arguments.yes and not (invocation.interactive and invocation.confirm("Agree to this?")):
            raise ConfigInvalid("nothing was approved", "Answer yes, or give --yes.")
        done = approve(repository, found.request, reason=arguments.reason, run=Run.start(invocation.clock))
    output.record("approved", done.request, failed=done.failed)
    left = done.request.needed - len(done.request.hosts)
    output.line(
        "approved: it may happen now"
        if left <= 0
        else f"approved: {left} more {'has' if left == 1 else 'have'} to agree"
    )
    for name, reason in done.failed.items():
        output.warning(f"{name} lacks the approval: {shown_text(reason)}. It counts there too; heal brings it")
    return EXIT_WARNINGS if done.failed else EXIT_DONE


def _show(output: Output, one: PendingRequest) -> None:
    output.record("request", one, granted=one.granted)
    output.line(f"request {one.request}: {one.act}")
    reason = shown_text(one.reason) or "no reason given"
    output.line(f"  asked by {', '.join(one.asked_by)}, {utc_time(one.asked_utc)}: {reason}")
    output.line(f"  ends {utc_time(one.ends_utc)}{' (has ended)' if one.ended else ''}")
    output.line(f"  approved by {', '.join(one.hosts) or 'nobody'}; needs {one.needed}")
    if one.limit:
        output.line(
            f"  up to {human_bytes(one.limit)} at {', '.join(one.replicas) or 'a replica that is not in this file'}"
        )
    if one.policy is not None:
        output.line(f"  the policy would be: {shown_text(one.policy_text)}")
    for snapshot in one.snapshots[:_SNAPSHOTS_SHOWN]:
        short, when = snapshot.snapshot[:ID_DIGITS_SHOWN], utc_time(snapshot.committed_utc)
        output.line(f"  {short} of {shown_text(snapshot.source)}, {when}")
    if len(one.snapshots) > _SNAPSHOTS_SHOWN:
        output.line(f"  and {count_of(len(one.snapshots) - _SNAPSHOTS_SHOWN, 'snapshot')} more; --json has all")


def _list(output: Output, found: list[PendingRequest]) -> int:
    for one in found:
        output.record("request", one, granted=one.granted)
    if not found:
        output.note("no requests, or the owner log asks for no approvals")
        return EXIT_DONE
    rows = [
        (
            one.request[:ID_DIGITS_SHOWN], one.act, str(len(one.snapshots)), f"{len(one.hosts)} of {one.needed}",
            "ended" if one.ended else utc_time(one.ends_utc), ", ".join(one.hosts), shown_text(one.reason),
        )
        for one in found
    ]  # fmt: skip
    output.table(
        ("request", "act", "snapshots", "approvals", "until", "by", "why"), rows, right=frozenset({"snapshots"}),
        wraps=frozenset({"why"}),
    )  # fmt: skip
    return EXIT_DONE


COMMAND = Command(
    name="approve",
    summary="agree to what needs approvals",
    description=(
        "Agree to a request with an approver's credential. Where the owner log asks for approvals ('farshore key "
        "policy'), forgetting beyond its rules, lifting a hold, deleting more than it allows and changing the policy "
        "wait until enough approvers agreed; the command that was refused names the request. Each approver counts once."
    ),
    example="farshore approve --list\nfarshore approve 7c1f --show\nfarshore approve 7c1f",
    add_arguments=add_arguments,
    execute=execute,
    failures=(*OPENING, SnapshotUnknown, QuorumNotReached),
    exits=((EXIT_WARNINGS, "done, and a replica lacks the approval"),),
    acts=True,
    interrupted="run it again: what is approved already stays approved",
)

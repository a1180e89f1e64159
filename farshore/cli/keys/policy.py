"""The policy of the owner log: who approves, how many have to, and the rules that are the least."""

from __future__ import annotations

import argparse

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.keys.rotating import FAILURES, warn_lacking
from farshore.cli.opening import able_to_read, opened_repository
from farshore.cli.rules import add_rules, given_rules, tried_rules
from farshore.errors import EXIT_DONE, EXIT_WARNINGS, ApprovalMissing, ConfigInvalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--approver", action="append", default=[], metavar="HOST", help="whose key may approve; may be repeated"
    )
    parser.add_argument("--approvals", type=int, default=0, metavar="K", help="how many of them have to (default: 0)")
    parser.add_argument("--delete-max", type=int, metavar="PERCENT", help="of a replica's bytes, deleted at once")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for the approvers")
    add_rules(parser)


def policy(invocation: Invocation) -> int:
    """Put a policy into force."""
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.ops.setup.policy import plan_policy, set_policy

    given, output = invocation.arguments, invocation.output
    if given.approvals < 0 or not 0 <= (given.delete_max or 0) <= 100:
        raise ConfigInvalid("no such number of approvals or percent", "Give --approvals 2, --delete-max 30.")
    if given.keep_tag:
        raise ConfigInvalid("the owner log has no tags, which are sealed", "Leave --keep-tag out.")
    tried_rules(given)  # or it raises
    rules = {key: value for key, value in given_rules(given).items() if isinstance(value, int | str)}
    config = able_to_read(invocation, invocation.config())
    with opened_repository(invocation, config, need=Need.OWNER, writes=Writes.ALL) as repository:
        wanted = plan_policy(
            repository, approvers=given.approver, approvals=given.approvals, delete_max=given.delete_max,
            retention=rules,
        )  # fmt: skip
        done = set_policy(repository, wanted, reason=given.reason or "another policy")
    output.record("policy", done, approvers=wanted.approvers, approvals=wanted.approvals, retention=rules)
    output.line(f"entry {done.head.number} of the owner log: {wanted.approvals} of {len(wanted.approvers)} approvers")
    warn_lacking(output, done.failed, "the entry")
    return EXIT_WARNINGS if done.failed else EXIT_DONE


COMMANDS = (
    Command(
        name="policy",
        acts=True,
        summary="say who has to approve what is dangerous",
        description=(
            "Put a policy into the owner log, instead of the one in force: K of the approvers have to agree before a "
            "snapshot is forgotten that the rules given here keep (none given: any), before a hold is lifted, more "
            "than --delete-max is deleted, or this policy is changed. Needs the owner's key."
        ),
        example=(
            "farshore key enroll alice --role approver --out alice.json\n"
            "farshore key policy --approver alice --approver bob --approvals 2 --keep-daily 30"
        ),
        add_arguments=add_arguments,
        execute=policy,
        failures=(*OPENING, *FAILURES, ApprovalMissing),
        exits=((EXIT_WARNINGS, "done, and a replica lacks the entry"),),
    ),
)

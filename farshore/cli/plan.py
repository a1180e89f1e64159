"""`farshore plan check`: does the plan meet its placement policy, and what would be left after each loss?"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from farshore.cli import OPENING, Command, Invocation
from farshore.cli.opening import able_to_write, opened_repository
from farshore.cli.wording import shown_text, utc_time
from farshore.errors import EXIT_DONE, NothingLeft, PlacementNotMet
from farshore.plural import count_of

if TYPE_CHECKING:
    from farshore.config import Config
    from farshore.plan.judging import Newest, SimulatedLoss
    from farshore.plan.replicas import PlacedReplica
    from farshore.plan.rules import RuleVerdict

UNKNOWN = "?"  # in a table: the configuration does not say


def add_check_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--live", action="store_true", help="ask the replicas for their newest snapshots; needs a key that can add"
    )


def check(invocation: Invocation) -> int:
    """Judge the rules, simulate the losses, and print both; the graver finding is the exit code."""
    from farshore.plan.flipped_bit import simulate_flipped_bits
    from farshore.plan.judging import simulate
    from farshore.plan.losses import check_accepted, plan_losses
    from farshore.plan.replicas import check_regions, place_replicas
    from farshore.plan.rules import plan_rules

    config, output = invocation.config(), invocation.output
    check_regions(config)
    bits = simulate_flipped_bits(config)
    losses = plan_losses(config)
    check_accepted(config, [one.name for one in losses[1:]] + [one.loss for one in bits])
    newest = _ask(invocation, config) if invocation.arguments.live else None
    rules = plan_rules(config)
    simulated = (*simulate(config, losses, newest=newest, now_utc=invocation.clock.now_utc()), *bits)
    _print_replicas(invocation, place_replicas(config), newest)
    output.line()
    _print_rules(invocation, rules)
    output.line()
    _print_losses(invocation, simulated, is_live=newest is not None)
    _print_changes(invocation, simulated)
    return _verdict(invocation, rules, simulated)


def _ask(invocation: Invocation, config: Config) -> Newest:
    """Return what each replica holds that could be asked."""
    from farshore.access.open_replica import Writes
    from farshore.access.unlock import Need
    from farshore.catalog.snapshots import latest_snapshot_per_replica

    with opened_repository(
        invocation, able_to_write(invocation, config), need=Need.WRITE, writes=Writes.NONE
    ) as repository:
        return latest_snapshot_per_replica(repository)


def _print_replicas(invocation: Invocation, placed: Sequence[PlacedReplica], newest: Newest | None) -> None:
    output = invocation.output
    for one in placed:
        extra = {} if newest is None else {"newest": newest.get(one.replica)}
        output.record("placement", one, **extra)
    output.table(
        ("replica", "provider", "region", "jurisdiction", "account", "login", "protected by"),
        [
            (
                one.replica,
                one.provider,
                one.region or UNKNOWN,
                one.jurisdiction or UNKNOWN,
                one.account,
                one.login,
                _protection(one),
            )
            for one in placed
        ],
    )


def _protection(one: PlacedReplica) -> str:
    named = {"immutable": one.immutable, "versioned": one.versioned, "offline": one.offline}
    return "+".join(name for name, is_so in named.items() if is_so)


def _print_rules(invocation: Invocation, rules: Sequence[RuleVerdict]) -> None:
    output = invocation.output
    for one in rules:
        output.record("rule", one)
    output.table(
        ("rule", "wanted", "found", "verdict"),
        [(one.rule, one.wanted, one.found, "met" if one.is_met else "NOT MET") for one in rules],
        wraps=frozenset({"found"}),
    )
    for one in rules:
        if one.change:
            output.line(f"change for {one.rule}: {shown_text(one.change)}")


def _print_losses(invocation: Invocation, simulated: Sequence[SimulatedLoss], *, is_live: bool) -> None:
    output = invocation.output
    for one in simulated:
        output.record("loss", one)
    titles = ("lost", "replicas left", "backups go on", "restore with", "rpo", "verdict")
    output.table(
        (*titles[:5], "newest left", titles[5]) if is_live else titles,
        [
            (
                one.loss,
                ", ".join(one.survives),
                "yes" if one.is_quorum_possible else "no",
                ", ".join(one.opens_with) if one.is_restorable else "NOTHING",
                _rpo(one),
                *((_newest(one),) if is_live else ()),
                f"{one.verdict} (accepted)" if one.is_accepted else one.verdict,
            )
            for one in simulated
        ],
        wraps=frozenset({"replicas left", "restore with"}),
    )


def _rpo(loss: SimulatedLoss) -> str:
    """Return the worst RPO of any source; with `*` where it holds only if the replicas left were in sync."""
    from farshore.config import format_duration

    if not loss.is_restorable or not loss.sources:
        return ""
    known = [one.rpo for one in loss.sources if one.rpo is not None]
    if len(known) < len(loss.sources):
        return UNKNOWN
    return format_duration(max(known, default=timedelta())) + ("" if loss.is_newest_held else "*")


def _newest(loss: SimulatedLoss) -> str:
    """Return the oldest of the sources' newest snapshots: no source loses more."""
    if not loss.is_restorable or not loss.sources:
        return ""
    moments = [one.newest_utc for one in loss.sources if one.newest_utc]
    return utc_time(min(moments)) if len(moments) == len(loss.sources) else "none of some"


def _print_changes(invocation: Invocation, simulated: Sequence[SimulatedLoss]) -> None:
    """Print each note and each change once, with the losses it is about."""
    notes = [(one.loss, one.notes) for one in simulated if one.kind != "bit" or one.changes]  # no good news ten times
    changes = [(one.loss, one.changes) for one in simulated if not one.is_accepted]
    for title, texts in (("note", notes), ("change", changes)):
        _print_once(invocation, title, texts, simulated[0].loss)
    if any(_rpo(one).endswith("*") for one in simulated):
        invocation.output.line("\n* if the replicas left were in sync when it happened")


def _print_once(
    invocation: Invocation, title: str, found: Iterable[tuple[str, tuple[str, ...]]], comparison: str
) -> None:
    """Print each text with the losses it is about; what holds before any loss is about every one."""
    about: dict[str, list[str]] = {}
    for loss, texts in found:
        for text in texts:
            about.setdefault(text, []).append(loss)
    if about:
        invocation.output.line()
    for text, losses in about.items():
        whom = "every loss" if comparison in losses else shown_text(", ".join(losses))
        invocation.output.line(f"{title} for {whom}: {shown_text(text)}")


def _name_a_holder() -> str:
    from farshore.plan.judging import NAME_A_HOLDER

    return f"{NAME_A_HOLDER[:1].upper()}{NAME_A_HOLDER[1:]}."


def _verdict(invocation: Invocation, rules: Sequence[RuleVerdict], simulated: Sequence[SimulatedLoss]) -> int:
    output = invocation.output
    unmet = [one.rule for one in rules if not one.is_met]
    total = [one.loss for one in simulated if one.leaves_nothing]
    code = EXIT_DONE
    if unmet:
        output.error(PlacementNotMet(f"the plan does not meet {count_of(len(unmet), 'rule')}: {', '.join(unmet)}"))
        code = PlacementNotMet.exit_code
    if simulated[0].leaves_nothing:
        output.error(
            NothingLeft("nobody is named who can open the repository, so nobody can restore", _name_a_holder())
        )
        code = NothingLeft.exit_code
    elif total:
        output.error(
            NothingLeft(f"nothing could be restored after {count_of(len(total), 'loss', 'losses')}: {', '.join(total)}")
        )
        code = NothingLeft.exit_code
    return code


COMMAND = Command(
    name="plan",
    summary="check the plan: where copies are, and what losses they outlive",
    description="Look at the plan as a whole: sources, replicas, key holders and the placement policy.",
    example="farshore plan check",
    children=(
        Command(
            name="check",
            summary="judge the placement policy and simulate losses",
            description=(
                "Say for each rule of the placement policy what is wanted, found and to be changed; then simulate the "
                "loss of each provider, region, jurisdiction, account, login, key holder, of the writer's host, a "
                "ransomware operator with the writer's logins, and one flipped bit, and say what is left: which "
                "replicas, whether backups go on, who can restore, and how much is lost. Asks no server without "
                "--live. If a loss leaves nothing, the exit code is 82, also when a rule is not met."
            ),
            example="farshore plan check\nfarshore plan check --live --json",
            add_arguments=add_check_arguments,
            execute=check,
            failures=(*OPENING, PlacementNotMet, NothingLeft),
        ),
    ),
)

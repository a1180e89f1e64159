"""P1 to P8: the steps of a prune."""

from __future__ import annotations

from collections.abc import Iterator

from tests.models.prune.replica import (
    GARBAGE,
    NOTHING,
    SHARED,
    Lease,
    LeaseState,
    Names,
    Plan,
    PlanState,
    Pruner,
    Rules,
    World,
)


def steps(world: World, index: int, prune: Pruner, rules: Rules) -> Iterator[tuple[str, World]]:
    """Yield what this prune may do next."""
    match prune.step:
        case "begin":
            yield from _begin(world, index, prune, rules)
        case "mark":
            yield _mark(world, index, prune, rules)
        case "publish":
            # The packs of live runs are no candidates: a plan holds only what no live run may have put.
            garbage = prune.garbage & {GARBAGE, SHARED}
            following = prune._replace(step="wait", garbage=garbage, plan=len(world.plans))
            published = world._replace(plans=(*world.plans, Plan(garbage, PlanState.OPEN)))
            yield f"P4 {prune.name} condemns {sorted(garbage)}", published.with_process(index, following)
        case "wait":
            waits_for = _open(world) if rules.waits else NOTHING
            following = prune._replace(
                step="break", waits_for=waits_for if rules.plan_before_leases else prune.waits_for
            )
            yield f"P5 {prune.name} lists leases", world.with_process(index, following)
        case "break":
            yield from _break(world, index, prune, rules)
        case "rescue":
            roots = world.roots(rules) if rules.marks_again else NOTHING
            following = prune._replace(step="sweep", sweeps=prune.garbage - roots)
            yield f"P6 {prune.name} reads the roots again", world.with_process(index, following)
        case "sweep":
            yield from _sweep(world, index, prune, rules)


def _open(world: World) -> Names:
    return frozenset(name for name, lease in world.leases if lease.state is LeaseState.OPEN)


def _begin(world: World, index: int, prune: Pruner, rules: Rules) -> Iterator[tuple[str, World]]:
    number = next((number for number, plan in enumerate(world.plans) if plan.state is PlanState.OPEN), None)
    if number is not None:
        yield f"P1 {prune.name} abandons plan {number}", _with_plan(world, number, PlanState.ABANDONED)
    if rules.plan_before_leases:
        yield _mark(world, index, prune, rules)
    else:
        following = prune._replace(step="mark", waits_for=_open(world))
        yield f"{prune.name} lists leases", world.with_process(index, following)


def _mark(world: World, index: int, prune: Pruner, rules: Rules) -> tuple[str, World]:
    following = prune._replace(step="publish", garbage=world.names() - world.roots(rules), listed=world.packs)
    return f"P2 {prune.name} lists commits and packs", world.with_process(index, following)


def _break(world: World, index: int, prune: Pruner, rules: Rules) -> Iterator[tuple[str, World]]:
    still_open = sorted(prune.waits_for & _open(world))
    following = world.with_process(index, prune._replace(step="rescue"))
    if not still_open:
        yield f"P5 {prune.name} sees that all those leases have ended", following
    for name in still_open:
        yield f"P5 {prune.name} breaks lease {name}", world.with_lease(name, Lease(LeaseState.BROKEN))
    if rules.grace_time_only and still_open:
        yield f"{prune.name} has waited for the grace time", following


def _sweep(world: World, index: int, prune: Pruner, rules: Rules) -> Iterator[tuple[str, World]]:
    state = world.plans[prune.plan].state
    if not prune.sweeps:
        following = prune._replace(step="done")
        yield f"P8 {prune.name} closes what it may", _closed(world, prune, rules).with_process(index, following)
        return
    if state is PlanState.ABANDONED and not rules.late_deletes:
        yield f"P7 {prune.name} finds its plan abandoned", world.with_process(index, prune._replace(step="done"))
    if state is PlanState.OPEN or rules.late_deletes:
        for name in sorted(prune.sweeps):
            gone = {pack for pack in world.packs if pack.name == name}
            if rules.deletes_by_version:
                gone &= prune.listed
            following = prune._replace(sweeps=prune.sweeps - {name})
            swept = world._replace(packs=world.packs - gone).with_process(index, following)
            yield f"P7 {prune.name} deletes {name}", swept


def _closed(world: World, prune: Pruner, rules: Rules) -> World:
    """P8: close the own plan if it is open; with it the abandoned ones that condemn nothing else that is there."""
    if world.plans[prune.plan].state is not PlanState.OPEN:
        return world
    closed = _with_plan(world, prune.plan, PlanState.CLOSED)
    for number, plan in enumerate(world.plans):
        if plan.state is PlanState.ABANDONED and not plan.condemned & (world.names() - prune.garbage):
            closed = _with_plan(closed, number, PlanState.CLOSED)
    if not rules.keeps_broken_ends:
        broken = [name for name, lease in world.leases if lease.state is LeaseState.BROKEN]
        for name in broken:
            closed = closed.with_lease(name, Lease())
    return closed


def _with_plan(world: World, number: int, state: PlanState) -> World:
    plans = list(world.plans)
    plans[number] = plans[number]._replace(state=state)
    return world._replace(plans=tuple(plans))

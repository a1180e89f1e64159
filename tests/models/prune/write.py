"""W1 to W7: the steps of a backup run and of a heal."""

from __future__ import annotations

from collections.abc import Iterator

from tests.models.prune.replica import GARBAGE, NOTHING, SHARED, Lease, LeaseState, Names, Rules, World, Writer

_AFTER = {"begin": "second", "second": "choose"}


def steps(world: World, index: int, run: Writer, rules: Rules) -> Iterator[tuple[str, World]]:
    """Yield what this run may do next."""

    def then(step: str, after: World = world, condemned: Names = run.condemned) -> World:
        return after.with_process(index, run._replace(step=step, condemned=condemned))

    me = run.name
    if run.step in _AFTER:
        if (run.step == "begin") == rules.lease_before_plans:
            yield f"W1 {me} puts its lease", then(_AFTER[run.step], world.with_lease(me, Lease()))
        else:
            condemned = world.condemned(rules) if rules.writers_obey_plans else NOTHING
            yield f"W2 {me} lists plans", then(_AFTER[run.step], condemned=condemned)
    elif run.step == "choose":
        yield _choose(world, index, run, rules)
    elif run.step == "upload":
        if run.puts:
            yield f"W4 {me} puts {run.puts}", then("check", world.with_pack(run.puts))
        else:
            yield f"W4 {me} has nothing to put", then("check")
    elif run.step == "check":
        yield _check(world, index, run)
    elif run.step == "end":
        lease = world.lease(me)
        if not rules.commits_by_end:
            is_open = lease.state is LeaseState.OPEN
            yield f"{me} looks at its lease: {lease.state}", then("commit" if is_open else "done")
        elif lease.state is LeaseState.OPEN:
            ended = world.with_lease(me, Lease(LeaseState.COMMITTING, run.needs))
            yield f"W6 {me} puts the end committing", then("commit", ended)
        else:
            yield f"W6 {me} finds its lease {lease.state}, and gives up", then("done")
    elif run.step == "commit":
        yield f"W7 {me} commits S-{me}", then("done", world.with_commit(f"S-{me}", run.needs))


def _choose(world: World, index: int, run: Writer, rules: Rules) -> tuple[str, World]:
    """W3: a condemned pack counts as absent. A heal cannot choose another name."""
    is_condemned = GARBAGE in run.condemned
    if not run.is_heal and is_condemned:
        chosen = run._replace(step="upload", needs=frozenset({SHARED, run.name}), puts=run.name)
        label = f"W3 {run.name} stores its chunk anew"
    elif not run.is_heal:
        chosen = run._replace(step="upload", needs=frozenset({SHARED, GARBAGE}))
        label = f"W3 {run.name} reuses {GARBAGE}"
    elif is_condemned and rules.heals_obey_plans:
        chosen = run._replace(step="done")
        label = f"W3 {run.name} leaves the snapshot for later"
    else:
        puts = "" if GARBAGE in world.names() else GARBAGE
        chosen = run._replace(step="upload", needs=frozenset({GARBAGE}), puts=puts)
        label = f"W3 {run.name} will bring a snapshot that needs {GARBAGE}"
    return label, world.with_process(index, chosen)


def _check(world: World, index: int, run: Writer) -> tuple[str, World]:
    """W5: what is gone meanwhile is stored anew, by a heal under its own name."""
    checked = run._replace(step="end")
    if run.needs <= world.names():
        return f"W5 {run.name} finds all that it needs", world.with_process(index, checked)
    if run.is_heal:
        return f"W5 {run.name} puts {GARBAGE} again", world.with_pack(GARBAGE).with_process(index, checked)
    checked = checked._replace(needs=frozenset({SHARED, run.name}))
    return f"W5 {run.name} stores its chunk anew", world.with_pack(run.name).with_process(index, checked)

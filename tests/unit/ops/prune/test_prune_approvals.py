"""What a prune spares until approvers agreed, and what pins and holds keep from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore.access.query import run_query
from farshore.catalog.approvals import read_approvals
from farshore.format.note import Keep
from farshore.ops.retain.approving import list_requests
from tests.unit.ops.lease_world import forget as forget_past_the_program
from tests.unit.ops.prune.prune_world import NOW, prune, states
from tests.unit.ops.retain.test_approvals import World
from tests.unit.ops.retain.test_keeping import keep


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "engine")


def commits(world: World) -> set[str]:
    """Return the snapshots whose commits are at the first replica."""
    return {name.rpartition("/")[2].partition("-")[0] for name in world.engine.objects("a", "snapshots/")}


def approved(world: World, act: str) -> None:
    """Have two approvers agree to all that waits."""
    with world.engine.opened() as repository:
        waiting = [one.request for one in list_requests(repository) if one.act == act]
    assert waiting
    for request in waiting:
        for host in ("alice", "bob"):
            world.approve(host, request)


def test_a_prune_spares_what_the_signed_rules_keep_until_enough_agreed(world: World) -> None:
    """The tombstones are a thief's, with a maintainer's key: the honest pruner deletes what the rules let go alone."""
    world.set_policy_with_approvals(delete_max=100)
    for one in world.ids[:4]:
        forget_past_the_program(world.engine, "a", one)
    assert set(states(prune(world.engine)).values()) <= {"pruned", "clean"}
    assert commits(world) == set(world.ids[3:])
    assert world.engine.verify().clean


def test_what_is_held_stays_although_it_was_forgotten(world: World) -> None:
    world.set_policy_with_approvals(delete_max=100)
    keep(world.engine, world.ids[0], Keep.HOLD)
    for one in world.ids[:2]:
        forget_past_the_program(world.engine, "a", one)
    prune(world.engine)
    assert commits(world) == {world.ids[0], *world.ids[2:]}


def test_more_than_the_owner_allows_waits_for_approvers(world: World) -> None:
    world.set_policy_with_approvals(delete_max=0)
    world.forget(*world.ids[:3])
    before = world.engine.objects("a", "packs/")
    assert set(states(prune(world.engine)).values()) == {"refused"}
    assert world.engine.objects("a", "packs/") == before
    with world.engine.opened() as repository:
        asked = len(list_requests(repository))
    assert set(states(prune(world.engine, dry_run=True)).values()) == {"refused"}
    with world.engine.opened() as repository:
        assert len(list_requests(repository)) == asked, "a dry run asks nobody"
    approved(world, "delete")
    assert set(states(prune(world.engine)).values()) == {"pruned"}
    assert commits(world) == set(world.ids[3:])


def hashes_of_approvals(world: World, act: str) -> set[str]:
    """Return the hashes of the yes of each approver to acts of a kind."""
    with world.engine.opened() as repository:
        requests = read_approvals(repository).requests.values()
        return {one.hash for request in requests if request.asked.act == act for one in request.approvals}


def rows_of_deletions(world: World) -> list[dict[str, object]]:
    sql = "SELECT kind, rule, approvals FROM deletions"
    found = run_query(world.engine.config, sql, clock=world.engine.clock)
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def test_rows_of_deletions_name_the_approvals_that_let_them_go(world: World) -> None:
    """Those of the forgetting and those of the amount, whoever of two prunes deletes in the end."""
    world.set_policy_with_approvals(delete_max=0)
    world.asks(*world.ids[2:4])
    approved(world, "forget")
    world.forget(*world.ids[2:4])
    assert set(states(prune(world.engine)).values()) == {"refused"}
    approved(world, "delete")
    expected = hashes_of_approvals(world, "forget") | hashes_of_approvals(world, "delete")
    assert len(expected) == 2 + 2 * len(world.engine.urls)
    assert set(states(prune(world.engine, replica="a", max_time=NOW)).values()) == {"stopped"}
    assert rows_of_deletions(world) == []
    assert set(states(prune(world.engine)).values()) == {"pruned"}
    found: set[str] = set()
    for row in rows_of_deletions(world):
        approvals = row["approvals"]
        assert isinstance(approvals, list | tuple)
        assert len(approvals) == 4, row
        assert row["rule"] == "a test"
        found |= set(approvals)
    assert found == expected


def test_rows_name_no_approval_of_what_needed_none(world: World) -> None:
    world.set_policy_with_approvals(delete_max=100)
    world.forget(*world.ids[:2])
    prune(world.engine)
    rows = rows_of_deletions(world)
    assert rows
    assert not any(row["approvals"] for row in rows)

"""Taking a file out of all snapshots: what stays, what goes, who may, kills at every change, and thieves."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from farshore.catalog.verdicts import NO_VERDICTS
from farshore.config import RetentionConfig
from farshore.errors import (
    ConfigInvalid,
    FarshoreError,
    QuorumNotReached,
    SnapshotProtected,
    SourceNotEnrolled,
    StateUnknown,
)
from farshore.format import names
from farshore.ops.backup import prepare as preparing
from farshore.ops.locks.locking import check_locks
from farshore.ops.retain.judging import judge_repository
from farshore.retention.rules import Why, judge
from farshore.run import Run
from farshore.sealed.key_files import decode_credential
from farshore.stores.object_retention import LockMode
from tests.doubles.faulty import FAIL, LOSE_REPLY, Fault
from tests.unit.ops.engine import Engine, fresh_memory_urls
from tests.unit.ops.heal.healing_world import heal
from tests.unit.ops.lease_world import Calls, put_plan
from tests.unit.ops.prune.prune_world import states
from tests.unit.ops.rewrite.rewrite_world import (
    DAY_S,
    SECRET,
    chunk_places,
    content,
    ids,
    in_order,
    nights,
    paths_in_runs,
    plan,
    prune,
    rewrite,
)
from tests.unit.ops.templates import Template
from tests.unit.ops.tree_source import TreeSource

LOCKED: dict[str, Any] = {"lock": LockMode.GOVERNANCE, "lock_for": timedelta(days=10)}


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "engine").initialize()


@pytest.fixture
def tree(engine: Engine) -> TreeSource:
    return nights(engine)


def test_a_file_goes_from_every_snapshot_and_all_else_stays(engine: Engine, tree: TreeSource) -> None:
    before, order = ids(engine), in_order(engine)
    contents = {one: engine.restore(one)[1] for one in before}
    result = rewrite(engine, "/d/secret")
    after = ids(engine)
    assert [one.successor for one in result.snapshots if one.successor in after] == [
        one.successor for one in result.snapshots
    ]
    assert in_order(engine) == order
    for old, new in zip(before, after, strict=True):
        wanted = {path: data for path, data in contents[old].items() if path != b"d/secret"}
        for replica in "abc":
            assert engine.restore(new, replica=replica)[1] == wanted
    assert engine.verify().clean
    tree.file(b"d/later", content(99))
    engine.backup(tree)
    prune(engine)
    for replica in "abc":
        assert not chunk_places(engine, replica, SECRET)
        assert b"d/secret" not in paths_in_runs(engine, replica)
    assert engine.verify().clean
    assert len(ids(engine)) == len(before) + 1


def kept_whole(engine: Engine, contents: dict[int, dict[bytes, bytes | None]]) -> None:
    """Each place in the order has a snapshot, and every one that is listed restores to what it had or what is left."""
    found = engine.snapshots()
    assert {one.sequence for one in found} == contents.keys()
    for one in found:
        had = contents[one.sequence]
        left = {path: data for path, data in had.items() if path != b"d/secret"}
        assert engine.restore(one.snapshot_id)[1] in (had, left)


def alone(root: Path) -> Engine:
    return Engine(root, urls=fresh_memory_urls("a"), quorum=1)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Template, dict[int, dict[bytes, bytes | None]]]:
    engine = alone(tmp_path_factory.mktemp("grown")).initialize()
    nights(engine, 3)
    return engine.template(), {one.sequence: engine.restore(one.snapshot_id)[1] for one in engine.snapshots()}


def changes_of_a_whole_rewrite(engine: Engine) -> list[tuple[str, str]]:
    with Calls(engine) as calls:
        rewrite(engine, "/d/secret")
    return [call for call in calls.at("a") if call[0] == "put" and not call[1].startswith(names.AUDIT)]


def test_a_kill_at_every_change(grown: tuple[Template, dict[int, dict[bytes, bytes | None]]], tmp_path: Path) -> None:
    """A kill between two changes is at a store what a kill at the second one is. Replies are lost in turn."""
    template, contents = grown
    changes = changes_of_a_whole_rewrite(alone(tmp_path / "whole").begin_with(template))
    assert len(changes) > 15
    for number in range(1, len(changes) + 1):
        engine = alone(tmp_path / f"{number}").begin_with(template)
        made = 0

        def kill(_call: int, _replica: str, verb: str, _name: str, last: int = number) -> Fault | None:
            nonlocal made
            made += verb == "put"
            if made < last:
                return None
            return LOSE_REPLY if made == last and verb == "put" and last % 2 else FAIL

        with Calls(engine, kill), contextlib.suppress(FarshoreError):
            rewrite(engine, "/d/secret")
        kept_whole(engine, contents)
        rewrite(engine, "/d/secret")
        kept_whole(engine, contents)
        assert len(engine.snapshots()) == len(contents), number
        assert all(one.sound for one in engine.snapshots()), number
        assert set(states(prune(engine)).values()) == {"pruned"}, number
        assert not chunk_places(engine, "a", SECRET), number
        kept_whole(engine, contents)
        assert engine.verify().clean, number


def test_a_backup_that_keeps_earlier_runs_or_packs_would_keep_what_was_taken_out(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both rules of a writer have a mutant: runs of a forgotten snapshot, and packs that a rewrite emptied."""
    tree = TreeSource(clock=engine.clock)
    tree.file(b"secret", SECRET)
    tree.file(b"other", content(1))
    engine.backup(tree)
    host = engine.at("host", reads=False)
    host.repository_config = replace(host.repository_config, credential=Path(engine.enroll()))
    tree.remove(b"secret")
    rewrite(engine, "secret")
    monkeypatch.setattr(preparing, "without_gone_runs", lambda base, _listed: base)
    monkeypatch.setattr(preparing, "read_verdicts", lambda _repository: NO_VERDICTS)
    engine.backup(tree)
    prune(engine)
    assert chunk_places(engine, "a", SECRET) or b"secret" in paths_in_runs(engine, "a")


def test_a_hard_link_of_what_goes_is_refused_and_both_go(engine: Engine) -> None:
    tree = TreeSource(clock=engine.clock)
    tree.file(b"secret", SECRET)
    tree.link(b"z/name", b"secret")
    tree.directory(b"z")
    engine.backup(tree)
    with pytest.raises(SnapshotProtected, match="z/name is another name of secret"):
        rewrite(engine, "/secret")
    rewrite(engine, "/secret", "/z/name")
    (one,) = ids(engine)
    assert engine.restore(one)[1].keys() == {b"", b"z"}


def test_a_pattern_for_directories_leaves_a_file_of_that_name_as_it_was(engine: Engine) -> None:
    tree = TreeSource(clock=engine.clock)
    tree.file(b"x", content(1))
    tree.file(b"y", content(2))
    for number in range(200):  # so that a night adds a run of what changed
        tree.file(b"many/%d" % number, b"%d" % number)
    tree.directory(b"many")
    engine.backup(tree)
    tree.remove(b"x")
    tree.directory(b"x")
    tree.file(b"x/secret", SECRET)
    engine.backup(tree)
    tree.remove(b"x/secret")
    tree.remove(b"x")
    tree.file(b"x", content(3))
    engine.backup(tree)
    assert max(len(one.commit.manifest) for one in engine.snapshots()) == 3
    rewrite(engine, "x/")
    restored = [engine.restore(one)[1] for one in ids(engine)]
    assert [one.get(b"x") for one in restored] == [content(1), None, content(3)]
    assert not any(b"x/secret" in one for one in restored)
    assert b"x/secret" not in paths_in_runs(engine, "a")


def test_content_that_another_file_has_stays_and_is_named(engine: Engine) -> None:
    tree = TreeSource(clock=engine.clock)
    tree.file(b"secret", SECRET)
    tree.file(b"copy", SECRET)
    tree.file(b"other", content(1))
    engine.backup(tree)
    found = plan(engine, "/secret")
    assert [(one.path, one.chunks) for one in found.stays] == [("copy", 1)]
    assert (found.packs, found.bytes_removed) == (0, 0)
    rewrite(engine, "/secret")
    (one,) = ids(engine)
    assert engine.restore(one)[1] == {b"": None, b"copy": SECRET, b"other": content(1)}


def test_snapshots_of_other_sources_that_share_a_pack_are_made_anew_whole(engine: Engine) -> None:
    tree, other = TreeSource(clock=engine.clock), TreeSource(clock=engine.clock, name="other")
    tree.file(b"secret", SECRET)
    tree.file(b"shared", content(1))
    engine.backup(tree)
    other.file(b"shared", content(1))
    engine.backup(other)
    found = plan(engine, "secret")
    assert [(one.source, one.entries) for one in found.snapshots] == [("home", 1), ("other", 0)]
    rewrite(engine, "secret")
    prune(engine)
    assert not chunk_places(engine, "a", SECRET)
    assert [engine.restore(one)[1] for one in ids(engine)] == [{b"": None, b"shared": content(1)}] * 2
    assert engine.verify().clean


def test_only_snapshots_that_are_chosen_lose_a_file(engine: Engine, tree: TreeSource) -> None:
    second = engine.snapshots()[1]
    rewrite(engine, "secret", chosen={second.commit.hash})
    prune(engine)
    assert [b"d/secret" in engine.restore(one)[1] for one in ids(engine)] == [False, False, True, False]
    assert engine.verify().clean


def test_an_image_goes_whole_and_another_one_stays(engine: Engine) -> None:
    pages = [random.Random(number).randbytes(8192) for number in range(400)]
    tree = TreeSource(clock=engine.clock)
    tree.file(b"a.img", *pages, page_bytes=8192)
    tree.file(b"b.img", *reversed(pages), page_bytes=8192)
    engine.backup(tree)
    engine.clock.advance(DAY_S)
    tree.write(b"b.img", *pages[:200], *pages[:200])
    engine.backup(tree)
    rewrite(engine, "a.img")
    for one in engine.snapshots():
        assert not one.commit.pages
        assert engine.restore(one.snapshot_id)[1].keys() == {b"", b"b.img"}
    tree.remove(b"a.img")
    engine.clock.advance(DAY_S)
    engine.backup(tree)
    prune(engine)
    assert b"a.img" not in paths_in_runs(engine, "a")
    assert engine.verify().clean
    assert engine.restore(ids(engine)[-1])[1][b"b.img"] == b"".join([*pages[:200], *pages[:200]])


def test_what_would_be_of_no_use_is_refused(engine: Engine) -> None:
    database = TreeSource(clock=engine.clock, name="shop", kind="sqlite")
    database.file(b"shop.db", SECRET)
    engine.backup(database)
    with pytest.raises(SnapshotProtected, match="sqlite database"):
        plan(engine, "*.db")
    with pytest.raises(ConfigInvalid, match="excludes again"):
        plan(engine, "!x")
    assert plan(engine, "nothing").snapshots == ()


def test_a_source_of_another_host_needs_its_credential(engine: Engine) -> None:
    path = engine.enroll(name="elsewhere", sources=("far",))
    host = engine.at("elsewhere", reads=False)
    host.repository_config = replace(host.repository_config, credential=Path(path))
    tree = TreeSource(clock=engine.clock, name="far")
    tree.file(b"secret", SECRET)
    tree.file(b"other", content(1))
    host.backup(tree)
    with pytest.raises(SourceNotEnrolled, match="which elsewhere makes"):
        rewrite(engine, "secret")
    key = decode_credential(Path(path).read_bytes(), path).signing_key
    rewrite(engine, "secret", credential=key)
    (one,) = engine.snapshots()
    assert key is not None
    assert (one.commit.signer, engine.restore(one.snapshot_id)[1]) == (key.signer_id, {b"": None, b"other": content(1)})
    engine.clock.advance(DAY_S)  # what was only just stored stays
    prune(engine)
    assert not chunk_places(engine, "a", SECRET, domain=one.commit)


def test_a_successor_that_somebody_else_signed_is_not_believed(engine: Engine) -> None:
    """A thief of a writer plants a commit in the place of a good one, whose packs lie: it goes, and the good one's
    content does not."""
    path = engine.enroll(name="elsewhere", sources=("far",))
    tree = TreeSource(clock=engine.clock, name="far")
    tree.file(b"secret", SECRET)
    tree.file(b"other", content(1))
    host = engine.at("elsewhere", reads=False)
    host.repository_config = replace(host.repository_config, credential=Path(path))
    host.backup(tree)
    key = decode_credential(Path(path).read_bytes(), path).signing_key
    rewrite(engine, "secret", credential=key, forgets=False)
    before = engine.snapshots()
    assert [one.forked for one in before] == [True, True]
    with engine.opened() as repository:
        judged = judge([*before], RetentionConfig(keep_last=1))
        assert all(one.kept for one in judged)
        assert not repository.unasked
    rewrite(engine, "secret", credential=key)
    (after,) = engine.snapshots()
    assert after.snapshot_id not in {one.snapshot_id for one in before}
    assert engine.restore(after.snapshot_id)[1] == {b"": None, b"other": content(1)}


def test_a_replica_that_was_away_gets_it_by_a_heal(engine: Engine, tree: TreeSource) -> None:
    with engine.away("c"):
        result = rewrite(engine, "secret")
        assert result.failed.keys() == {"c"}
    heal(engine)
    prune(engine)
    assert not chunk_places(engine, "c", SECRET)
    for one in ids(engine):
        assert b"d/secret" not in engine.restore(one, replica="c")[1]
    assert engine.verify().clean


def test_below_a_quorum_nothing_goes(engine: Engine, tree: TreeSource) -> None:
    before = ids(engine)
    with engine.away("b", "c"), pytest.raises(QuorumNotReached):
        rewrite(engine, "secret")
    assert ids(engine) == before


def test_what_a_plan_condemns_is_not_needed_anew(engine: Engine, tree: TreeSource) -> None:
    before = ids(engine)
    pack = next(one for one in engine.needs_of(before[0]).packs)
    put_plan(engine, "a", [names.pack(pack.pack_id)])
    with pytest.raises(StateUnknown, match="condemns"):
        rewrite(engine, "secret")
    assert ids(engine) == before


def test_a_rewritten_snapshot_is_not_proven_by_a_check_before_it(engine: Engine, tree: TreeSource) -> None:
    assert engine.verify().clean
    engine.clock.advance(60)
    rewrite(engine, "secret")
    with engine.opened() as repository:
        (found,) = judge_repository(repository, replace(engine.config, retention=RetentionConfig(keep_last=1)))
    proven = [one.snapshot.snapshot_id for one in found.verdicts if any(why.why is Why.PROVEN for why in one.reasons)]
    successors = {one.snapshot_id for one in engine.snapshots() if one.commit.replaces}
    assert not successors.intersection(proven)
    assert proven


def test_a_rule_keeps_a_rewritten_snapshot_where_it_kept_the_old_one(engine: Engine, tree: TreeSource) -> None:
    rules = replace(engine.config, retention=RetentionConfig(keep_daily=2))

    def kept() -> list[bool]:
        with engine.opened() as repository:
            (found,) = judge_repository(repository, rules)
            return [one.kept for one in found.verdicts]

    before = kept()
    rewrite(engine, "secret")
    assert kept() == before


def test_locks_keep_what_goes_as_long_as_they_say(tmp_path: Path) -> None:
    """The new snapshots promise what the old ones did, and it is true of every object."""
    engine = Engine(tmp_path / "engine", settings={"a": LOCKED}).initialize()
    nights(engine, 3)
    before = engine.snapshots()
    (locked,) = plan(engine, "secret").locked
    until_utc = max(lock.until_utc for one in before for lock in one.locks)
    assert locked.replica == "a"
    assert locked.last_utc >= until_utc
    engine.clock.advance(DAY_S)
    rewrite(engine, "secret")
    with engine.opened() as repository:
        for one in engine.snapshots():
            found = {lock.replica: lock for lock in check_locks(repository, one, run=Run.start(engine.clock))}
            assert found["a"].unlocked == 0
            assert [lock.until_utc for lock in one.locks] == [
                lock.until_utc for old in before if old.sequence == one.sequence for lock in old.locks
            ]
            locked_until_utc = found["a"].locked_until_utc
            assert locked_until_utc is not None
            assert locked_until_utc >= one.locks[0].until_utc
    prune(engine)
    assert chunk_places(engine, "a", SECRET)
    assert not chunk_places(engine, "b", SECRET)
    engine.clock.advance((locked.last_utc - engine.clock.now_utc()).total_seconds() + 10 * DAY_S)
    prune(engine)
    assert not chunk_places(engine, "a", SECRET)

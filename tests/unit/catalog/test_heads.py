"""Attack A11: snapshots deleted at all replicas show at the next command of a host that remembers them.

A test that shows a defense shows the loss of it, too: with the one rule left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from farshore.access.unlock import Need
from farshore.catalog import heads
from farshore.catalog.snapshots import list_snapshots
from farshore.format import names
from farshore.model import LostSnapshot
from farshore.ops.ask.status import repository_status
from farshore.ops.heal.context import open_context
from farshore.ops.heal.heal import HealOptions, heal_repository
from farshore.repair.outcome import HealedState, HealResult
from farshore.results import BackupResult, WarningCode
from farshore.run import Run
from farshore.trust.memory import Memory, read_memory
from tests.unit.ops.engine import Engine
from tests.unit.ops.lease_world import forget
from tests.unit.ops.setup.test_revoke import revoke_host
from tests.unit.ops.tree_source import TreeSource, one_file


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "engine").initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    return one_file(engine.clock, b"content" * 100)


def delete_everywhere(engine: Engine, snapshot: str, *, except_at: str = "") -> None:
    for replica in engine.places:
        for name in engine.objects(replica, names.SNAPSHOTS) if replica != except_at else ():
            if snapshot in name:
                engine.lose(replica, name)


def lost(engine: Engine) -> list[str]:
    """What a listing of snapshots notices."""
    with engine.opened(Need.WRITE) as repository:
        list_snapshots(repository)
        return [one.snapshot_id for one in repository.lost.values()]


def memory_of(engine: Engine) -> Memory:
    with engine.opened(Need.WRITE) as repository:
        memory = read_memory(engine.state_dir, repository.repository_id)
    assert memory is not None
    return memory


def heal(engine: Engine, *, keyless: bool = False) -> HealResult:
    with open_context(engine.config, keyless=keyless, clock=engine.clock) as context:
        return heal_repository(context, HealOptions(), run=Run.start(engine.clock))


def warned(result: BackupResult) -> list[WarningCode]:
    return [one.code for one in result.warnings]


def test_the_own_last_snapshot_gone_everywhere_is_reported_by_each_command(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    last = engine.backup(source).snapshot_id
    delete_everywhere(engine, last)
    assert lost(engine) == [last]
    for keyless in (False, True):
        healed = heal(engine, keyless=keyless)
        assert [one.snapshot_id for one in healed.lost] == [last]
        assert not healed.in_sync
        assert {one.state for one in healed.replicas} == {HealedState.BEHIND}
    result = engine.backup(source)
    assert WarningCode.HISTORY_CUT in warned(result)
    assert [one.snapshot_id for one in result.lost] == [last]
    assert engine.snapshots()[-1].snapshot_id == result.snapshot_id, "the backup goes on"


def test_an_honest_repository_raises_no_alarm(engine: Engine, source: TreeSource) -> None:
    for _ in range(2):
        assert warned(engine.backup(source)) == []
        assert lost(engine) == []
    assert heal(engine).in_sync


def test_what_one_replica_has_is_not_lost(engine: Engine, source: TreeSource) -> None:
    last = engine.backup(source).snapshot_id
    delete_everywhere(engine, last, except_at="c")
    assert lost(engine) == []
    with engine.away("c"):
        assert lost(engine) == [], "c may have it"


def test_another_host_remembers_what_it_saw(engine: Engine, source: TreeSource) -> None:
    last = engine.backup(source).snapshot_id
    monitor = engine.at("monitor")
    assert lost(monitor) == []
    assert [one.snapshot for one in memory_of(monitor).newest.values()] == [last]
    assert memory_of(monitor).own == {}
    delete_everywhere(engine, last)
    assert lost(monitor) == [last]
    assert lost(engine.at("fresh")) == []


def test_a_forgotten_snapshot_is_not_lost(engine: Engine, source: TreeSource, monkeypatch: pytest.MonkeyPatch) -> None:
    last = engine.backup(source).snapshot_id
    stone = forget(engine, "a", last)
    delete_everywhere(engine, last)
    with monkeypatch.context() as mutant:
        honest: Callable[..., list[LostSnapshot]] = heads.lost_snapshots
        mutant.setattr(heads, "lost_snapshots", lambda one, there, _, trust: honest(one, there, (), trust))
        mutant.setattr(heads, "_counting_no_more", lambda *_: set())
        assert lost(engine) == [last], "without the rule, retention would alarm"
    assert lost(engine) == []
    assert memory_of(engine).newest == memory_of(engine).own == {}
    assert stone


def test_a_backup_that_ends_while_replicas_are_listed_is_no_loss(
    engine: Engine, source: TreeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = engine.backup(source).snapshot_id
    with engine.opened() as repository:
        memory = repository.memory
    assert memory is not None
    with engine.opened() as repository:
        seen = heads.lost_snapshots(memory, (), (), repository.trust)
        assert [one.snapshot_id for one in seen] == [last]
        assert heads.still_lost(repository, seen) == []
        monkeypatch.setattr(heads, "_commits_now", lambda *_: (set(), False))
        assert heads.still_lost(repository, seen) == [], "a replica that fails now may have it"


def enrolled(engine: Engine, name: str, source: TreeSource) -> Engine:
    """A host of that name, with a certificate for this one source, whose id it shares with others."""
    host = engine.at(name)
    path = host.enroll(name=name, domain="main", sources=[source.name])
    host.repository_config = replace(engine.repository_config, identity=None, credential=Path(path))
    return host


def test_a_thief_hides_no_loss_and_what_is_refused_alarms_nobody(
    engine: Engine, source: TreeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thief's snapshot has a higher number than the own one, until its key is revoked."""
    host, thief = enrolled(engine, "db6", source), enrolled(engine, "db7", source)
    own = host.backup(source).snapshot_id
    theft = thief.backup(source).snapshot_id
    assert lost(host) == []
    (newest,) = memory_of(host).newest.values()
    (mine,) = memory_of(host).own.values()
    assert (mine.snapshot, newest.snapshot) == (own, theft)
    delete_everywhere(engine, own)
    assert lost(host) == [own]
    with monkeypatch.context() as mutant:
        honest: Callable[..., list[LostSnapshot]] = heads.lost_snapshots
        mutant.setattr(heads, "lost_snapshots", lambda one, *of: honest(replace(one, own={}), *of))
        assert lost(host) == [], "who remembers the newest alone does not notice"
    revoke_host(engine, theft)
    delete_everywhere(engine, theft)
    with monkeypatch.context() as mutant:
        mutant.setattr(heads, "_is_refused", lambda *_: False)
        assert lost(host) == [own, theft], "without the rule it would alarm for ever"
    assert lost(host) == [own]
    assert memory_of(host).newest == {}
    again = host.backup(source)
    (newest,) = memory_of(host).newest.values()
    assert newest.snapshot == again.snapshot_id


def test_a_seal_names_the_snapshot_of_its_own_run(engine: Engine, source: TreeSource) -> None:
    last = engine.backup(source).snapshot_id
    commit = engine.commit_of(last).hash.encode()
    seals = engine.objects("a", "audit/_seals/")
    assert any(b'"sources":{' in data and commit in data.partition(b'"heads"')[2] for data in seals.values())
    with engine.opened(Need.WRITE) as repository:
        assert repository.memory is not None
        assert [one.commit for one in repository.memory.own.values()] == [commit.decode()]


def test_a_status_without_a_key_remembers_what_it_saw(engine: Engine, source: TreeSource) -> None:
    """A machine that only monitors misses what was there at its last look, though no seal names it any more."""
    monitor = engine.at("monitor", reads=False)
    for _ in range(2):
        last = engine.backup(source).snapshot_id
        assert not repository_status(monitor.config, clock=monitor.clock).trust.cut
        with monitor.opened(Need.NONE) as repository:
            memory = read_memory(monitor.state_dir, repository.repository_id)
        assert memory is not None
        assert [one.snapshot for one in memory.newest.values()] == [last]

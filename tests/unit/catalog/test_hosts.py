"""Hosts that only write, and hosts that take turns: what each may read, and what each finds again."""

from __future__ import annotations

import base64
import random
from pathlib import Path
from typing import Any

import pytest

from farshore.access.unlock import Need
from farshore.catalog.contents import iterate_entries
from farshore.catalog.snapshots import list_snapshots
from farshore.errors import BackupRunning, CredentialCannotRead, KeyMissing, RepositoryMismatch
from farshore.format import names
from farshore.ops.backup.session import BackupSession
from farshore.run import Run
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource, blocks

NOISE = random.Random(1).randbytes(3_000_000)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path, host="desk").initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    tree = TreeSource(clock=engine.clock)
    tree.file(b"a", b"first")
    tree.file(b"b", NOISE)
    tree.file(b"db", NOISE[::-1], page_bytes=4096)
    engine.clock.wait_s(60)
    return tree


def write_only(engine: Engine, at: str, **how: Any) -> Engine:
    """A host that was enrolled with a credential and holds no key to read with."""
    host = engine.at(at, reads=False)
    host.repository_config = engine.repository_config
    made = host.enroll(**how)
    host.repository_config = engine.at(at, reads=False).repository_config
    credential = host.repository_config.credential
    assert credential is not None
    Path(made).rename(credential)
    return host


def test_a_write_only_host_backs_up_twice_and_never_opens_a_data_key(engine: Engine, source: TreeSource) -> None:
    host = write_only(engine, "server")
    first = host.backup(source)
    engine.clock.wait_s(60)
    source.write(b"a", b"second")
    reads = dict(source.reads)
    second = host.backup(source)
    assert {path for path in source.reads if source.reads[path] != reads[path]} == {b"a"}
    assert (second.counts.bytes_read, second.counts.entries_unchanged) == (6, 3)
    for path in host.cached_files():
        assert "keys/data" not in str(path)
    assert engine.restore(second.snapshot_id, replica="b")[1] == source.contents()
    assert engine.restore(first.snapshot_id)[1][b"a"] == b"first"


def test_a_reader_restores_what_a_host_of_another_domain_backed_up(engine: Engine, source: TreeSource) -> None:
    """Its chunks have names by keys of that domain, which a reader has of all."""
    engine.backup(source)
    host = write_only(engine, "elsewhere", name="db7")
    made = host.backup(source)
    assert made.counts.bytes_new > len(NOISE), "nothing is shared with the other domain"
    for replica in (None, *engine.urls):
        assert engine.restore(made.snapshot_id, replica=replica)[1] == source.contents()
    assert engine.verify().clean


def test_a_write_only_host_cannot_read_anything_back(engine: Engine, source: TreeSource) -> None:
    host = write_only(engine, "server")
    host.backup(source)
    with pytest.raises(CredentialCannotRead), host.opened(Need.READ):
        pass
    with host.opened(Need.WRITE) as repository:
        (snapshot,) = list_snapshots(repository)
        assert snapshot.source == "home"
        with pytest.raises(CredentialCannotRead):
            list(iterate_entries(repository, snapshot))


def test_nothing_on_a_write_only_host_holds_the_private_key(engine: Engine, source: TreeSource) -> None:
    with engine.opened() as repository:
        (private,) = repository.reading_keys().private_keys
    host = write_only(engine, "server")
    host.backup(source)
    for path in host.state_dir.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert private not in data
            assert base64.b64encode(private)[:80] not in data


def test_a_write_only_host_that_lost_its_cache_reads_everything_and_stores_nothing(
    engine: Engine, source: TreeSource
) -> None:
    host = write_only(engine, "server")
    host.backup(source)
    host.forget_cache()
    engine.clock.wait_s(60)
    result = host.backup(source)
    assert (result.counts.bytes_read, result.counts.bytes_new) == (2 * len(NOISE) + 5, 0)
    assert engine.restore(result.snapshot_id, replica="c")[1] == source.contents()


@pytest.mark.parametrize("role", ["key", "manifest", "run-*"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "empty"])
def test_a_damaged_cache_costs_a_full_read_and_nothing_else(
    engine: Engine, source: TreeSource, role: str, damage: str
) -> None:
    host = write_only(engine, "server")
    host.backup(source)
    (path,) = [one for one in host.cached_files() if "previous" in one.parts and one.match(role)]
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        path.write_bytes({"flipped": flipped, "cut": data[:-7], "empty": b""}[damage])
    source.write(b"db", blocks(NOISE[::-1], 4096, [3], random.Random(3).randbytes))
    engine.clock.wait_s(60)
    result = host.backup(source)
    assert result.counts.bytes_new <= 2 << 20
    assert engine.restore(result.snapshot_id, replica="a")[1] == source.contents()
    engine.clock.wait_s(60)
    assert host.backup(source).counts.bytes_read == 0


@pytest.mark.parametrize("at", range(60, 3000, 311))
def test_a_cache_flipped_anywhere_never_makes_a_wrong_snapshot(engine: Engine, source: TreeSource, at: int) -> None:
    host = write_only(engine, "server")
    host.backup(source)
    for path in host.cached_files():
        if "previous" in path.parts:
            data = path.read_bytes()
            where = at % len(data)
            path.write_bytes(data[:where] + bytes([data[where] ^ 0x10]) + data[where + 1 :])
    engine.clock.wait_s(60)
    result = host.backup(source)
    assert engine.restore(result.snapshot_id)[1] == source.contents()


def test_a_cache_of_another_repository_is_not_used(tmp_path: Path, engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    other = Engine(tmp_path / "other", clock=engine.clock, host="desk").initialize()
    for path in engine.cached_files():
        text = str(path).replace(str(engine.state_dir), str(other.state_dir))
        with other.opened() as repository:
            target = Path(text.replace(path.parts[path.parts.index("objects") + 1], repository.repository_id))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    result = other.backup(source)
    assert result.counts.bytes_read == 2 * len(NOISE) + 5
    assert other.restore(result.snapshot_id)[1] == source.contents()


@pytest.mark.parametrize("reads", [True, False], ids=["readers", "write-only"])
def test_two_hosts_take_turns_on_one_source(engine: Engine, source: TreeSource, reads: bool) -> None:
    hosts = [engine.at("one"), engine.at("two")] if reads else [write_only(engine, "one"), write_only(engine, "two")]
    chance = random.Random(5)
    expected = {}
    for turn in range(6):
        source.write(b"a", f"turn {turn}".encode())
        source.file(f"new-{turn}".encode(), chance.randbytes(1000))
        source.write(b"db", blocks(source.content(b"db"), 4096, [turn * 7, 500], chance.randbytes))
        if turn > 2:
            source.remove(f"new-{turn - 3}".encode())
        engine.clock.wait_s(60)
        result = hosts[turn % 2].backup(source)
        if turn > 1:
            assert result.counts.bytes_new < 60_000
        expected[result.snapshot_id] = source.contents()
    for snapshot_id, contents in expected.items():
        assert engine.restore(snapshot_id, replica="b")[1] == contents
    assert engine.verify().clean


def test_two_hosts_back_up_two_sources_at_once(engine: Engine, source: TreeSource) -> None:
    """No lock is global: the runs do not know of each other, and both are whole."""
    other = TreeSource(clock=engine.clock, name="other")
    other.file(b"x", NOISE[:100_000])
    results = []
    source.before_read = lambda path: results.append(engine.at("two").backup(other)) if path == b"a" else None
    first = engine.at("one").backup(source)
    assert len(results) == 1
    assert engine.restore(first.snapshot_id)[1] == source.contents()
    assert engine.restore(results[0].snapshot_id)[1] == other.contents()
    assert engine.verify().clean


def test_two_attempts_at_one_backup_are_distinguished(engine: Engine, source: TreeSource) -> None:
    with engine.at("one").opened(Need.WRITE) as repository:
        session = BackupSession(repository, source, identity="hourly", run=Run.start(engine.clock))
        session.begin()
        engine.clock.wait_s(5)
        with pytest.raises(BackupRunning, match="hourly"):
            engine.at("two").backup(source, identity="hourly")
        session.close()
    assert not engine.at("two").backup(source, identity="hourly").already_done


def test_a_dead_attempt_does_not_block_the_next_once_its_lease_is_over(engine: Engine, source: TreeSource) -> None:
    with engine.at("one").opened(Need.WRITE) as repository:
        session = BackupSession(repository, source, identity="hourly", run=Run.start(engine.clock))
        session.begin()
        for replica in "abc":
            beats = engine.objects(replica, names.LEASES)
            assert len(beats) == 1
        engine.clock.wait_s(3600)
        assert not engine.at("two").backup(source, identity="hourly").already_done
        session.close()


def test_every_step_but_sealing_may_be_repeated(engine: Engine, source: TreeSource) -> None:
    """A task that is retried calls the same step again."""
    host = write_only(engine, "server")
    with host.opened(Need.WRITE) as repository:
        session = BackupSession(repository, source, run=Run.start(engine.clock))
        begun = session.begin()
        assert session.begin() == begun
        session.seal()
        for replica in (*begun.replicas, *begun.replicas):
            assert session.replicate(replica).error_code == ""
        for _ in range(2):
            assert [outcome.committed for outcome in session.commit()] == [True] * 3
        first, second = session.audit(), session.audit()
        assert (first.snapshot_id, first.counts) == (second.snapshot_id, second.counts)
        session.close()
        session.close()
    assert len(engine.snapshots()) == 1
    assert engine.verify().clean
    source.reads.clear()
    engine.clock.wait_s(60)
    host.backup(source)
    assert source.reads == {}  # what the next run compares with is there


def test_a_credential_of_another_repository_is_refused(tmp_path: Path, engine: Engine) -> None:
    other = Engine(tmp_path / "other", clock=engine.clock).initialize()
    host, stranger = write_only(engine, "server"), write_only(other, "server")
    mine, theirs = host.repository_config.credential, stranger.repository_config.credential
    assert mine is not None
    assert theirs is not None
    mine.write_bytes(theirs.read_bytes())
    with pytest.raises(RepositoryMismatch), host.opened(Need.WRITE):
        pass


def test_a_host_without_any_key_is_reported(engine: Engine) -> None:
    stranger = engine.at("stranger", reads=False)
    with pytest.raises(KeyMissing), stranger.opened(Need.WRITE):
        pass
    with stranger.opened(Need.NONE) as repository:
        assert repository.keys is None

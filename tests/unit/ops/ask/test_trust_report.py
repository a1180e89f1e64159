"""Attack A11, and what else `farshore status` says about trust."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from farshore.access.unlock import Need
from farshore.audit import cuts
from farshore.audit import names as audit_names
from farshore.cli.status import state_of
from farshore.cli.status_trust import trust_errors
from farshore.config.settings import RepositoryConfig
from farshore.errors import CertificateEnded, ConfigInvalid, HistoryCut
from farshore.format import names
from farshore.ops.ask.status import repository_status
from farshore.ops.ask.trust_report import TrustReport
from farshore.ops.setup.renew import renew
from farshore.results import ReplicaStatus
from farshore.trust.memory import read_memory
from tests.unit.ops.engine import Engine
from tests.unit.ops.lease_world import forget, put
from tests.unit.ops.tree_source import TreeSource


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = Engine(tmp_path).initialize()
    source = TreeSource(clock=engine.clock)
    for number in range(2):
        source.file(b"f", b"%d" % number)
        engine.backup(source)
    return engine


def report(engine: Engine) -> TrustReport:
    return repository_status(engine.config, clock=engine.clock).trust


def seals(engine: Engine) -> list[str]:
    return [name for name in engine.objects("a", audit_names.SEALS) if audit_names.parse_seal(name)]


def statuses(engine: Engine) -> list[ReplicaStatus]:
    return repository_status(engine.config, clock=engine.clock).replicas


def delete_snapshot(engine: Engine, snapshot: str) -> None:
    for name in engine.objects("a", names.SNAPSHOTS):
        if snapshot in name:
            lose_everywhere(engine, name)


def forget_unsigned(engine: Engine, name: str) -> None:
    """Put a tombstone that nobody signed, in the name of one that a maintainer signed."""
    put(engine, "a", f"{name[:-64]}{names.hash_of(b'{}')}", b"{}")


def lose_everywhere(engine: Engine, name: str) -> None:
    for replica in engine.places:
        engine.shelf(replica).objects.pop(name, None)


def test_an_honest_repository_is_silent(engine: Engine) -> None:
    found = report(engine)
    assert (found.cut, found.error, found.certificates, found.log_behind) == ((), None, (), {})
    assert {(at.unused, at.refused, at.missing) for at in found.at.values()} == {(0, 0, 0)}
    assert trust_errors(found) == []


def test_the_newest_snapshot_deleted_everywhere_shows_on_its_host(engine: Engine) -> None:
    newest = engine.snapshots()[-1].snapshot_id
    delete_snapshot(engine, newest)
    (cut,) = report(engine).cut
    assert newest in cut.object
    assert [type(one) for one in trust_errors(report(engine))] == [HistoryCut]
    assert {(one.lost, state_of(one)) for one in statuses(engine)} == {(1, "cut")}


def test_a_newest_snapshot_that_a_seal_names_shows_on_a_fresh_machine(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It shows at the next seal of anybody who saw it; where that was cut off, too, only an anchor would show it."""
    fresh = engine.at("a-fresh-machine")
    last = engine.snapshots()[-1]
    delete_snapshot(engine, last.snapshot_id)
    (cut,) = report(fresh).cut
    assert (cut.commit, cut.source) == (last.commit.hash, last.source_id)
    with monkeypatch.context() as mutant:
        mutant.setattr(cuts, "missing_heads", lambda *_: [])
        assert report(fresh).cut == ()
    newest = max(seals(engine), key=lambda name: audit_names.parse_seal(name).sequence)  # type: ignore[union-attr]
    lose_everywhere(engine, newest)
    another = engine.at("another-fresh-machine")
    assert report(another).cut == ()
    assert len(report(engine).cut) == 2
    engine.clock.advance(timedelta(days=1).total_seconds())
    assert last.commit.name in {one.name for one in engine.verify(percent=0).damaged}
    assert [one.commit for one in report(another).cut if one.commit] == [last.commit.hash], "a daily seal has all heads"


def test_a_forgotten_snapshot_that_seals_name_was_not_cut_off(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    last = engine.snapshots()[-1].snapshot_id
    stone = forget(engine, "a", last)
    delete_snapshot(engine, last)
    for host in (engine, engine.at("a-fresh-machine")):
        with monkeypatch.context() as mutant:
            mutant.setattr(cuts, "forgotten_commits", lambda _: frozenset())
            assert report(host).cut, "without the rule, retention would alarm"
        assert report(host).cut == ()
        assert "no replica has it" not in str(host.verify(percent=0).damaged)
    lose_everywhere(engine, stone)
    forget_unsigned(engine, stone)
    assert report(engine).cut, "only a maintainer forgets"


def test_the_newest_seal_deleted_everywhere_shows_on_its_host(engine: Engine) -> None:
    last = max(seals(engine), key=lambda name: audit_names.parse_seal(name) or ("", 0, ""))
    of_chain = [one for one in seals(engine) if one.split("/")[2] == last.split("/")[2]]
    lose_everywhere(engine, max(of_chain))
    assert [one.object for one in report(engine).cut] == [max(of_chain)]


def test_the_newest_seal_deleted_everywhere_shows_at_the_next_seal_of_another_host(engine: Engine) -> None:
    other = engine.at("other")
    report(other)
    with other.opened(Need.READ):
        pass
    report(other)
    last = max(one for one in seals(engine) if one.split("/")[2] == seals(engine)[-1].split("/")[2])
    lose_everywhere(engine, last)
    source = TreeSource(clock=engine.clock)
    source.file(b"g", b"1")
    other.backup(source)
    fresh = report(engine.at("a-fresh-machine"))
    assert [one.object for one in fresh.cut] == [last]
    assert fresh.cut[0].detail.endswith("names it")


def test_nothing_is_called_cut_while_a_replica_is_away(engine: Engine) -> None:
    last = max(seals(engine))
    lose_everywhere(engine, last)
    with engine.away("c"):
        assert report(engine).cut == ()
    assert report(engine).cut


def test_certificates_that_end_are_named_and_refuse_nothing(engine: Engine) -> None:
    engine.clock.advance(timedelta(days=2 * 365 - 20).total_seconds())
    found = report(engine)
    assert len(found.certificates) == 2
    assert not any(one.ended for one in found.certificates)
    assert trust_errors(found) == []
    engine.clock.advance(timedelta(days=21).total_seconds())
    assert {type(one) for one in trust_errors(report(engine))} == {CertificateEnded}
    source = TreeSource(clock=engine.clock)
    source.file(b"g", b"1")
    assert engine.backup(source).snapshot_id


def test_a_renewed_certificate_ends_later_and_changes_nothing_else(engine: Engine) -> None:
    """Of a reader, too, whom no enrollment certifies anew."""
    source = TreeSource(clock=engine.clock)
    source.file(b"g", b"1")
    engine.backup(source)
    engine.clock.advance(timedelta(days=2 * 365 + 1).total_seconds())
    ended = report(engine).certificates
    assert {one.role for one in ended} == {"reader", "writer"}
    with engine.opened(Need.OWNER) as repository:
        before = {one.signer: repository.trust.rights_ever(one.signer) for one in ended}
        renewed = renew(repository, ended[0].host)
        assert {one.signer for one in renewed.certificates} == set(before)
        assert {one.signer: repository.trust.rights_ever(one.signer) for one in ended} == before
        with pytest.raises(ConfigInvalid):
            renew(repository, "nobody")
    assert report(engine).certificates == ()
    assert engine.backup(source).snapshot_id
    assert engine.verify().clean


def test_a_replica_with_an_old_owner_log_is_named(engine: Engine) -> None:
    engine.enroll(name="another")
    (newest,) = [name for name in engine.objects("b", names.LOG) if "/00000002-" in name]
    engine.lose("b", newest)
    assert report(engine).log_behind == {"b": 1}


def test_planted_rows_are_counted(engine: Engine) -> None:
    engine.shelf("b").objects["audit/runs/date=2026-01-01/x-" + "0" * 32 + ".parquet"] = (b"lie", None)  # type: ignore[assignment]
    found = report(engine)
    assert {name: at.unused for name, at in found.at.items()} == {"a": 0, "b": 1, "c": 0}


def test_a_backup_is_remembered_with_its_seal(engine: Engine) -> None:
    with engine.opened() as repository:
        memory = read_memory(engine.state_dir, repository.repository_id)
    assert memory is not None
    assert [one.snapshot for one in memory.newest.values()] == [engine.snapshots()[-1].snapshot_id]
    assert {last for _, last in memory.chains.values()} <= {name[-69:-5] for name in seals(engine)}
    assert memory.chains
    assert memory.places == frozenset(engine.urls.values())


def test_commits_that_are_refused_or_forgotten_are_no_snapshots(engine: Engine) -> None:
    """Without a key alike: at one replica a planted commit made all others look behind."""
    (first, *_) = engine.snapshots()
    (stored,) = [data for name, data in engine.objects("a", names.SNAPSHOTS).items() if first.snapshot_id in name]
    planted = stored.replace(first.snapshot_id.encode(), b"7" * 32)
    put(engine, "a", names.commit(first.commit.source_id, "7" * 32, names.hash_of(planted)), planted)
    found = repository_status(replace(engine.config, repository=RepositoryConfig(quorum=1)), clock=engine.clock)
    assert [(one.snapshots, one.behind) for one in found.replicas] == [(2, 0)] * len(found.replicas)
    assert [(one.replicas, one.reason) for one in found.refused] == [(("a",), "unsigned")]
    forget(engine, "a", first.snapshot_id)
    assert [(one.snapshots, one.behind) for one in statuses(engine)] == [(1, 0)] * len(found.replicas)

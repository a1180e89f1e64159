"""A revoked key: its snapshots and audit seals until then count by name, and nothing that it signs later."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from farshore.access.unlock import Need
from farshore.audit.chain import Authority, count_seals, open_seal
from farshore.audit.names import SEALS, is_chain_of, parse_seal, seal_name
from farshore.audit.seals import Seal
from farshore.catalog import list_commits
from farshore.errors import ConfigInvalid, KeyRevoked
from farshore.format import names
from farshore.ops.setup import accepted, revoke
from farshore.ops.setup.accepted import accepted_now
from farshore.ops.setup.revoke import Revoked, apply_revocation, plan_revocation
from farshore.replicas.owner_log import read_owner_log
from farshore.stores.base import Store
from farshore.trust import Judgment
from tests.doubles.faulty import FaultyStore
from tests.unit.ops.engine import Engine
from tests.unit.ops.lease_world import forget, unforget
from tests.unit.ops.tree_source import TreeSource


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "engine").initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    made = TreeSource(engine.clock)
    made.file(b"a", b"first" * 1000)
    return made


@pytest.fixture
def host(engine: Engine, source: TreeSource) -> Engine:
    """A host that writes, with two snapshots."""
    made = engine.at("db7")
    path = made.enroll(name="db7", domain="main")
    made.repository_config = replace(engine.repository_config, identity=None, credential=Path(path))
    made.backup(source)
    made.backup(source)
    return made


def signer_of(host: Engine) -> str:
    with host.opened(Need.WRITE) as repository:
        key = repository.writing_keys().signing_key
        assert key is not None
        return key.signer_id


def revoke_host(engine: Engine, *refuse: str) -> Revoked:
    with engine.opened(Need.OWNER) as repository:
        return apply_revocation(repository, plan_revocation(repository, "db7", refuse), "stolen")


def counted_seals(engine: Engine) -> tuple[set[str], int]:
    """Return the hashes of the seals that count, and how many do not."""
    with engine.opened() as repository:
        authority = Authority(repository.trust, repository.header.fingerprint)
        opened = [open_seal(name, data, authority) for name, data in engine.objects("a", SEALS).items()]
        counted = count_seals([one for one in opened if isinstance(one, Seal)], repository.trust)
        return set(counted.seals), len(counted.refused)


def test_commits_and_seals_until_then_count_and_later_ones_do_not(engine: Engine, host: Engine) -> None:
    signer, before = signer_of(host), counted_seals(engine)
    assert len(before[0]) >= 2
    with engine.opened() as repository:
        commits = accepted_now(repository, []).commits

    done = revoke_host(engine)

    assert (done.signers, done.accepted, done.refused, done.failed) == ((signer,), 2, 0, ())
    assert counted_seals(engine) == before
    with engine.opened() as repository:
        trust, source_id = repository.trust, commits[0].source_id
        judged = {trust.judge_commit(signer, one.hash, source_id) for one in commits}
        assert judged == {Judgment.ACCEPTED}
        assert trust.judge_commit(signer, "ab" * 32, source_id) is Judgment.REVOKED
    with pytest.raises(KeyRevoked, match="stolen"), host.opened(Need.WRITE):
        pass
    with engine.opened(Need.OWNER) as repository, pytest.raises(ConfigInvalid, match="no certificate"):
        plan_revocation(repository, "db7")


def test_a_forgotten_snapshot_stays_accepted_and_can_be_unforgotten(engine: Engine, host: Engine) -> None:
    forgotten = engine.snapshots()[0].snapshot_id
    tombstone = forget(engine, "a", forgotten)
    assert revoke_host(engine).accepted == 2
    with engine.opened() as repository:
        assert not list_commits(repository).refused, "a command that lists warns of nothing"
    unforget(engine, "a", tombstone)
    assert forgotten in {one.snapshot_id for one in engine.snapshots()}


def test_a_person_refuses_a_snapshot_by_name(engine: Engine, host: Engine) -> None:
    signer = signer_of(host)
    with engine.opened() as repository:
        wrong = accepted_now(repository, []).commits[0]
    assert revoke_host(engine, wrong.snapshot[:12]).accepted == 1
    with engine.opened() as repository:
        assert repository.trust.judge_commit(signer, wrong.hash, wrong.source_id) is Judgment.REVOKED


def test_many_commits_are_an_object_of_their_own(engine: Engine, host: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revoke, "IN_ENTRY_MAX", 1)
    signer = signer_of(host)
    revoke_host(engine)
    for name in engine.urls:
        assert len(engine.objects(name, names.ACCEPTED)) == 1
        with engine.opened(replica=name) as repository:
            assert len(repository.trust.revocations[signer].commits or ()) == 2


def test_lists_of_commits_are_listed_where_the_log_names_one_and_put_where_a_replica_lacks_it(
    engine: Engine, host: Engine, source: TreeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, FaultyStore] = {}

    def watched(name: str, store: Store) -> Store:
        asked[name] = FaultyStore(store, clock=engine.clock)
        return asked[name]

    def lists_of_commits() -> list[list[str]]:
        with engine.opened() as repository:
            read_owner_log(repository, None)
        return [[one.name for one in store.calls if one.name == names.ACCEPTED] for store in asked.values()]

    engine.wrap = watched
    assert lists_of_commits() == [[] for _ in engine.urls], "a request of each command, for nothing"
    monkeypatch.setattr(revoke, "IN_ENTRY_MAX", 1)
    revoke_host(engine)
    ((name, data),) = engine.objects("b", names.ACCEPTED).items()
    engine.lose("b", name)
    assert lists_of_commits() == [[names.ACCEPTED] for _ in engine.urls]

    engine.backup(source)

    assert engine.objects("b", names.ACCEPTED) == {name: data}


def test_seals_that_were_planted_beyond_the_end_move_it_nowhere(engine: Engine, host: Engine) -> None:
    before = counted_seals(engine)
    last = max((parse_seal(name) for name in engine.objects("a", SEALS)), key=lambda one: one.sequence if one else 0)
    assert last is not None
    for replica in engine.urls:
        shelf = engine.shelf(replica)
        data = engine.objects(replica, SEALS)[seal_name(last.chain, last.sequence, last.hash)]
        for number in range(8):
            planted = data + bytes([number])
            name = seal_name(last.chain, last.sequence + 1 + number, names.hash_of(planted))
            shelf.objects[name] = (planted, engine.clock.now_utc())
    revoke_host(engine)
    assert counted_seals(engine)[0] == before[0]


def test_a_chain_without_a_good_seal_hinders_no_revocation(
    engine: Engine, host: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepted, "_SEALS_READ_MAX", 4)
    signer = signer_of(host)
    (chain,) = {
        parsed.chain
        for name in engine.objects("a", SEALS)
        if (parsed := parse_seal(name)) and is_chain_of(parsed.chain, signer)
    }
    for number in range(8):
        name = seal_name(chain, 100 + number, "ab" * 32)
        engine.shelf("a").objects[name] = (b"", engine.clock.now_utc())
    revoke_host(engine)
    with engine.opened() as repository:
        assert repository.trust.revocations[signer].chains == {}

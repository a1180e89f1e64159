from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farshore import limits
from farshore.access.unlock import Need
from farshore.catalog import ListedCommits, list_commits, read_commits
from farshore.catalog.signed_commits import Refusal, sign_commit
from farshore.format import decode_signed, encode_signed, names
from farshore.model import ED25519_SIGNATURE_BYTES, SnapshotState
from farshore.sealed import DomainKeys
from farshore.signing import generate_signing_key
from farshore.trust.actions import Revoked
from tests.doubles.commits import signed_commit, unsigned_commit
from tests.doubles.faulty import FAIL, Fault, FaultyStore
from tests.unit.ops.engine import Engine, flipped


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path).initialize()


def put(engine: Engine, stored: Iterable[tuple[str, bytes]], *replicas: str) -> None:
    for name, data in stored:
        for replica in replicas or engine.urls:
            engine.shelf(replica).objects[name] = (data, engine.clock.now_utc())


def commit_at(engine: Engine, numbers: range, *replicas: str, source: str = "home", **how: Any) -> list[str]:
    """Put commits, as backups of that many nights leave them, at some replicas or all; return their names."""
    with engine.opened() as repository:
        made = [signed_commit(repository, number, source, **how) for number in numbers]
    put(engine, [(commit.name, stored) for commit, stored in made], *replicas)
    return [commit.name for commit, _ in made]


def listed(engine: Engine, need: Need = Need.READ) -> ListedCommits:
    with engine.opened(need) as repository:
        return list_commits(repository)


def refusals(engine: Engine) -> dict[str, Refusal]:
    return {one.name.name: one.reason for one in listed(engine).refused}


def asked(engine: Engine) -> tuple[list[int], dict[str, dict[str, int]]]:
    """List the commits; return their numbers and the requests that this took of each replica."""
    with engine.opened(Need.READ) as repository:
        before = {name: one.meter.snapshot().requests for name, one in repository.replicas.items()}
        found = list_commits(repository)
        meters = {name: one.meter.snapshot().requests for name, one in repository.replicas.items()}
    numbers = sorted(commit.counts.entries for commit in found.commits.values())
    return numbers, {
        name: {verb: after.get(verb, 0) - before[name].get(verb, 0) for verb in ("get", "list")}
        for name, after in meters.items()
    }


def cached(engine: Engine) -> list[Path]:
    return [path for path in engine.cached_files() if "commits" in path.parts]


def test_a_record_is_fetched_once_by_a_host_and_from_one_replica(engine: Engine) -> None:
    commit_at(engine, range(100))

    first, requests = asked(engine)
    assert first == list(range(100))
    assert sum(one["get"] for one in requests.values()) == 100

    again, requests = asked(engine)
    assert again == first
    for one in requests.values():
        assert one["get"] == 0
        assert one["list"] == 2, "of snapshots, and of tombstones"


def test_what_a_listing_asks_with_a_warm_cache_does_not_grow_with_the_snapshots(engine: Engine) -> None:
    commit_at(engine, range(5))
    asked(engine)
    few = asked(engine)[1]
    commit_at(engine, range(5, 200))
    asked(engine)
    assert asked(engine)[1] == few


def test_many_nights_are_kept_in_few_files(engine: Engine) -> None:
    for night in range(4 * limits.CACHED_COMMIT_FILES_MAX):
        commit_at(engine, range(night, night + 1))
        assert asked(engine)[0] == list(range(night + 1))
        assert len(cached(engine)) <= limits.CACHED_COMMIT_FILES_MAX
    engine.urls = {"a": engine.urls["a"]}
    assert asked(engine)[1]["a"]["get"] == 0


def test_a_damaged_file_of_the_cache_is_dropped_and_its_records_fetched_again(engine: Engine) -> None:
    commit_at(engine, range(10))
    asked(engine)
    commit_at(engine, range(10, 13), source="work")
    asked(engine)
    first, second = cached(engine)
    for path in (first, second):
        path.write_bytes(flipped(path.read_bytes(), 70))
    assert asked(engine)[0] == list(range(13))
    assert first not in cached(engine)
    assert sum(one["get"] for one in asked(engine)[1].values()) == 0


def test_a_file_of_the_cache_serves_its_own_source_alone(engine: Engine) -> None:
    """A file that somebody moved is not believed, or one source's snapshots would stand in for another's."""
    commit_at(engine, range(3))
    asked(engine)
    (path,) = cached(engine)
    with engine.opened() as repository:
        moved = path.parent.parent / repository.source_id("work") / path.name
    moved.parent.mkdir()
    path.rename(moved)
    commit_at(engine, range(3, 5), source="work")
    assert asked(engine)[0] == list(range(5))
    assert not moved.exists()


def test_what_a_replica_gave_before_it_failed_is_kept(engine: Engine) -> None:
    commit_at(engine, range(40), "a")
    engine.urls = {"a": engine.urls["a"]}
    engine.quorum = 1
    gets = itertools.count()

    def give_up(verb: str, name: str, _: int) -> Fault | None:
        return FAIL if verb == "get" and name.startswith(names.SNAPSHOTS) and next(gets) >= 25 else None

    engine.wrap = lambda _, store: FaultyStore(store, plan=give_up, clock=engine.clock)
    with engine.opened() as repository:
        found = list_commits(repository)
    assert set(found.failed) == {"a"}
    engine.wrap = lambda _, store: store
    numbers, requests = asked(engine)
    assert numbers == list(range(40))
    assert requests["a"]["get"] <= 20


def test_a_record_that_is_damaged_everywhere_hides_no_other(engine: Engine) -> None:
    made = commit_at(engine, range(3))
    for replica in engine.urls:
        engine.flip(replica, made[1])
    assert asked(engine)[0] == [0, 2]
    (refused,) = listed(engine).refused
    assert (refused.name.name, refused.replicas, refused.reason) == (made[1], ("a", "b", "c"), Refusal.DAMAGED)


def test_holders_are_reported_in_the_order_of_the_configuration(engine: Engine) -> None:
    made = commit_at(engine, range(2), "b", "c")
    made += commit_at(engine, range(2, 3), "c", "a")
    found = listed(engine)
    assert [found.holders[name[-64:]] for name in made] == [("b", "c"), ("b", "c"), ("a", "c")]


def test_a_commit_under_another_name_counts_nowhere(engine: Engine) -> None:
    """Of another source, another snapshot, or another hash: the signature is over the one name that it has."""
    (name,) = commit_at(engine, range(1), "b")
    data, parsed = engine.objects("b")[name], names.parse_commit(name)
    assert parsed is not None
    with engine.opened() as repository:
        other = repository.source_id("work")
    planted = [
        names.commit(other, parsed.snapshot_id, parsed.hash), names.commit(parsed.source_id, "f" * 32, parsed.hash),
        names.commit(parsed.source_id, parsed.snapshot_id, "f" * 64),
    ]  # fmt: skip
    put(engine, [(one, data) for one in planted], "a")
    found = listed(engine)
    assert found.holders == {parsed.hash: ("b",)}
    assert {one.name.name: one.reason for one in found.refused} == {
        planted[0]: Refusal.UNSIGNED, planted[1]: Refusal.UNSIGNED, planted[2]: Refusal.DAMAGED
    }  # fmt: skip


def test_two_commits_of_one_snapshot_id_both_count(engine: Engine) -> None:
    """So nobody takes a commit away by one of the same id that is listed first."""
    commit_at(engine, range(1))
    commit_at(engine, range(1), quorum=2)
    assert asked(engine)[0] == [0, 0]


def test_what_nobody_certified_signed_is_refused_with_a_reason(engine: Engine) -> None:
    made = commit_at(engine, range(2))
    (stranger,) = commit_at(engine, range(2, 3), "a", signer=generate_signing_key())
    with engine.opened() as repository:
        commit, stored = signed_commit(repository, 3)
    text = decode_signed(stored, "it", 1 << 20)
    forged = encode_signed(text.body, replace(text.signature, ed25519=bytes(ED25519_SIGNATURE_BYTES)))
    garbage = b"garbage"
    planted = {
        names.commit(commit.source_id, commit.snapshot, names.hash_of(forged)): forged,
        names.commit(commit.source_id, commit.snapshot, names.hash_of(garbage)): garbage,
    }
    put(engine, planted.items(), "b")
    foreign = names.commit("e" * 32, "1" * 32, "f" * 64)
    put(engine, [(foreign, b"anything")], "c")
    assert asked(engine)[0] == [0, 1]
    reasons = {stranger: Refusal.UNKNOWN_SIGNER, foreign: Refusal.NOT_ITS_SOURCE}
    assert refusals(engine) == reasons | dict.fromkeys(planted, Refusal.UNSIGNED)
    assert sorted(found.name for found in listed(engine).heads.values()) == sorted(made)


def test_refused_names_are_not_read_again_and_one_whose_signer_was_certified_is(engine: Engine) -> None:
    signer = generate_signing_key()
    commit_at(engine, range(5), "a", signer=signer)
    assert asked(engine)[1]["a"]["get"] == 5
    assert asked(engine)[1]["a"]["get"] == 0
    assert set(refusals(engine).values()) == {Refusal.UNKNOWN_SIGNER}


def test_a_revocation_cuts_off_what_the_cache_has_too(engine: Engine) -> None:
    made = commit_at(engine, range(4))
    assert asked(engine)[0] == [0, 1, 2, 3]
    with engine.opened() as repository:
        key = repository.writing_keys().signing_key
        assert repository.log is not None
        assert key is not None
        kept = frozenset(name[-64:] for name in made[:2])
        state = replace(repository.trust, revocations={key.signer_id: Revoked(kept, {}, ("stolen",))})
        repository.log = replace(repository.log, state=state)
        found = list_commits(repository)
    assert sorted(commit.counts.entries for commit in found.commits.values()) == [0, 1]
    assert {one.name.name: one.reason for one in found.refused} == dict.fromkeys(made[2:], Refusal.REVOKED)
    assert [one.commit.counts.entries for one in found.refused if one.commit] == [2, 3]


def test_a_certificate_says_which_sources_and_which_domain(engine: Engine) -> None:
    made = commit_at(engine, range(1))
    with engine.opened() as repository:
        signer = repository.writing_keys().signing_key
        assert repository.log is not None
        assert signer is not None
        trust = repository.trust
        (certified,) = trust.certificates[signer.signer_id]
        refused: list[Refusal] = []
        for certificate in (
            replace(certified.certificate, sources={"5" * 32: "home"}),
            replace(certified.certificate, domain="elsewhere"),
            replace(certified.certificate, rights=frozenset({"heal"})),
        ):
            certificates = {**trust.certificates, signer.signer_id: (replace(certified, certificate=certificate),)}
            repository.log = replace(repository.log, state=replace(trust, certificates=certificates))
            found = list_commits(repository)
            assert not found.heads
            refused += [one.reason for one in found.refused if one.name.name in made]
    assert refused == [Refusal.NOT_ITS_SOURCE, Refusal.NOT_ITS_DOMAIN, Refusal.NO_RIGHT]


def test_a_commit_of_a_domain_whose_keys_are_not_at_hand_counts_and_only_its_head_is_known(engine: Engine) -> None:
    made = commit_at(engine, range(2))
    with engine.opened() as repository:
        assert repository.keys is not None
        other = DomainKeys("main", 2, b"i" * 32, b"c" * 32)
        repository.keys = replace(repository.keys, domains=(other,), own=other.tag)
        found = list_commits(repository)
        assert sorted(head.name for head in found.foreign) == sorted(made)
        assert not found.commits
        repository.keys = None  # and a replicator, who has none
        assert sorted(head.name for head in list_commits(repository).foreign) == sorted(made)


def test_details_that_their_signer_did_not_seal_under_the_keys_of_the_domain_are_damage(engine: Engine) -> None:
    with engine.opened() as repository:
        keys = repository.writing_keys()
        wrong = replace(keys, domains=(DomainKeys("main", 1, b"i" * 32, b"c" * 32),))
        commit, stored = sign_commit(wrong, unsigned_commit(repository, 1), repository.clock.random_bytes(32))
    put(engine, [(commit.name, stored)])
    commit_at(engine, range(1))
    assert asked(engine)[0] == [0]
    assert refusals(engine) == {commit.name: Refusal.DAMAGED}


def test_planted_names_cost_a_bounded_number_of_reads_and_hide_nothing(engine: Engine) -> None:
    made = commit_at(engine, range(20))
    with engine.opened() as repository:
        source_id = repository.source_id("home")
    planted = 3 * limits.UNKNOWN_COMMITS_MAX
    put(
        engine,
        [(names.commit(source_id, "f" * 32, format(number, "064x")), b"x") for number in range(planted)],
        "a",
    )
    numbers, requests = asked(engine)
    assert numbers == list(range(20))
    assert requests["a"]["get"] <= limits.UNKNOWN_COMMITS_MAX + len(made)
    assert listed(engine).unread["a"] >= planted - 2 * limits.UNKNOWN_COMMITS_MAX


def test_any_number_of_genuine_commits_is_read_on_a_host_that_knows_none(engine: Engine) -> None:
    commit_at(engine, range(3 * limits.UNKNOWN_COMMITS_MAX), "a")
    assert len(asked(engine)[0]) == 3 * limits.UNKNOWN_COMMITS_MAX


def test_the_chain_of_what_counts_is_read_whatever_was_planted_beside_it(engine: Engine) -> None:
    """Each commit names the one before it, so a budget that others use up does not end the history."""
    with engine.opened() as repository:
        source_id = repository.source_id("home")
        parent, stored = "", []
        for number in range(30):
            commit, data = signed_commit(repository, number, parent_commit=parent)
            stored.append((commit.name, data))
            parent = commit.hash
    put(engine, stored[:-1], "a")
    planted = [
        (names.commit(source_id, "f" * 32, names.hash_of(bytes([number % 256, number // 256]))), b"x")
        for number in range(2 * limits.UNKNOWN_COMMITS_MAX)
    ]
    put(engine, planted, "a", "b")  # more replicas list these, so they are read first
    engine.clock.advance(60)
    put(engine, stored[-1:], "a", "b")
    assert asked(engine)[0] == list(range(30))


def test_one_replica_is_read_without_the_cache(engine: Engine) -> None:
    made = commit_at(engine, range(3))
    asked(engine)
    engine.flip("b", made[1])
    with engine.opened() as repository:
        wanted = [one for one in map(names.parse_commit, made) if one is not None]
        read = read_commits(repository, repository.replicas["b"], wanted)
    assert sorted(head.name for head in read.accepted) == sorted([made[0], made[2]])
    assert [one.name for one in read.bad] == [made[1]]
    assert all(head.state is SnapshotState.COMPLETE for head in read.accepted)

"""Tombstones are folded into signed sets, and whatever is forgotten stays forgotten: through kills, heals, thieves."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from farshore import limits
from farshore.access.unlock import Need
from farshore.catalog.tombstones import FoundTombstones, SignedSet, forgotten_commits, read_every_tombstone
from farshore.format import decode_object, names
from farshore.format.tombstone import Tombstone, encode_tombstone
from farshore.format.tombstone_set import SignedStone, decode_set, encode_set
from farshore.ops.prune import fold_tombstones
from farshore.ops.prune.fold_policy import choose_rows, superseded
from farshore.ops.setup.enroll import enroll
from farshore.ops.setup.revoke import apply_revocation, plan_revocation
from farshore.signing import SignedKind, SigningKey
from farshore.trust.actions import Right
from tests.doubles.faulty import FAIL, LOSE_REPLY, Fault
from tests.doubles.trust import signed_text
from tests.unit.ops.engine import Engine, fresh_memory_urls
from tests.unit.ops.heal.healing_world import heal
from tests.unit.ops.lease_world import Calls, maintainer, put, put_set, revoke, unforget
from tests.unit.ops.lease_world import forget as forget_at
from tests.unit.ops.prune.prune_world import DAY_S, prune, states, with_snapshots

WRITER = (Right.BACKUP, Right.RESTORE, Right.VERIFY, Right.HEAL)
MAINTAINER = (*WRITER, Right.MAINTAIN)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Two snapshots at two replicas; two tombstones are enough to be folded."""
    monkeypatch.setattr(limits, "FOLD_TOMBSTONES_MIN", 2)
    return with_snapshots(tmp_path / "folding", 2, "ab")


def bury(engine: Engine, count: int, *, at: str = "ab", key: SigningKey | None = None, first: int = 0) -> list[str]:
    """Put tombstones of snapshots that were pruned long ago; return the hashes of their commits."""
    own, fingerprint, log = maintainer(engine)
    commits = []
    for number in range(first, first + count):
        commits.append(names.hash_of(f"commit {number}".encode()))
        stone = Tombstone(f"{number:032x}", commits[-1], "keep 7", "daily", engine.clock.now_utc(), log)
        subject = f"forgotten/{stone.snapshot}"
        data = signed_text(key or own, SignedKind.TOMBSTONE, subject, encode_tombstone(stone), fingerprint)
        for replica in at:
            put(engine, replica, names.tombstone(subject, names.hash_of(data)), data)
    return commits


def forgotten(engine: Engine) -> frozenset[str]:
    with engine.opened() as repository:
        return forgotten_commits(repository)


def found(engine: Engine) -> FoundTombstones:
    with engine.opened() as repository:
        return read_every_tombstone(repository)


def objects(engine: Engine, replica: str) -> tuple[int, int]:
    """Return how many single objects and how many sets a replica has."""
    listed = [*engine.objects(replica, names.FORGOTTEN), *engine.objects(replica, names.UNFORGOTTEN)]
    sets = [one for one in listed if names.parse_tombstone_set(one)]
    return len(listed) - len(sets), len(sets)


def test_a_prune_folds_them_and_they_say_the_same(engine: Engine) -> None:
    gone = bury(engine, 5)
    before = found(engine).stones()
    result = prune(engine)
    assert [one.folded for one in result.replicas] == [5, 5]
    assert objects(engine, "a") == objects(engine, "b") == (0, 1)
    assert engine.objects("a", names.FORGOTTEN) == engine.objects("b", names.FORGOTTEN)
    assert forgotten(engine.at("elsewhere")) == set(gone)
    assert found(engine).stones() == before, "reason, rule and moment stay readable"
    assert [one.folded for one in prune(engine).replicas] == [0, 0]


def test_a_snapshot_that_is_there_is_not_folded(engine: Engine) -> None:
    """A set hides no snapshot that some replica has; and within the grace everything stays."""
    bury(engine, 1)
    first = engine.snapshots()[0].snapshot_id
    commit = engine.commit_of(first).hash
    own, fingerprint, log = maintainer(engine)
    stone = Tombstone(first, commit, "", "", engine.clock.now_utc() + timedelta(days=9), log)  # so no prune deletes it
    data = signed_text(own, SignedKind.TOMBSTONE, f"forgotten/{first}", encode_tombstone(stone), fingerprint)
    put(engine, "a", names.tombstone(f"forgotten/{first}", names.hash_of(data)), data)
    assert [one.folded for one in prune(engine).replicas] == [0, 0]
    bury(engine, 5, first=9)
    assert [one.folded for one in prune(engine, grace=timedelta(days=1)).replicas] == [0, 0]
    engine.clock.advance(2 * DAY_S)
    assert [one.folded for one in prune(engine, grace=timedelta(days=1)).replicas] == [6, 6]
    assert objects(engine, "a") == (1, 1)


def test_sets_merge_so_that_there_are_few(engine: Engine) -> None:
    gone: list[str] = []
    for night in range(16):
        gone += bury(engine, 3, first=100 * night)
        engine.clock.advance(DAY_S)
        prune(engine)
        singles, sets = objects(engine, "a")
        assert (singles, sets <= 3) == (0, True), night
    assert forgotten(engine.at("elsewhere")) == set(gone)


def test_ten_years_of_hours_are_few_sets() -> None:
    """By the policy alone: the number of sets is logarithmic, and each row is written a few times."""
    sets: dict[str, SignedSet] = {}
    number = written = 0
    at = datetime(2026, 1, 1, tzinfo=UTC)
    most = 0
    for _ in range(3650):
        singles = [
            SignedStone(f"{one:064x}", "a" * 32, Tombstone(f"{one:032x}", f"{one:064x}", "r", "d", at, (1, "e" * 64)))
            for one in range(number, number + 24)
        ]
        number += 24
        chosen, merged = choose_rows(singles, sets)
        rows = sum(sets[one].rows.rows for one in merged) + len(chosen)
        written += rows
        for one in merged:
            del sets[one]
        sets[f"{number:064x}"] = SignedSet(f"{number:064x}", "a" * 32, _Counted(rows))  # type: ignore[arg-type]
        most = max(most, len(sets))
    assert sum(one.rows.rows for one in sets.values()) == number == 87_600
    assert most <= 10
    assert written / number < 9


class _Counted:
    texts = ("r", "d")

    def __init__(self, rows: int) -> None:
        self.rows = rows


def test_a_replica_with_singles_and_one_with_the_set_converge(engine: Engine) -> None:
    gone = bury(engine, 4)
    prune(engine, replica="a")
    assert (objects(engine, "a"), objects(engine, "b")) == ((0, 1), (4, 0))
    heal(engine)
    assert (objects(engine, "a"), objects(engine, "b")) == ((0, 1), (4, 1)), "singles do not come back, the set spreads"
    prune(engine)
    assert objects(engine, "a") == objects(engine, "b") == (0, 1)
    assert forgotten(engine.at("elsewhere")) == set(gone)


def test_a_replica_that_was_away_brings_singles_back_and_they_go(engine: Engine) -> None:
    gone = bury(engine, 4)
    stones = {name: engine.shelf("b").objects[name] for name in engine.objects("b", names.FORGOTTEN)}
    prune(engine)
    engine.shelf("b").objects.update(stones)
    heal(engine)
    assert objects(engine, "b") == (4, 1)
    prune(engine)
    assert objects(engine, "a") == objects(engine, "b") == (0, 1)
    assert forgotten(engine.at("elsewhere")) == set(gone)


def test_nothing_is_folded_while_a_replica_is_away(engine: Engine) -> None:
    """It may have what was forgotten, and a set hides no snapshot that is there."""
    bury(engine, 4)
    with Calls(engine, lambda _call, replica, verb, _name: FAIL if (replica, verb) == ("b", "list") else None):
        prune(engine, replica="a")
    assert objects(engine, "a") == (4, 0)


def test_what_was_taken_back_is_folded_with_its_word(engine: Engine) -> None:
    bury(engine, 3)
    name = min(engine.objects("a", names.FORGOTTEN))
    unforget(engine, "a", name)
    before = forgotten(engine)
    assert len(before) == 2
    prune(engine)
    assert objects(engine, "a") == (0, 1)
    assert forgotten(engine.at("elsewhere")) == before
    assert sum(names.parse_tombstone(one).counters for one in found(engine).stones()) == 1  # type: ignore[union-attr]


def test_a_kill_at_every_change(engine: Engine) -> None:
    """O8: nothing that is forgotten is ever listed by anybody, and the next prune finishes."""
    gone = set(bury(engine, 3))
    prune(engine)
    gone |= set(bury(engine, 3, first=50))
    template = engine.template()
    with Calls(engine) as calls:
        prune(engine)
    changes = sum(verb in ("put", "delete") for verb, _ in calls.at("a"))
    assert changes > 8
    for number in range(1, changes + 1):
        again = Engine(engine.root / f"{number}", urls=fresh_memory_urls("a", "b"), quorum=1).begin_with(template)
        made = 0

        def kill(_call: int, replica: str, verb: str, _name: str, last: int = number) -> Fault | None:
            nonlocal made
            made += replica == "a" and verb in ("put", "delete")
            if made < last:
                return None
            return LOSE_REPLY if made == last and last % 2 and verb in ("put", "delete") else FAIL

        with Calls(again, kill):
            prune(again)
        assert forgotten(again.at("elsewhere")) == gone, number
        prune(again)
        assert objects(again, "a") == objects(again, "b") == (0, 1), number
        assert forgotten(again.at("yet elsewhere")) == gone, number


@pytest.mark.parametrize("mutant", ["", "deletes first", "leaves one out"])
def test_the_set_is_there_before_anything_single_goes(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, mutant: str
) -> None:
    gone = set(bury(engine, 3))
    if mutant == "deletes first":
        monkeypatch.setattr(fold_tombstones.Folding, "prove", lambda *_, **__: True)
    if mutant == "leaves one out":
        whole = encode_set

        def without_one(stones: Iterable[SignedStone], made_utc: datetime, log: tuple[int, str]) -> bytes:
            return whole(list(stones)[1:], made_utc, log)

        monkeypatch.setattr(fold_tombstones, "encode_set", without_one)
    try:
        prune(engine)
    except Exception:  # noqa: BLE001 - the program finds that its own set is not what it was made from
        assert mutant == "leaves one out"
    assert (forgotten(engine.at("elsewhere")) == gone) == (mutant != "deletes first")


def test_a_set_of_nobody_counts_for_nothing_and_removes_nothing(engine: Engine) -> None:
    """A thief with put rights, and a writer: no row counts, and no single object goes."""
    gone = set(bury(engine, 2))
    present = engine.commit_of(engine.snapshots()[0].snapshot_id)
    for rights in ((), WRITER):
        key = _enrolled(engine, "another", rights) if rights else SigningKey(bytes(64))
        put_set(engine, "a", [_row(engine, present.snapshot, present.hash, key.signer_id)], key=key)
    assert forgotten(engine) == gone
    prune(engine, replica="b")
    assert objects(engine, "a") == (2, 2)


def test_of_a_thief_of_a_maintainer_no_set_removes_a_word_of_others(engine: Engine) -> None:
    """It lists a tombstone of another maintainer with another commit, or as it is: its revocation loses nothing."""
    gone = set(bury(engine, 2))
    thief = _enrolled(engine, "stolen", MAINTAINER)
    singles = found(engine).singles
    put_set(engine, "a", list(singles.values()), key=thief)
    put_set(engine, "a", [  # with the key of the one that prunes, as far as the thief had it once
        SignedStone(one.hash, one.signer, Tombstone("f" * 32, "f" * 64, "", "", engine.clock.now_utc(), (0, "e" * 64)))
        for one in singles.values()
    ])  # fmt: skip
    prune(engine, replica="a")
    revoke(engine, thief.signer_id, _accepted_commits(engine))
    assert gone <= forgotten(engine.at("elsewhere"))


def test_what_a_thief_hides_shows_once_it_is_revoked_and_what_was_pruned_stays_gone(engine: Engine) -> None:
    """A revocation names the sets that hide nothing which is there: also for the tombstones of who is revoked."""
    other = _enrolled(engine, "retired", MAINTAINER)
    gone = set(bury(engine, 3, key=other))
    prune(engine)
    present = engine.commit_of(engine.snapshots()[0].snapshot_id)
    stolen = put_set(engine, "a", [_row(engine, present.snapshot, present.hash, other.signer_id)], key=other)
    assert present.hash in forgotten(engine)
    with engine.opened(Need.OWNER) as repository:
        planned = plan_revocation(repository, other.signer_id)
        assert stolen not in planned.now.sets
        apply_revocation(repository, planned, "stolen")
    assert forgotten(engine.at("elsewhere")) == gone
    bury(engine, 3, first=50)
    prune(engine)
    assert gone < forgotten(engine.at("elsewhere")), "a set that a revocation names is never merged"
    assert len(engine.snapshots()) == 2


@pytest.mark.parametrize("mutant", [False, True])
def test_a_reader_that_listed_what_is_folded_now_lists_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, *, mutant: bool
) -> None:
    """Else it would miss what takes a tombstone back, whose tombstone its cache has, and a prune would delete by it."""
    if mutant:
        monkeypatch.setattr(FoundTombstones, "were_folded", False)
    bury(engine, 3)
    unforget(engine, "a", min(engine.objects("a", names.FORGOTTEN)))
    host = engine.at("elsewhere")
    stones = set(engine.objects("a", names.FORGOTTEN))
    expected = forgotten(engine)
    with host.opened() as repository:
        for name in stones:
            repository.cache.put(name, repository.replicas["a"].store.get(name, bytes_max=limits.MIB))

    def fold(_call: int, _replica: str, verb: str, name: str) -> Fault | None:
        if verb == "get" and name.startswith(names.UNFORGOTTEN):
            folded.append(name)
            if len(folded) == 1:
                prune(engine)
        return None

    folded: list[str] = []
    with Calls(host, fold):
        assert (forgotten(host) == expected) != mutant
    assert folded


def test_two_prunes_delete_no_set_for_each_other() -> None:
    """Only a larger set, or one of a later name, makes another one needless."""
    sets = {}
    at = datetime(2026, 1, 1, tzinfo=UTC)
    for name, numbers in {"x": (1, 2), "y": (1, 2), "z": (1,), "w": (3,)}.items():
        stones = [
            SignedStone(f"{one:064x}", "a" * 32, Tombstone(f"{one:032x}", f"{one:064x}", "", "", at, (1, "e" * 64)))
            for one in numbers
        ]
        body = encode_set(stones, at, (1, "e" * 64))
        sets[name] = SignedSet(name, "a" * 32, decode_set(decode_object(body, name), name))
    assert superseded(sets, sets) == {"x": "y", "z": "y"}


def _enrolled(engine: Engine, host: str, rights: Collection[Right]) -> SigningKey:
    with engine.opened(Need.OWNER) as repository:
        key = enroll(repository, host, rights=rights).credential.signing_key
    assert key is not None
    return key


def _row(engine: Engine, snapshot: str, commit: str, signer: str) -> SignedStone:
    _, _, log = maintainer(engine)
    return SignedStone("9" * 64, signer, Tombstone(snapshot, commit, "", "", engine.clock.now_utc(), log))


def _accepted_commits(engine: Engine) -> list[str]:
    return [engine.commit_of(one.snapshot_id).hash for one in engine.snapshots()]


@pytest.mark.parametrize("mutant", [False, True])
def test_a_prune_that_cannot_read_what_takes_a_tombstone_back_deletes_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, *, mutant: bool
) -> None:
    """One request that failed was enough for a prune to take for forgotten what was taken back."""
    if mutant:
        monkeypatch.setattr(FoundTombstones, "require_read", lambda *_: None)
    first = engine.snapshots()[0].snapshot_id
    for replica in "ab":
        unforget(engine, replica, forget_at(engine, replica, first))
    host = engine.at("elsewhere")
    with Calls(host, lambda _call, _, verb, name: FAIL if verb == "get" and names.UNFORGOTTEN in name else None):
        result = prune(host, even_last=True)
    assert (set(states(result).values()) == {"failed"}) != mutant
    shown = {one.snapshot_id for one in engine.at("yet elsewhere").snapshots()}
    assert (first in shown) != mutant


def test_a_flood_of_sets_that_nobody_signed_is_read_within_a_bound(engine: Engine) -> None:
    gone = set(bury(engine, 2))
    for number in range(100):
        data = f"garbage {number}".encode()
        put(engine, "a", names.tombstone_set(names.hash_of(data)), data)
    host = engine.at("elsewhere")
    with Calls(host) as calls:
        assert forgotten(host) == gone
    reads = [name for verb, name in calls.at("a") if verb == "get" and names.parse_tombstone_set(name)]
    assert 0 < len(reads) <= limits.UNKNOWN_SETS_MAX + 1

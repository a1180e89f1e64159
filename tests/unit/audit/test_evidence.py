"""Attacks A3 and A7: files and seals of somebody who may put objects, or who was certified for something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from farshore.audit import chain, evidence, names
from farshore.audit.engines import QueryTable
from farshore.audit.evidence import read_evidence
from farshore.audit.query import TablesAt, query
from farshore.audit.recorder import AuditRecorder
from farshore.audit.rows import AuditRow, Operation, RunResult, RunRow
from farshore.audit.seals import SealedFile, make_seal
from farshore.audit.tables import Stamp, encode_rows
from farshore.errors import ObjectCorrupt
from farshore.format.names import hash_of
from farshore.limits import AUDIT_SEALS_UNNAMED_MAX
from farshore.stores.memory import MemoryStore, Shelf
from farshore.stores.wrappers.metered import MeteredStore
from farshore.trust import Judgment, TrustState
from tests.doubles.clock import FixedClock
from tests.doubles.signers import EVERY_RIGHT, Signers, chain_of, sealer
from tests.unit.audit.samples import REPOSITORY
from tests.unit.replicas.clocks import StillClock

MOMENT = datetime(2026, 11, 21, tzinfo=UTC)


@dataclass
class World:
    """One replica, and who is certified."""

    tmp_path: Path
    shelf: Shelf = field(default_factory=Shelf)
    signers: Signers = field(default_factory=lambda: Signers({1: EVERY_RIGHT, 2: frozenset({"backup"})}))
    clock: StillClock = field(default_factory=lambda: StillClock(MOMENT))

    def __post_init__(self) -> None:
        self.store = MeteredStore(MemoryStore(shelf=self.shelf, clock=FixedClock()))

    @property
    def at(self) -> TablesAt:
        return TablesAt(self.store, self.tmp_path / "cache", REPOSITORY, "vault", self.signers.authority)

    def record(self, row: AuditRow, key: int = 1, tail: int = 0) -> tuple[str, ...]:
        recorder = AuditRecorder(
            stores={"vault": self.store}, repository_id=REPOSITORY, sealer=sealer(key), chain_id=chain_of(key, tail),
            state_dir=self.tmp_path / f"state-{key}-{tail}", clock=self.clock,
        )  # fmt: skip
        recorder.add(row)
        self.clock.advance(1)
        return recorder.flush(row.run_id).objects

    def runs(self) -> QueryTable:
        return query(self.at, "SELECT run_id FROM runs ORDER BY run_id")

    def gets(self) -> int:
        return self.store.snapshot().requests.get("get", 0)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.record(_run("honest"))
    made.record(_run("theirs"), key=2)
    return made


def _run(run_id: str, operation: Operation = Operation.BACKUP) -> RunRow:
    return RunRow(
        run_id=run_id, operation=operation, state=RunResult.COMPLETED, started_utc=MOMENT, finished_utc=MOMENT
    )


def _planted(world: World) -> None:
    """Attack A7: a file, and no seal."""
    data = encode_rows("runs", [_run("lie")], Stamp(REPOSITORY, MOMENT))
    world.shelf.objects[names.file_name("runs", MOMENT.date(), "lie", data)] = (data, MOMENT)


def _sealed_by_nobody(world: World) -> None:
    world.record(_run("lie"), key=9)


def _of_another_operation(world: World) -> None:
    """A host that may back up says that it verified."""
    world.record(_run("lie", Operation.VERIFY), key=2)


def _after_the_revocation(world: World) -> None:
    place = max(one for name in world.shelf.objects if (one := names.parse_seal(name)) and one.chain == chain_of(2))
    world.signers.revoked[2] = {chain_of(2): (place.sequence, place.hash)}
    world.record(_run("lie"), key=2)


@pytest.mark.parametrize("attack", [_planted, _sealed_by_nobody, _of_another_operation, _after_the_revocation])
def test_rows_that_do_not_count_are_counted_and_not_used(world: World, attack: Callable[[World], None]) -> None:
    assert (world.runs().rows, world.runs().unused) == ([("honest",), ("theirs",)], 0)
    attack(world)
    for _ in range(2):
        found = world.runs()
        assert (found.rows, found.unused) == ([("honest",), ("theirs",)], 1)


@pytest.mark.parametrize(
    ("attack", "where", "what", "mutant"),
    [
        (_of_another_operation, chain, "may_claim", lambda *_: True),
        (_after_the_revocation, chain, "_reached", lambda seals, _: frozenset(seals)),
    ],
)
def test_a_mutant_lets_them_through(
    world: World, monkeypatch: pytest.MonkeyPatch, attack: Callable[[World], None], where: object, what: str,
    mutant: Callable[..., object],
) -> None:  # fmt: skip
    if what == "_reached":
        monkeypatch.setattr(TrustState, "judge_seal", lambda *_: Judgment.ACCEPTED)
    monkeypatch.setattr(where, what, mutant)
    attack(world)
    assert ("lie",) in world.runs().rows


def test_a_revocation_works_on_rows_that_are_here_already(world: World) -> None:
    """What verified is kept on this host, and what counts is not."""
    assert world.runs().rows == [("honest",), ("theirs",)]
    world.signers.revoked[2] = {}
    assert (world.runs().rows, world.runs().unused) == ([("honest",)], 1)
    world.signers.revoked.clear()
    assert world.runs().rows == [("honest",), ("theirs",)]


def test_a_cached_seal_is_not_read_again(world: World) -> None:
    world.runs()
    before = world.gets()
    world.runs()
    assert world.gets() == before


def test_seals_in_chains_of_nobody_are_not_read(world: World) -> None:
    for number in range(50):
        data = b"x" * number
        world.shelf.objects[names.seal_name("ab" * 16, number + 1, hash_of(data))] = (data, MOMENT)
    world.runs()
    before = world.gets()
    found = read_evidence(world.store, world.tmp_path / "fresh", REPOSITORY, world.signers.authority)
    assert len(found.refused) == 50
    assert world.gets() - before == 2, "the seals of the two who are certified"


def test_planted_seals_are_read_once_and_a_few_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "AUDIT_SEALS_UNNAMED_MAX", 4)
    assert AUDIT_SEALS_UNNAMED_MAX > 4
    for number in range(40):
        data = b"x" * number
        world.shelf.objects[names.seal_name(chain_of(1), 2 + number // 10, hash_of(data))] = (data, MOMENT)
    unread = []
    for _ in range(8):
        found = read_evidence(world.store, world.tmp_path / "cache", REPOSITORY, world.signers.authority)
        found.cache.save()
        unread.append(found.unread)
        assert len(found.counted.seals) == 2
    assert 0 < unread[0] < 40
    assert unread[-1] == 0
    before = world.gets()
    read_evidence(world.store, world.tmp_path / "cache", REPOSITORY, world.signers.authority)
    assert world.gets() == before


def test_a_damaged_seal_is_an_error_and_no_smaller_answer(world: World) -> None:
    name = next(name for name in world.shelf.objects if names.parse_seal(name))
    data, moment = world.shelf.objects[name]
    world.shelf.objects[name] = (data[:-2] + b"!\n", moment)
    with pytest.raises(ObjectCorrupt, match=name):
        world.runs()
    world.shelf.objects[name] = (data, moment)
    assert world.runs().rows == [("honest",), ("theirs",)], "nothing of it was remembered"


def test_a_file_that_its_signer_sealed_as_garbage_hinders_nobody(world: World) -> None:
    data = b"no rows at all"
    name = names.file_name("runs", MOMENT.date(), "garbage", data)
    world.shelf.objects[name] = (data, MOMENT)
    found = read_evidence(world.store, world.tmp_path / "cache", REPOSITORY, world.signers.authority)
    one = sealer(2)
    (last,) = [seal for seal in found.counted.seals.values() if seal.signer == one.key.signer_id]
    file = SealedFile(name, len(data), hash_of(data))
    unsigned = replace(last, sequence=2, previous=last.hash, files=(file,), covers=None, hash="", signer="")
    seal, stored = make_seal(unsigned, one.key, one.fingerprint)
    world.shelf.objects[seal.name] = (stored, MOMENT)
    assert (world.runs().rows, world.runs().unused) == ([("honest",), ("theirs",)], 1)

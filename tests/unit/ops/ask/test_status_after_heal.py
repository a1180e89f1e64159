"""Trial N9: what a heal or a repair proved counts in the status at once, and no more than that."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore.access.unlock import Need
from farshore.audit import names as audit_names
from farshore.format import names
from farshore.ops.ask.status import repository_status
from farshore.ops.verify.verify import verify_repository
from farshore.results import ReplicaStatus
from farshore.run import Run
from tests.unit.ops.engine import Engine
from tests.unit.ops.heal.healing_world import evidence, heal, healed_engine


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = Engine(tmp_path).initialize()
    healed_engine(engine)
    return engine


def status_of(engine: Engine, replica: str) -> ReplicaStatus:
    replicas = repository_status(engine.config, clock=engine.clock).replicas
    (found,) = [one for one in replicas if one.replica == replica]
    return found


def packs(engine: Engine, replica: str) -> list[str]:
    return sorted(engine.objects(replica, names.PACKS))


def verify(engine: Engine, percent: float = 100.0, *, repair: bool = False) -> None:
    engine.clock.advance(1)
    with engine.opened(Need.READ) as repository:
        verify_repository(repository, read_data_percent=percent, repair=repair, run=Run.start(engine.clock))


@pytest.mark.parametrize("damage", ["lost", "flipped", "cut"])
def test_damage_that_a_heal_mended_is_no_damage_any_more(engine: Engine, damage: str) -> None:
    for pack in packs(engine, "b")[:2]:
        if damage == "lost":
            engine.lose("b", pack)
        elif damage == "flipped":
            engine.flip("b", pack)
        else:
            engine.alter("b", pack, lambda data: data[:-1])
    verify(engine)
    assert status_of(engine, "b").last_check_clean is False
    heal(engine)
    healed = status_of(engine, "b")
    assert (healed.last_check_clean, healed.last_check_mended) == (True, True)
    verify(engine)
    assert (status_of(engine, "b").last_check_clean, status_of(engine, "b").last_check_mended) == (True, False)


def test_damage_that_verify_repaired_is_no_damage_any_more(engine: Engine) -> None:
    engine.flip("b", packs(engine, "b")[0])
    verify(engine, repair=True)
    assert status_of(engine, "b").last_check_clean is True


def test_what_was_not_mended_stays_damage(engine: Engine) -> None:
    first, second, *_ = packs(engine, "b")
    engine.flip("b", first)
    for replica in "abc":
        engine.flip(replica, second)
    verify(engine)
    heal(engine)
    assert status_of(engine, "b").last_check_clean is False
    assert status_of(engine, "a").last_check_clean is False


def test_what_was_mended_and_breaks_again_is_damage_again(engine: Engine) -> None:
    pack = packs(engine, "b")[0]
    engine.flip("b", pack)
    verify(engine)
    heal(engine)
    engine.flip("b", pack)
    verify(engine)
    assert status_of(engine, "b").last_check_clean is False


def test_what_a_heal_reads_and_finds_whole_is_no_damage_any_more(engine: Engine) -> None:
    pack = packs(engine, "b")[0]
    good = engine.objects("b", names.PACKS)[pack]
    engine.flip("b", pack)
    verify(engine)
    engine.alter("b", pack, lambda _: good)  # somebody mended it by hand
    assert status_of(engine, "b").last_check_clean is False
    assert heal(engine).in_sync
    assert status_of(engine, "b").last_check_clean is True


def test_a_heal_without_a_key_keeps_no_row_and_clears_nothing(engine: Engine) -> None:
    engine.flip("b", packs(engine, "b")[0])
    verify(engine)
    heal(engine, keyless=True)
    assert status_of(engine, "b").last_check_clean is False
    verify(engine)
    assert status_of(engine, "b").last_check_clean is True


@pytest.mark.parametrize("mending", ["heal", "repair"])
def test_evidence_that_two_runs_kept_elsewhere_and_was_brought_is_no_damage_any_more(
    engine: Engine, mending: str
) -> None:
    """Runs of a configuration without the replica, then one with it: its chain has a gap, which is no object's name."""
    url = engine.urls.pop("b")
    verify(engine)
    verify(engine)
    engine.urls["b"] = url
    lacking = evidence(engine, "a").keys() - evidence(engine, "b").keys()
    verify(engine, 0)
    assert status_of(engine, "b").last_check_clean is True, "what is missing at the end of a chain may still come"
    verify(engine, repair=mending == "repair")
    if mending == "heal":
        assert status_of(engine, "b").last_check_clean is False
        assert {one.object for one in heal(engine).repairs} == lacking
    assert status_of(engine, "b").last_check_clean is True
    left = evidence(engine, "a").items() - evidence(engine, "b").items()
    verdicts = {name for name, _ in left if name.startswith(names.VERDICTS)}  # nothing promises them: left to a heal
    assert {name for name, _ in left} == verdicts
    assert mending == "repair" or not verdicts


@pytest.mark.parametrize("mending", ["heal", "repair"])
def test_a_gap_that_no_replica_can_fill_stays_damage(engine: Engine, mending: str) -> None:
    first, second, *_ = sorted(engine.objects("a", audit_names.SEALS))
    for replica in "abc":
        engine.lose(replica, second)
    engine.lose("b", first)
    verify(engine, repair=mending == "repair")
    heal(engine)
    assert status_of(engine, "b").last_check_clean is False
    assert first in engine.objects("b")


@pytest.mark.parametrize("kind", ["seal", "file"])
@pytest.mark.parametrize("damage", ["lost", "flipped", "cut"])
@pytest.mark.parametrize("mending", ["heal", "repair"])
def test_every_audit_object_that_was_mended_is_no_damage_any_more(
    engine: Engine, kind: str, damage: str, mending: str
) -> None:
    listed = engine.objects("b", audit_names.AUDIT)
    name = next(one for one in sorted(listed) if (audit_names.parse_seal(one) is not None) == (kind == "seal"))
    if damage == "lost":
        engine.lose("b", name)
    elif damage == "flipped":
        engine.flip("b", name)
    else:
        engine.alter("b", name, lambda data: data[:-1])
    verify(engine, repair=mending == "repair")
    if mending == "heal":
        assert status_of(engine, "b").last_check_clean is False
        heal(engine)
    assert status_of(engine, "b").last_check_clean is True
    assert engine.objects("b")[name] == engine.objects("a")[name]


def test_a_heal_by_a_host_that_may_only_add_backups_signs_as_the_reader_that_it_has(engine: Engine) -> None:
    engine.enroll()
    engine.lose("b", packs(engine, "b")[0])
    verify(engine)
    heal(engine)
    assert status_of(engine, "b").last_check_clean is True


@pytest.mark.parametrize("prefix", [names.SLOTS, names.LOG])
@pytest.mark.parametrize("mending", ["heal", "repair"])
def test_a_replica_that_lost_every_slot_or_the_owner_log_and_got_them_back_is_clean(
    engine: Engine, prefix: str, mending: str
) -> None:
    for name in engine.objects("b", prefix):
        engine.lose("b", name)
    engine.clock.advance(1)
    with engine.opened(Need.WRITE) as repository:
        checked = verify_repository(repository, repair=mending == "repair", run=Run.start(engine.clock))
    assert {one.name for one in checked.damaged} == engine.objects("a", prefix).keys()
    if mending == "heal":
        heal(engine)
    assert status_of(engine, "b").last_check_clean is True
    assert engine.objects("b", prefix) == engine.objects("a", prefix)

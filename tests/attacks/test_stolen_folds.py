"""Folds of a thief: none by a writer, none of seals that no daily seal names, and none for which rows are deleted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore.audit import chain, fold_sweep, folds
from tests.attacks.world import Victim, attack
from tests.benchmarks.years import set_clock_stores
from tests.property.living_tree import ShiftedClock

DAY_S = 86400.0
QUERY = "SELECT count(*) AS n FROM runs WHERE operation = 'backup'"


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    """Three backups of one day, and one of another month, whose daily seal names the seals of the first ones."""
    with set_clock_stores():
        yield _victim(tmp_path)


def _victim(tmp_path: Path) -> Victim:
    victim = Victim(tmp_path / "victim")
    clock = ShiftedClock()
    victim.clock = clock
    for content in (b"one", b"two", b"three"):
        victim.write(content)
        victim.backup()
    victim.enroll("maintainer", "main", "--role", "maintainer", "--sources", "home")
    victim.enroll("writer", "main", "--sources", "home")
    clock.advance(40 * DAY_S)
    victim.backup()
    return victim


def made(victim: Victim, what: str, by: str = "maintainer") -> list[str]:
    return attack(
        "stolen_folds.py", what, victim.replica("one"), victim.root / f"{by}.credential", victim.now()
    ).split()


def counted(victim: Victim, replica: str = "one") -> int:
    (row,) = victim.good("sql", "--replica", replica, QUERY).of("row")
    return int(row["row"]["n"])


def test_a_writer_folds_nothing(victim: Victim) -> None:
    made(victim, "rows", "writer")
    assert counted(victim) == 4


def test_without_the_right_a_writer_would(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    made(victim, "rows", "writer")
    monkeypatch.setattr(folds, "may_fold", lambda *_: True)
    monkeypatch.setattr(chain, "may_fold", lambda *_: True)
    (row,) = victim.good("sql", "--replica", "one", "SELECT max(started_utc) > now() AS late FROM runs").of("row")
    assert row["row"]["late"]


@pytest.mark.parametrize("what", ["invented", "hidden"])
def test_a_seal_that_no_daily_seal_names_is_not_folded(victim: Victim, what: str) -> None:
    if what == "hidden":
        cut(victim)
    (name,) = [one for one in made(victim, what) if "_seals" in one]
    refused = victim.run("sql", "--replica", "one", QUERY)
    assert refused.code == 60
    assert name in refused.said
    checked = victim.run("verify")
    assert checked.code == 62
    assert name in checked.said or what == "hidden"
    victim.good("key", "revoke", "maintainer", "--reason", "stolen", "--yes")
    assert counted(victim) == 4 - (what == "hidden"), "once it is revoked its fold ends no question"


def cut(victim: Victim) -> None:
    """Lose a seal of the first day."""
    for replica in ("one", "two"):
        seals = sorted((victim.replica(replica) / "audit/_seals").rglob("000000000003-*.json"))
        assert seals
        seals[0].unlink()


def test_without_the_check_the_cut_would_be_hidden(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    cut(victim)
    made(victim, "hidden")
    monkeypatch.setattr(folds._Known, "names", lambda *_: True)  # noqa: SLF001
    assert victim.run("sql", "--replica", "one", QUERY).code == 0


def test_nothing_is_deleted_for_a_fold_without_its_rows_and_a_revocation_brings_them_back(victim: Victim) -> None:
    before = victim.stored()
    made(victim, "rows")
    folded = victim.run("audit", "fold", "--grace", "0")
    assert folded.code == 3
    assert "does not have its rows" in folded.said
    victim.stands({one: digest for one, digest in before.items() if one[1].startswith("audit/")})
    victim.good("key", "revoke", "maintainer", "--reason", "stolen", "--yes")
    assert counted(victim) == 4


def test_without_the_comparison_they_would_go(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    before = victim.stored()
    made(victim, "rows")
    monkeypatch.setattr(fold_sweep._Sweep, "_unproven", lambda *_: {})  # noqa: SLF001
    victim.run("audit", "fold", "--grace", "0")
    assert any(one not in victim.stored() for one in before if one[1].startswith("audit/runs"))

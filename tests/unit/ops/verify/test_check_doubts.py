"""Commits that no daily seal covers after 30 days, and runs sealed to a retired recipient, are found."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from farshore import limits
from farshore.access.unlock import Need
from farshore.audit import recorder
from farshore.audit.coverage import COMMIT_UNCOVERED, uncovered_warning
from farshore.cli.status_trust import trust_errors
from farshore.errors import RecipientRetired
from farshore.ops.ask.status import repository_status
from farshore.ops.setup.rekey import Rotation
from farshore.ops.verify.outcomes import check_errors
from farshore.trust import Recipient
from farshore.trust.log_entry import LogHead
from farshore.trust.recipients import sealed_to_wrong
from tests.doubles.commits import signed_commit
from tests.unit.ops.engine import Engine
from tests.unit.ops.setup.test_rekey import turn
from tests.unit.ops.tree_source import TreeSource, one_file

DAY_S = 86_400
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "engine").initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    return one_file(engine.clock, b"content" * 100)


def found(engine: Engine) -> list[tuple[str, str]]:
    """The doubts of a verify."""
    return [(one.code, one.snapshot_id) for one in engine.verify(percent=0).doubts]


def shown(engine: Engine) -> list[str]:
    """The snapshots that a status doubts, at a machine that holds no key and seals nothing."""
    return [one.snapshot_id for one in repository_status(engine.config, clock=engine.clock).trust.doubts]


def put(engine: Engine, number: int, *, days_ago: float = 0) -> str:
    """Put a commit of this host that no run of its own counted: it died right before its end, or somebody forged it."""
    with engine.opened(Need.WRITE) as repository:
        moment = repository.clock.now_utc() - timedelta(days=days_ago)
        commit, stored = signed_commit(repository, number, committed_utc=moment, started_utc=moment, sequence=number)
        for replica in repository.replicas.values():
            replica.store.put(commit.name, stored)
    return commit.snapshot


def test_the_second_snapshot_of_a_days_last_run_is_found_after_30_days_and_covered_by_its_host(
    engine: Engine, source: TreeSource
) -> None:
    both = [engine.backup(source).snapshot_id for _ in range(2)]  # the daily seal of that day is that of the init
    assert shown(engine) == []
    engine.clock.advance(limits.COVERED_WITHIN_DAYS * DAY_S - 60)
    assert shown(engine) == []
    engine.clock.advance(120)
    assert shown(engine) == shown(engine.at("monitor")) == both
    status = repository_status(engine.config, clock=engine.clock)
    assert trust_errors(status.trust) == []
    assert "(1 more snapshot likewise)" in uncovered_warning(status.trust.doubts)
    result = engine.verify(percent=0)
    assert [(one.code, one.snapshot_id) for one in result.doubts] == [("commit-uncovered", one) for one in both]
    assert check_errors(result) == []
    assert both[0] in uncovered_warning(result.doubts)
    assert result.clean, "it is a warning"
    assert found(engine) == [], "the verify sealed, and so covered it"
    assert shown(engine) == []


def test_a_repository_that_works_every_day_shows_nothing(engine: Engine, source: TreeSource) -> None:
    for _ in range(4):
        engine.backup(source)
        engine.backup(source)
        engine.clock.advance(20 * DAY_S)
    assert shown(engine) == []
    assert found(engine) == []


@pytest.mark.parametrize("defended", [True, False])
def test_a_commit_of_a_run_that_died_is_covered_by_the_next_daily_seal(
    engine: Engine, source: TreeSource, defended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.backup(source)
    died = put(engine, 7)
    if not defended:
        monkeypatch.setattr(recorder, "left_out", lambda *_: set())
    engine.clock.advance(DAY_S)
    engine.backup(source)
    engine.clock.advance(limits.COVERED_WITHIN_DAYS * DAY_S)
    assert shown(engine) == ([] if defended else [died])


def test_what_a_seal_covered_is_not_covered_each_day_anew(engine: Engine, source: TreeSource) -> None:
    for _ in range(4):
        engine.backup(source)
        engine.clock.advance(DAY_S)
    with engine.opened() as repository:
        assert repository.memory is not None
        (chain,) = list(repository.memory.chains)
    seals = engine.objects("a", f"audit/_seals/{chain}/")
    commits = [one.commit.hash.encode() for one in engine.snapshots()]
    for commit in commits:
        covering = [data for data in seals.values() if commit in data.partition(b'"covers":')[2].partition(b"]")[0]]
        assert len(covering) == 1


def test_a_commit_dated_long_ago_is_found_at_once(engine: Engine, source: TreeSource) -> None:
    """A forger of one signature dates it where nobody looks; the store is no younger than that says."""
    engine.backup(source)
    forged = put(engine, 7, days_ago=31)
    assert found(engine) == [("commit-uncovered", forged)]


def test_nothing_is_said_of_coverage_while_a_replica_is_away(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    engine.backup(source)
    engine.clock.advance((limits.COVERED_WITHIN_DAYS + 1) * DAY_S)
    with engine.away("c"):
        assert shown(engine) == []
        assert [one for one in engine.verify(percent=0).doubts if one.code == COMMIT_UNCOVERED] == []


@pytest.mark.parametrize("defended", [True, False])
def test_a_run_sealed_to_a_retired_recipient_is_found(
    engine: Engine, source: TreeSource, defended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its host was shown the log of before the rotation, and had nothing that remembers it."""
    before = engine.backup(source).snapshot_id
    old = {replica: engine.objects(replica) for replica in engine.places}
    engine.clock.advance(3600)
    turn(engine, Rotation(recipient=True))
    after = engine.backup(source).snapshot_id
    rotated = {replica: dict(engine.shelf(replica).objects) for replica in engine.places}
    assert found(engine) == [], "one of before the rotation stays as it is"
    engine.clock.advance(3600)
    for replica in engine.places:
        for name in set(engine.objects(replica, "keys/")) - set(old[replica]):
            engine.lose(replica, name)
    victim = engine.at("victim")
    victim.repository_config = replace(engine.repository_config)
    shown_old = victim.backup(source).snapshot_id
    for replica in engine.places:
        engine.shelf(replica).objects.update(rotated[replica])
    if not defended:
        monkeypatch.setattr("farshore.ops.verify.check_doubts.sealed_to_wrong", lambda *_, **__: "")
    assert found(engine) == ([("recipient-retired", shown_old)] if defended else [])
    assert {before, after, shown_old} == {one.snapshot_id for one in engine.snapshots()}


def test_when_a_recipient_is_wrong() -> None:
    first, second = (
        Recipient(bytes([number]) * 1216, 0, LogHead(number, f"{number:064x}"), moment)
        for number, moment in ((1, MOMENT), (5, MOMENT + timedelta(days=9)))
    )
    both = [first, second]

    def wrong(chosen: str, log_number: int, days: float) -> str:
        return sealed_to_wrong(both, chosen, log_number=log_number, started_utc=MOMENT + timedelta(days=days))

    assert wrong(second.id, 5, 10) == wrong(second.id, 1, 1) == wrong(first.id, 4, 9) == ""
    assert "entry 5 of the owner log retired" in wrong(first.id, 5, 1), "its maker knew"
    assert "entry 5 of the owner log retired" in wrong(first.id, 4, 9.01), "it began later"
    assert wrong("ab" * 16, 1, 1) == "it is sealed to a recipient that the owner log never had"
    assert RecipientRetired.exit_code == 87

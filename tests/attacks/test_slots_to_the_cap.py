"""A13: slots planted up to the cap of those that are read, and far beyond it, at the only replica that is left.

And entries of the owner log, likewise.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from farshore import limits, trust
from farshore.access.unlock import Need
from farshore.errors import FarshoreError
from farshore.format import names
from farshore.replicas import owner_log
from farshore.stores.base import ObjectInfo
from farshore.stores.directory import DirectoryStore
from tests.attacks.world import Victim, attack

FEW, MANY = 300, 10_000
ROUNDS = 7


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    return Victim(tmp_path / "victim")


def fastest_open_s(victim: Victim) -> float:
    """Return how long the fastest of several openings of one replica takes."""
    times = []
    for _ in range(ROUNDS):
        started_s = time.perf_counter()
        with victim.opened(only="one"):
            times.append(time.perf_counter() - started_s)
    return min(times)


@pytest.mark.parametrize("count", [FEW, MANY])
def test_slots_planted_beyond_the_cap_neither_hide_the_genuine_ones_nor_cost_time(
    victim: Victim, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert count > limits.SLOTS_READ_MAX
    first = victim.backup()
    before_s = fastest_open_s(victim)
    attack("a13_slots_to_the_cap.py", victim.replica("one"), count)

    assert victim.restores(first, only="one")
    assert fastest_open_s(victim) < 2 * before_s
    listed: list[str] = []
    original = DirectoryStore.list

    def noted(store: DirectoryStore, prefix: str) -> Iterator[ObjectInfo]:
        listed.append(prefix)
        return original(store, prefix)

    monkeypatch.setattr(DirectoryStore, "list", noted)
    with victim.opened(only="one"):
        assert names.LOG in listed
        assert names.SLOTS not in listed, "planted names are not even read"
    with victim.opened(Need.OWNER) as repository:  # an identity that owns the repository goes on administering it
        assert repository.writing_keys().owner_key is not None


def test_without_the_names_in_the_log_the_genuine_slots_are_hidden(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim.backup()
    attack("a13_slots_to_the_cap.py", victim.replica("one"), FEW)
    monkeypatch.setattr(trust, "_slots", lambda _: ())
    with pytest.raises(FarshoreError, match="opens no slot"):
        victim.snapshots(only="one")


def test_few_planted_slots_hide_nothing_where_the_log_names_none(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slot that no entry names yet, because its entry could not be written, opens within the bound of a listing."""
    first = victim.backup()
    attack("a13_slots_to_the_cap.py", victim.replica("one"), limits.SLOTS_READ_MAX - 10)
    monkeypatch.setattr(trust, "_slots", lambda _: ())
    assert victim.restores(first, only="one")


def test_planted_entries_of_the_log_hide_it_from_no_host_that_has_seen_it(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = victim.backup()
    (entry,) = [path.name for path in (victim.replica("one") / names.LOG).iterdir()]
    planted = 0
    while planted < 2 * limits.LOG_ENTRIES_OF_NUMBER_MAX:
        data = os.urandom(40)
        name = f"00000001-{names.hash_of(data)}"
        if name < entry:
            (victim.replica("one") / names.LOG / name).write_bytes(data)
            planted += 1
    assert victim.restores(first, only="one")
    monkeypatch.setattr(owner_log, "_read_back", lambda *_: None)
    with pytest.raises(FarshoreError, match="entry 1 of the owner log"):
        victim.snapshots(only="one")

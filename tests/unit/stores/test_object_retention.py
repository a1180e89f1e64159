"""How long objects are locked: ends lie on a grid, late enough and not much later."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from farshore.format import names
from farshore.stores.object_retention import LockMode, LockRule, ObjectRetention, RetentionRule, grid_end

START = datetime(2026, 3, 1, 2, 30, 17, 250_000, tzinfo=UTC)
DAY = timedelta(days=1)
RULE = LockRule(LockMode.GOVERNANCE, 30 * DAY, DAY)


def pack_names(count: int) -> list[str]:
    source = random.Random(5)
    return [names.pack(source.randbytes(32).hex()) for _ in range(count)]


def test_a_new_lock_is_long_enough_and_at_most_a_stride_longer() -> None:
    for name in pack_names(2000):
        end = RULE.new_lock(name, START).until_utc
        assert START + 31 * DAY <= end < START + 31 * DAY + timedelta(seconds=RULE.stride_s + 1)
        assert end.microsecond == 0


def test_an_object_needs_a_longer_lock_once_in_a_stride_spread_over_its_nights() -> None:
    """Thirty days of locks: each night a fifteenth of the objects, and not all of them on one."""
    extended = dict.fromkeys(range(30), 0)
    ends = {name: RULE.new_lock(name, START).until_utc for name in pack_names(3000)}
    for night in extended:
        now_utc = START + night * DAY
        for name, end in ends.items():
            if end < now_utc + RULE.period:
                ends[name] = RULE.new_lock(name, now_utc).until_utc
                extended[night] += 1
    assert sum(extended.values()) < 2.2 * 3000
    assert max(extended.values()) < 1.4 * 3000 / 15


def test_the_grid_is_known_without_asking() -> None:
    """What was made sure of up to a moment ends on the grid, so the end is at least the next point of it."""
    for name in pack_names(200):
        end = RULE.new_lock(name, START).until_utc
        assert grid_end(name, START + RULE.period, RULE.stride_s) <= end
        assert grid_end(name, end, RULE.stride_s) == end


def test_short_periods_have_a_grid_too() -> None:
    rule = LockRule(LockMode.GOVERNANCE, timedelta(seconds=1))
    end = rule.new_lock("packs/x", START).until_utc
    assert START + timedelta(seconds=1) <= end <= START + timedelta(seconds=3)


def test_only_packs_go_to_a_storage_class_and_leases_are_not_locked() -> None:
    rule = RetentionRule(RULE, "STANDARD_IA")
    pack = names.pack("ab" * 32)
    assert rule.retention_of(pack, START) == ObjectRetention(RULE.new_lock(pack, START), "STANDARD_IA")
    assert rule.retention_of(names.HEADER, START) == ObjectRetention(RULE.new_lock(names.HEADER, START))
    assert rule.retention_of(names.lease_beat("ab" * 16, 0), START) == ObjectRetention()
    assert RetentionRule().retention_of(pack, START) == ObjectRetention()

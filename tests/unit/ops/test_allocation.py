"""Setting up a process for long work changes what it should and can be done again."""

from __future__ import annotations

import gc

from farshore.ops.allocation import settle_allocation


def test_the_cycle_collector_looks_less_often_and_is_never_made_to_look_more_often() -> None:
    before = gc.get_threshold()
    try:
        gc.set_threshold(700, 10, 10)
        settle_allocation()
        settle_allocation()
        assert gc.get_threshold()[0] > 700
        gc.set_threshold(1_000_000, 10, 10)
        settle_allocation()
        assert gc.get_threshold()[0] == 1_000_000
        gc.disable()
        gc.set_threshold(700, 10, 10)
        settle_allocation()
        assert gc.get_threshold()[0] == 700
    finally:
        gc.enable()
        gc.set_threshold(*before)

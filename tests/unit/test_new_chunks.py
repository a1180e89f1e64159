"""The chunks a run has made are known, each once, however often the newest are folded into tables."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farshore.index import NewChunks


@given(st.lists(st.lists(st.integers(0, 300), max_size=40), max_size=30), st.integers(1, 50))
def test_it_holds_what_a_set_holds(batches: list[list[int]], recent_max: int) -> None:
    made, expected = NewChunks(recent_max=recent_max, joined_max=4 * recent_max), set()
    for batch in batches:
        ids = [number.to_bytes(32, "little") for number in batch]
        made.fold()
        assert made.known(ids).tolist() == [one in expected for one in ids]
        for one, known in zip(ids, made.known(ids), strict=True):
            if not known:
                assert made.add(one) == (one not in expected)
            expected.add(one)
    assert len(made) == len(expected)


@pytest.mark.parametrize("count", [1, 10, 1000])
def test_tables_stay_few(count: int) -> None:
    made, generator = NewChunks(recent_max=8), random.Random(count)
    ids = [generator.randbytes(32) for _ in range(count)]
    for one in ids:
        made.fold()
        assert made.add(one)
    assert len(made) == count
    assert made.known(ids).all()
    assert not made.known([generator.randbytes(32)]).any()
    assert len(made._tables) <= 2 + count.bit_length()  # noqa: SLF001 - what the look-up costs


def test_no_table_grows_past_what_may_be_joined() -> None:
    made = NewChunks(recent_max=8, joined_max=64)
    for number in range(1000):
        made.fold()
        made.add(number.to_bytes(32))
    sizes = [len(table) for table in made._tables]  # noqa: SLF001 - what joining costs
    assert max(sizes) == 64
    assert len(sizes) <= 1000 // 64 + 4
    assert made.known([number.to_bytes(32) for number in range(1001)]).tolist() == [True] * 1000 + [False]

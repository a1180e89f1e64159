from __future__ import annotations

import random
from pathlib import Path

import pytest

from farshore import limits
from farshore.format.page_maps import PageRow
from farshore.ops.backup.pages.page_rows import RowSpool


def rows(count: int) -> list[PageRow]:
    """Rows of about a mebibyte, every third of them as in a difference."""
    chance = random.Random(count)
    return [
        PageRow(
            b"db", 4096, number * 70_000, chance.randbytes(limits.MIB - 16 * (number % 5)), 2, chance.randbytes(9000)
        )
        if number % 3
        else PageRow(b"db", 4096, number * 70_000, chance.randbytes(limits.MIB))
        for number in range(count)
    ]


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 40])
@pytest.mark.parametrize("on_disk", [True, False], ids=["disk", "memory"])
def test_rows_come_back_in_order_and_as_often_as_asked(tmp_path: Path, count: int, on_disk: bool) -> None:
    made = rows(count)
    spool = RowSpool(tmp_path if on_disk else None)
    for row in made:
        spool.add(row)
    assert len(spool) == count
    assert list(spool) == made
    assert list(spool) == made
    assert list(tmp_path.iterdir()) == []


def test_where_the_disk_takes_nothing_rows_stay_in_memory(tmp_path: Path) -> None:
    made = rows(20)
    spool = RowSpool(tmp_path / "is not there")
    for row in made:
        spool.add(row)
    assert list(spool) == made

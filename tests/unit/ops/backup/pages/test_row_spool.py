from __future__ import annotations

import random
from pathlib import Path

import pytest

from farshore.format.page_maps import SLOT_PAGES, PageRow, absent, key_of
from farshore.ops.backup.pages.page_rows import RowSpool


def rows(count: int) -> list[PageRow]:
    """Rows of about 64 KiB, every third of them with what changed and what is gone, some with nothing."""
    chance = random.Random(count)
    made = []
    for number in range(count):
        path, slot = b"db/%d" % chance.randrange(3), number * 7_000_000_000 + 1
        if number % 3:
            hashes, positions = chance.randbytes(16 * 900), chance.randbytes(1800)
            made.append(PageRow(path, slot, 4096, False, positions, hashes, chance.randbytes(90)))
        elif number % 2:
            made.append(absent(path, slot))
        else:
            made.append(PageRow(path, slot, 512, True, b"", chance.randbytes(16 * SLOT_PAGES)))
    return made


@pytest.mark.parametrize("count", [0, 1, 150, 700, 1300])
@pytest.mark.parametrize("on_disk", [True, False], ids=["disk", "memory"])
def test_rows_are_read_in_order_and_as_often_as_asked(tmp_path: Path, count: int, on_disk: bool) -> None:
    made = rows(count)
    spool = RowSpool(tmp_path if on_disk else None)
    for row in made:
        spool.add(row)
    assert len(spool) == count
    assert list(spool) == made
    assert list(spool) == made
    assert list(spool.in_order()) == sorted(made, key=key_of)
    assert list(tmp_path.iterdir()) == []


def test_where_the_disk_takes_nothing_rows_stay_in_memory(tmp_path: Path) -> None:
    made = rows(700)
    spool = RowSpool(tmp_path / "is not there")
    for row in made:
        spool.add(row)
    assert list(spool) == made
    assert list(spool.in_order()) == sorted(made, key=key_of)

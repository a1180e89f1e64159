from __future__ import annotations

import random

import pyarrow as pa
import pytest

from farshore.format.assembling import Assembly

SCHEMA = pa.schema([pa.field("name", pa.binary()), pa.field("pairs", pa.list_(pa.struct([pa.field("a", pa.int64())])))])


def table(first: int, count: int) -> pa.Table:
    numbers = range(first, first + count)
    columns = [[b"%d" % number for number in numbers], [[{"a": number}] * (number % 3) for number in numbers]]
    return pa.table([pa.array(column, item.type) for column, item in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)


@pytest.mark.parametrize("seed", range(20))
def test_rows_come_out_in_the_order_they_were_added(seed: int) -> None:
    """From many tables in turn, some of them slices of others, taken in parts of any size."""
    chance = random.Random(seed)
    tables = [table(1000 * at, 40) for at in range(8)]
    tables += [one.slice(5, 20) for one in tables[:3]]
    assembly = Assembly(SCHEMA)
    expected: list[object] = []
    found: list[object] = []
    for _ in range(200):
        one = chance.choice(tables[: chance.choice([1, 2, len(tables)])])
        start = chance.randrange(one.num_rows)
        count = chance.randrange(one.num_rows - start + 1)
        assembly.add(one, start, count)
        expected += one.slice(start, count).to_pylist()
        assert assembly.pending == len(expected) - len(found)
        if chance.random() < 0.1:
            found += assembly.pop(chance.randrange(assembly.pending + 1)).to_pylist()
    found += assembly.pop(assembly.pending).to_pylist()
    assert found == expected
    assert assembly.pending == 0
    assert assembly.pop(5).num_rows == 0


def test_few_tables_are_held() -> None:
    """One row in a hundred of a thousand row groups must not keep them all."""
    assembly = Assembly(SCHEMA)
    for at in range(1000):
        assembly.add(table(at, 100), 7, 1)
    assert len(vars(assembly)["_tables"]) <= 4
    assert assembly.pop(1000).column("name").to_pylist() == [b"%d" % (at + 7) for at in range(1000)]

from __future__ import annotations

import numpy as np

from farshore.catalog.listed_packs import ListedPacks
from farshore.catalog.listings import PackListing
from farshore.index import ABSENT


def pack_id(number: int) -> str:
    return f"{number:064x}"


def pack_listing(sizes: dict[int, int]) -> PackListing:
    ids = b"".join(bytes.fromhex(pack_id(number)) for number in sizes)
    return PackListing(np.frombuffer(ids, "V32"), np.array(list(sizes.values()), np.int64), {})


def test_packs_of_all_replicas_are_joined() -> None:
    listed = ListedPacks({"a": pack_listing({1: 10, 2: 20}), "b": pack_listing({}), "c": pack_listing({3: 30, 2: 21})})
    assert len(listed) == 3
    rows = listed.find([pack_id(number) for number in (3, 2, 1, 4)])
    assert rows[-1] == ABSENT
    assert [listed.pack_id(row) for row in rows[:3]] == [pack_id(number) for number in (3, 2, 1)]
    assert [listed.holders(row) for row in rows[:3]] == [["c"], ["a", "c"], ["a"]]
    assert [listed.bytes_at("c", row) for row in rows[:3]] == [30, 21, ABSENT]
    assert listed.lists(rows[:3]).tolist() == [True, True, True]
    assert listed.lists(rows[:3], "a").tolist() == [False, True, True]


def test_a_pack_listed_with_another_size_is_as_if_it_were_missing_there() -> None:
    listed = ListedPacks({"a": pack_listing({1: 10, 2: 20}), "c": pack_listing({1: 11, 2: 20})})
    one, two = listed.find([pack_id(1), pack_id(2)])
    listed.drop_other_sizes(np.array([one, two]), np.array([10, 20]))
    assert (listed.holders(one), listed.holders(two)) == (["a"], ["a", "c"])
    listed.drop_other_sizes(np.array([one]), np.array([12]))
    assert listed.holders(one) == []
    assert listed.lists(np.array([one, two])).tolist() == [False, True]


def test_nothing_listed() -> None:
    for listed in (ListedPacks({}), ListedPacks({"a": pack_listing({})})):
        assert len(listed) == 0
        assert listed.find([pack_id(1)]).tolist() == [ABSENT]
        assert listed.lists(np.zeros(0, np.int64)).tolist() == []

"""What heal plans from listings: nothing but values go in."""

from __future__ import annotations

import numpy as np

from farshore.catalog.listings import PackListing
from farshore.format import names
from farshore.format.footers import PACK_ID_DTYPE
from farshore.format.object_kinds import Kind
from farshore.ops.heal.plan import HealPlan, Wanted, Why, plan_heal
from farshore.repair.object_kinds import kind_of
from farshore.repair.replica_listing import Expected, Listing, Union

SOURCE, SNAPSHOT = "1" * 32, "2" * 32
COMMIT = names.commit(SOURCE, SNAPSHOT, "4" * 64)
MANIFEST = names.run("5" * 64)
FRAGMENT = names.fragment("3" * 64)
SPREAD = frozenset({COMMIT, MANIFEST})


def pack(digit: str) -> str:
    return names.pack(digit * 64)


def listing(objects: dict[str, int], foreign: tuple[str, ...] = ()) -> Listing:
    packs = {name.rpartition("/")[2]: size for name, size in objects.items() if kind_of(name) is Kind.PACK}
    ids = np.frombuffer(bytes.fromhex("".join(packs)), PACK_ID_DTYPE)
    others = {name: size for name, size in objects.items() if kind_of(name) is not Kind.PACK}
    return Listing(PackListing(ids, np.array(list(packs.values()), np.int64), {}), others, list(foreign), len(foreign))


def plan(
    held: dict[str, dict[str, int]], expected: Expected | None = None, *,
    known_damage: dict[str, set[str]] | None = None, read_data: bool = False,
) -> HealPlan:  # fmt: skip
    listings = {name: listing(objects) for name, objects in held.items()}
    return plan_heal(
        listings, Union(listings), expected or Expected(parts=SPREAD), targets=held, known_damage=known_damage or {},
        read_data=read_data,
    )  # fmt: skip


def wanted(made: HealPlan, replica: str) -> list[Wanted]:
    return [one for kind in Kind for one in made.replicas[replica].stages[kind]]


def test_what_others_list_is_wanted_in_the_order_in_which_it_is_put() -> None:
    full = {COMMIT: 300, MANIFEST: 200, FRAGMENT: 100, pack("b"): 20, pack("a"): 10, names.HEADER: 5}
    made = plan({"one": full, "two": {names.HEADER: 5}})
    assert wanted(made, "one") == []
    assert [(one.name, one.size, one.why) for one in wanted(made, "two")] == [
        (pack("a"), 10, Why.MISSING),
        (pack("b"), 20, Why.MISSING),
        (FRAGMENT, 100, Why.MISSING),
        (MANIFEST, 200, Why.MISSING),
        (COMMIT, 300, Why.MISSING),
    ]
    assert (made.replicas["two"].missing, made.replicas["two"].bytes_missing) == (5, 630)


def test_of_sizes_that_differ_all_are_looked_at_where_none_is_known_to_be_right() -> None:
    held = {"one": {pack("a"): 10}, "two": {pack("a"): 10}, "three": {pack("a"): 9}}
    for replica in held:
        assert wanted(plan(held), replica) == [Wanted(pack("a"), 0, Why.SIZE)]


def test_of_sizes_that_differ_the_wrong_one_is_looked_at_where_the_right_one_is_known() -> None:
    held = {"one": {pack("a"): 10}, "two": {pack("a"): 9}}
    made = plan(held, Expected(sizes={pack("a"): 10}))
    assert wanted(made, "one") == []
    assert wanted(made, "two") == [Wanted(pack("a"), 10, Why.SIZE)]
    alike = plan({"one": {pack("a"): 9}, "two": {pack("a"): 9}}, Expected(sizes={pack("a"): 10}))
    assert wanted(alike, "one") == wanted(alike, "two") == [Wanted(pack("a"), 10, Why.SIZE)]


def test_what_a_snapshot_needs_and_nobody_lists_is_wanted_everywhere() -> None:
    made = plan({"one": {}, "two": {}}, Expected(lost={pack("a"): 10}))
    assert wanted(made, "one") == wanted(made, "two") == [Wanted(pack("a"), 10, Why.MISSING)]


def test_parts_of_what_never_committed_stay_where_they_are() -> None:
    made = plan({"one": {MANIFEST: 200}, "two": {}}, Expected(parts=frozenset()), read_data=True)
    assert wanted(made, "one") == wanted(made, "two") == []


def test_what_was_reported_is_looked_at_where_it_is_listed() -> None:
    made = plan(
        {"one": {pack("a"): 10}, "two": {pack("a"): 10}}, known_damage={"one": {pack("a"), pack("f"), "notes.txt"}}
    )
    assert wanted(made, "one") == [Wanted(pack("a"), 0, Why.FOUND_DAMAGED)]
    assert wanted(made, "two") == []


def test_reading_all_data_looks_at_everything_once() -> None:
    made = plan({"one": {pack("a"): 10, COMMIT: 300}, "two": {pack("a"): 10, COMMIT: 299}}, read_data=True)
    assert wanted(made, "one") == [Wanted(pack("a"), 10, Why.READ), Wanted(COMMIT, 0, Why.SIZE)]


def test_foreign_objects_are_in_the_plan_to_be_reported() -> None:
    listings = {"one": listing({}, foreign=("holiday.jpg",))}
    made = plan_heal(listings, Union(listings), Expected(), targets=["one"], known_damage={})
    assert (made.replicas["one"].foreign, made.replicas["one"].foreign_total) == (("holiday.jpg",), 1)
    assert made.replicas["one"].objects == 0


def test_kinds_are_known_by_their_names() -> None:
    assert [kind_of(name) for name in (pack("a"), FRAGMENT, COMMIT, MANIFEST, names.HEADER)] == [
        Kind.PACK, Kind.FRAGMENT, Kind.COMMIT, Kind.RUN, Kind.HEADER,
    ]  # fmt: skip
    assert kind_of("packs/aa/" + "b" * 64) is None
    assert kind_of("leases/" + "1" * 32 + "/000000") is None
    assert kind_of("audit/notes.txt") is None

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from farshore import limits
from farshore.trust.order import SKEW, Link, Place, SourceOrder, order_source, sequence_max

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=365)


def link(name: str, sequence: int, parent: str | None, days: float = 0, **changed: object) -> Link:
    """Return a commit made some days after the start, stored at that moment."""
    moment = START + timedelta(days=days)
    made = Link(name, f"snapshot-{name}", sequence, parent, moment, moment)
    return replace(made, **changed)  # type: ignore[arg-type]


def placed(*links: Link, now: datetime = NOW) -> dict[str, str]:
    """Return the place of each, the same in every order of what is given."""
    orders = {str(order_source(some, now)) for some in permutations(links)}
    assert len(orders) == 1
    return {name: place.value for name, place in order_source(links, now).places.items()}


def newest(*links: Link, now: datetime = NOW) -> str | None:
    found = order_source(links, now).newest
    return found.hash if found else None


def test_nothing_has_no_newest() -> None:
    order = order_source([], NOW)
    assert (order.newest, order.next_parent, order.next_sequence) == (None, None, 1)


def test_the_sequence_orders_then_the_moment_then_the_id() -> None:
    links = [
        link("d", 3, "c", 3),
        link("a", 1, "", 1),
        link("c", 2, None, 2, snapshot="1"),
        link("b", 2, None, 2, snapshot="0"),
        link("e", 2, None, 1),
    ]
    assert [one.hash for one in order_source(links, NOW).links] == ["a", "e", "b", "c", "d"]
    assert order_source([*links, *links], NOW) == order_source(links, NOW)


def test_a_chain_is_sound_and_its_last_is_the_newest() -> None:
    chain = [link("a", 1, "", 0), link("b", 2, "a", 1), link("c", 3, "b", 1)]
    assert set(placed(*chain).values()) == {"sound"}
    order = order_source(chain, NOW)
    assert order.newest == order.next_parent == chain[2]
    assert order.next_sequence == 4


@pytest.mark.parametrize(("late", "place"), [(timedelta(), "sound"), (timedelta(microseconds=1), "misdated")], ids=str)
def test_no_commit_is_dated_beyond_the_store_and_the_reader(late: timedelta, place: str) -> None:
    stored = START + timedelta(days=1)
    of_store = link("a", 1, "", committed_utc=stored + SKEW + late, stored_utc=stored)
    assert placed(of_store) == {"a": place}
    of_reader = link("a", 1, "", committed_utc=stored + SKEW + late, stored_utc=None)
    assert placed(of_reader, now=stored) == {"a": place}
    store_is_ahead = link("a", 1, "", committed_utc=stored + SKEW + late, stored_utc=NOW)
    assert placed(store_is_ahead, now=stored) == {"a": place}


def test_a_date_far_ahead_takes_newest_from_nobody() -> None:
    honest = [link("a", 1, "", 0), link("b", 2, "a", 1)]
    planted = link("z", 9, "b", 27_000, stored_utc=START + timedelta(days=2))
    order = order_source([*honest, planted], NOW)
    assert (order.newest, order.next_parent) == (honest[1], honest[1])
    assert order.places["z"] is Place.MISDATED
    assert order.next_sequence == 10
    following = link("c", 10, "b", 3)
    assert placed(*honest, planted, following) == {"a": "sound", "b": "sound", "z": "misdated", "c": "sound"}
    assert newest(*honest, planted, following) == "c"


@pytest.mark.parametrize(("days", "place"), [(1, "sound"), (0.999, "misdated")])
def test_no_commit_is_dated_before_its_parent(days: float, place: str) -> None:
    links = [link("a", 1, "", 1), link("b", 2, "a", days)]
    assert placed(*links) == {"a": "sound", "b": place}
    assert placed(links[1]) == {"b": "sound"}  # a parent that is gone says nothing


def test_two_children_of_one_parent_are_forked_and_neither_is_newest() -> None:
    links = [link("a", 1, "", 0), link("b", 2, "a", 1), link("c", 2, "a", 2)]
    assert placed(*links) == {"a": "sound", "b": "forked", "c": "forked"}
    assert newest(*links) == "a"
    order = order_source(links, NOW)
    assert order.next_parent == links[2]
    assert order.next_sequence == 3
    assert newest(*links, link("d", 3, "c", 3)) == "d"


def test_two_first_ones_are_forked_and_records_without_hashes_are_not() -> None:
    assert placed(link("a", 1, ""), link("b", 1, "")) == {"a": "forked", "b": "forked"}
    assert placed(link("a", 1, None), link("b", 2, None)) == {"a": "sound", "b": "sound"}


def test_only_a_sound_commit_forks_another() -> None:
    good = [link("a", 1, "", 0), link("b", 2, "a", 1)]
    misdated = link("c", 2, "a", 9, stored_utc=START)
    ahead = link("d", 2, "a", 2, ahead=True)
    assert placed(*good, misdated, ahead) == {"a": "sound", "b": "sound", "c": "misdated", "d": "ahead"}
    assert newest(*good, misdated, ahead) == "b"


def test_what_is_ahead_is_followed_by_nobody() -> None:
    order: SourceOrder = order_source([link("a", 1, "", 0), link("b", 5, "a", 1, ahead=True)], NOW)
    assert order.next_parent is order.newest
    assert order.newest is not None
    assert (order.newest.hash, order.next_sequence) == ("a", 6)


@pytest.mark.parametrize(("above", "place"), [(0, "sound"), (1, "misdated")])
def test_a_sequence_is_no_higher_than_its_date_allows(above: int, place: str) -> None:
    moment = START + timedelta(days=1)
    high = link("b", sequence_max(moment) + above, "a", committed_utc=moment, stored_utc=moment)
    assert placed(link("a", 1, "", 0), high) == {"a": "sound", "b": place}


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("moment", [NOW, NOW + SKEW, NOW + timedelta(days=80_000)], ids=["now", "skew", "far"])
@pytest.mark.parametrize("sequence", ["highest of its date", "highest of all"])
def test_whatever_number_a_thief_signs_the_next_run_finds_one(ahead: bool, moment: datetime, sequence: str) -> None:
    highest = limits.SEQUENCE_MAX if sequence == "highest of all" else sequence_max(moment)
    honest = link("a", 1, "", 0)
    theft = link("z", min(highest, limits.SEQUENCE_MAX), "a", committed_utc=moment, stored_utc=NOW, ahead=ahead)
    later = NOW + timedelta(seconds=1)
    order = order_source([honest, theft], later)
    parent = order.next_parent
    assert parent is not None
    moment = max(later, parent.committed_utc + timedelta(microseconds=1))
    following = link("b", order.next_sequence, parent.hash, committed_utc=moment, stored_utc=later)
    assert following.sequence <= limits.SEQUENCE_MAX
    after = order_source([honest, theft, following], moment)
    assert after.newest == following
    assert after.next_sequence == following.sequence + 1
    assert newest(honest, following, now=moment) == "b", "also once the theft is refused"

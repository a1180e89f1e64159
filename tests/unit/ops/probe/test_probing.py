"""A probe of stores that tell the truth, and of stores that lie: every verdict bites."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Never

import pytest

from farshore.clock import SystemClock
from farshore.errors import StoreDenied, StoreUnavailable
from farshore.limits import CLOCK_SKEW_S_MAX
from farshore.ops.probe.probe import CHOICES, probe_store
from farshore.ops.probe.verdicts import Finding, ProbeResult, Role, Verdict
from farshore.stores.base import ANY_OBJECT, ObjectInfo, Store
from farshore.stores.directory import DirectoryStore
from farshore.stores.memory import MemoryStore, Shelf
from tests.doubles.clock import FixedClock
from tests.doubles.faulty import (
    CORRUPT,
    REPLACE,
    STALE,
    TRUNCATE,
    VANISH,
    Fault,
    FaultKind,
    FaultyStore,
    Plan,
    no_faults,
)

CLOCK = SystemClock()
DENY = Fault(FaultKind.FAIL, StoreDenied)


def on(verb: str, fault: Fault, part: str = "") -> Plan:
    """A plan with one fault at every call of a verb, of names that hold `part`."""
    return lambda called, name, _number: fault if called == verb and part in name else None


def probe(
    plan: Plan, *only: str, role: Role = Role.WRITER, keep: bool = False, shelf: Shelf | None = None
) -> ProbeResult:
    """Probe a store in memory that misbehaves by `plan`; every connection sees the same faults."""
    store: Store = FaultyStore(MemoryStore(shelf=shelf, clock=CLOCK), clock=CLOCK, plan=plan)
    return probe_store(lambda _: store, only=only, role=role, keep=keep, clock=CLOCK)


def finding(result: ProbeResult, check: str) -> Finding:
    (found,) = [one for one in result.findings if one.check == check]
    return found


def test_an_honest_store_passes_and_nothing_is_left() -> None:
    shelf = Shelf()
    result = probe(no_faults, shelf=shelf)

    assert {one.verdict for one in result.findings} <= {Verdict.OK, Verdict.NOTE, Verdict.SKIPPED}
    assert result.verdict is Verdict.NOTE
    assert result.objects_left == 0
    assert not shelf.objects
    assert [one.samples for one in result.figures] == [9, 9, 9, 9, 3, 3]
    assert all(one.median >= 0 for one in result.figures)


def test_what_is_kept_is_reported() -> None:
    shelf = Shelf()
    result = probe(no_faults, "ranges", keep=True, shelf=shelf)

    assert result.objects_left >= len(shelf.objects) > 0
    assert all(name.startswith(result.prefix) for name in shelf.objects)
    assert result.left[0].startswith("probe/")


def test_only_what_is_asked_for_is_checked() -> None:
    found = {one.check for one in probe(no_faults, "ranges", "clock").findings}

    assert found == {"may-put", "may-get", "may-head", "may-list", "may-overwrite", "may-delete", "clock", "ranges"}
    assert set(CHOICES) >= {"ranges", "clock", "permissions", "speed"}


def test_two_winners_are_unsafe() -> None:
    result = probe(on("put", REPLACE, "conditional-put"), "conditional-put")

    assert result.verdict is Verdict.UNSAFE
    assert "8 of 8 writers of one name won in round 1 of 5" in finding(result, "conditional-put").detail


def test_a_loser_that_replaces_the_winner_is_unsafe() -> None:
    shelf = Shelf()

    class Rewriting(FaultyStore):
        """Tells each loser that it lost, and keeps its bytes all the same."""

        def put(self, name: str, body: object, *more: object) -> object:  # type: ignore[override] # only handed on
            try:
                return super().put(name, body, *more)  # type: ignore[arg-type]
            finally:
                if "conditional-put-" in name:
                    shelf.objects[name] = (bytes(body), CLOCK.now_utc())  # type: ignore[call-overload]

    store: Store = Rewriting(MemoryStore(shelf=shelf, clock=CLOCK), clock=CLOCK)  # type: ignore[assignment]
    result = probe_store(lambda _: store, only=("conditional-put",), clock=CLOCK)

    assert result.verdict is Verdict.UNSAFE
    assert "replaced the winner's object" in finding(result, "conditional-put").detail


def test_a_winner_whose_object_is_not_there_is_unsafe() -> None:
    first: list[str] = []

    def vanishing(verb: str, name: str, _number: int) -> Fault | None:
        """Lose the first put of each raced name, and refuse the others, as a service does that forgets."""
        if verb != "put" or "conditional-put-" not in name:
            return None
        first.append(name)
        return VANISH if first.count(name) == 1 else Fault(FaultKind.FAIL, StoreDenied)

    result = probe(vanishing, "conditional-put")

    assert result.verdict is Verdict.UNSAFE
    assert "is not there" in finding(result, "conditional-put").detail


def test_a_race_that_nobody_wins_fails() -> None:
    result = probe(on("put", DENY, "conditional-put-"), "conditional-put")

    assert finding(result, "conditional-put").verdict is Verdict.FAILED
    assert "no writer won" in finding(result, "conditional-put").detail


LIES: dict[str, tuple[str, Plan, str]] = {  # what a service does: the check that finds it, how, and what is said
    "replaces objects": ("overwrite-refusal", on("put", REPLACE, "taken"), "was answered 'created'"),
    "lists late": ("read-after-write", on("list", STALE), "not seen by list"),
    "tells late": ("read-after-write", on("head", STALE, "seen"), "not seen by head"),
    "gives late": ("read-after-write", on("get", STALE, "seen"), "not seen by get"),
    "loses a write": ("read-after-write", on("put", VANISH, "seen-3"), "object 4 was not seen by get"),
    "lists an old state": ("listing", on("list", STALE, "many"), "are missing from the listing"),
    "lists one page": ("listing", on("list", TRUNCATE, "many"), "are missing from the listing"),
    "loses one of many": ("listing", on("put", VANISH, "many/03/00003"), "1 of 1026 objects are missing"),
    "lists folders": ("listing-prefixes", on("list", STALE, "prefixes/a/b0"), "prefix 'a/b0'"),
    "gives short ranges": ("ranges", on("get", TRUNCATE, "ranges"), "got 5000 bytes, 10000 are right"),
    "gives other bytes": ("ranges", on("get", CORRUPT, "ranges"), "others than those"),
    "keeps half": ("sizes", on("put", TRUNCATE, "size-1000"), "reported as"),
    "spoils bytes": ("sizes", on("get", CORRUPT, "size-1000"), "other bytes were read back"),
    "loses a name": ("names", on("put", VANISH, "date="), "is not there"),
    "cuts large objects": ("large-object", on("get", TRUNCATE, "large"), "other bytes were read back"),
    "replaces large objects": ("large-object", on("put", REPLACE, "large"), "were not refused"),
    "breaks in between": ("delete", on("list", DENY, "deleted"), "store-denied"),
}


@pytest.mark.parametrize("lie", LIES)
def test_each_lie_is_found(lie: str) -> None:
    check, plan, reported = LIES[lie]
    only = {"sizes": "objects", "names": "objects"}.get(check, check)
    result = probe(plan, only)

    assert finding(result, check).verdict is Verdict.FAILED, result.findings
    assert reported in finding(result, check).detail
    assert result.verdict is Verdict.FAILED


class Undying(FaultyStore):
    """A store that acknowledges deletes and does none."""

    def delete(self, name: str, seen: str) -> None:
        return


def test_a_delete_that_does_nothing_is_found_and_what_is_left_reported() -> None:
    shelf = Shelf()
    store: Store = Undying(MemoryStore(shelf=shelf, clock=CLOCK), clock=CLOCK)
    result = probe_store(lambda _: store, only=("delete",), clock=CLOCK)

    assert finding(result, "delete").verdict is Verdict.FAILED
    assert "a deleted object was still there for get" in finding(result, "delete").detail
    assert result.objects_left == len(shelf.objects) == 2
    assert set(result.left) == set(shelf.objects)


class Careless(FaultyStore):
    """A store that deletes whatever is there."""

    def delete(self, name: str, seen: str) -> None:
        super().delete(name, ANY_OBJECT)


class Alike(FaultyStore):
    """A store that cannot distinguish the objects of one name."""

    def head(self, name: str) -> ObjectInfo:
        return replace(super().head(name), seen="")


@pytest.mark.parametrize(
    ("kind", "verdict"), [(FaultyStore, Verdict.OK), (Careless, Verdict.WARNING), (Alike, Verdict.NOTE)]
)
def test_a_delete_of_an_object_that_was_seen_is_tried(kind: type[FaultyStore], verdict: Verdict) -> None:
    store: Store = kind(MemoryStore(shelf=Shelf(), clock=CLOCK), clock=CLOCK)
    assert finding(probe_store(lambda _: store, only=("delete",), clock=CLOCK), "delete-seen").verdict is verdict


@pytest.mark.parametrize(("verb", "right"), [("get", "get"), ("head", "head"), ("list", "list"), ("put", "put")])
def test_a_writer_that_lacks_a_right_is_too_narrow_and_the_rest_is_not_tried(verb: str, right: str) -> None:
    result = probe(on(verb, DENY))

    found = finding(result, f"may-{right}")
    assert found.verdict is Verdict.FAILED
    assert found.detail.startswith("too narrow")
    assert found.hint.startswith("Allow ")
    assert finding(result, "conditional-put").verdict is Verdict.SKIPPED
    assert finding(result, "clock").verdict is Verdict.OK
    assert result.verdict is Verdict.FAILED


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Store]:
    with closing(DirectoryStore(path=tmp_path, clock=CLOCK)) as store:
        yield store


def test_a_writer_that_may_delete_is_too_wide_and_a_maintainer_is_not(directory: Store) -> None:
    as_writer = probe_store(lambda _: directory, only=("delete",), clock=CLOCK)
    as_maintainer = probe_store(lambda _: directory, only=("delete",), role=Role.MAINTAINER, clock=CLOCK)

    assert finding(as_writer, "may-delete").verdict is Verdict.WARNING
    assert "too wide" in finding(as_writer, "may-delete").detail
    assert as_writer.verdict is Verdict.WARNING
    assert finding(as_maintainer, "may-delete").verdict is Verdict.OK


def test_a_writer_that_may_not_delete_is_right_and_leaves_few_objects(directory: Store) -> None:
    refusing: Store = FaultyStore(directory, clock=CLOCK, plan=on("delete", DENY))
    result = probe_store(lambda _: refusing, only=("delete", "listing"), clock=CLOCK)
    measured = probe_store(lambda _: refusing, only=("speed",), clock=CLOCK)

    assert finding(result, "may-delete").verdict is Verdict.OK
    assert finding(result, "delete").verdict is Verdict.SKIPPED
    assert "in pages of 10" in finding(result, "listing").detail
    assert result.objects_left == len(list(directory.list(result.prefix))) == 17  # of permissions one, sixteen listed
    assert [one.samples for one in measured.figures] == [9, 9, 9, 9, 1, 1]
    assert measured.objects_left == 11


def test_a_maintainer_that_may_not_delete_is_warned_of(directory: Store) -> None:
    refusing: Store = FaultyStore(directory, clock=CLOCK, plan=on("delete", DENY))
    result = probe_store(lambda _: refusing, only=("clock",), role=Role.MAINTAINER, clock=CLOCK)

    assert finding(result, "may-delete").verdict is Verdict.WARNING
    assert "too narrow" in finding(result, "may-delete").detail


def test_a_reader_that_may_write_is_too_wide_and_one_that_may_not_is_right() -> None:
    wide = probe(no_faults, "clock", role=Role.READER)
    right = probe(on("put", DENY), role=Role.READER)

    assert finding(wide, "may-put").verdict is Verdict.WARNING
    assert finding(right, "may-put").detail == "not allowed, which is right"
    assert right.verdict is Verdict.OK
    assert right.figures == ()


class Skewed(MemoryStore):
    """A store whose service's clock is off."""

    def __init__(self, skew_s: float) -> None:
        super().__init__(clock=CLOCK)
        self._skew_s = skew_s

    def now_utc(self) -> datetime:
        return CLOCK.now_utc() + timedelta(seconds=self._skew_s)


@pytest.mark.parametrize(
    ("skew_s", "verdict"),
    [(0, Verdict.OK), (-20, Verdict.OK), (60, Verdict.WARNING), (-60, Verdict.WARNING), (3600, Verdict.FAILED)],
)
def test_a_clock_that_is_off_is_reported(skew_s: float, verdict: Verdict) -> None:
    store: Store = Skewed(skew_s)
    found = finding(probe_store(lambda _: store, only=("clock",), clock=CLOCK), "clock")

    assert found.verdict is verdict
    if skew_s:
        assert f"{abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'}" in found.detail
    assert skew_s <= CLOCK_SKEW_S_MAX or f"{CLOCK_SKEW_S_MAX:.0f} s are the most" in found.detail


def test_a_store_that_cannot_be_reached_is_an_error_and_no_verdict() -> None:
    class Dead(MemoryStore):
        def list(self, prefix: str = "") -> Never:
            raise StoreUnavailable("nobody answers")

    store: Store = Dead(clock=FixedClock())
    with pytest.raises(StoreUnavailable):
        probe_store(lambda _: store, clock=FixedClock())


def test_what_breaks_in_the_middle_is_a_finding_and_is_cleaned_up() -> None:
    shelf = Shelf()
    result = probe(on("put", DENY, "order/a0"), "listing-order", "ranges", shelf=shelf)

    assert finding(result, "listing-order").verdict is Verdict.FAILED
    assert finding(result, "ranges").verdict is Verdict.OK
    assert not shelf.objects

"""The runs of needs of many nights cover each snapshot, share what they can, and name little else."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from farshore import limits
from farshore.catalog import next_needs
from farshore.catalog.merge_policy import READ_MAX, RUNS_MAX
from farshore.catalog.next_needs import NeedsRun, lacking_needs, plan_needs, superfluous_bytes
from farshore.format import names
from farshore.format.commit import RunRef
from farshore.format.needs import NeededFragment, NeededKey, NeededPack, Needs, decode_needs, encode_needs, join_needs

SEGMENTS = 16


def pack(number: int, bits: int = (1 << SEGMENTS) - 1) -> NeededPack:
    return NeededPack(f"{number:064x}", 16_000_000, (SEGMENTS, bits))


def key(number: int) -> NeededKey:
    return NeededKey(f"{number:032x}", "f" * 32, f"{number:064x}")


def run_of(body: bytes) -> NeedsRun:
    return NeedsRun(RunRef(names.hash_of(body), len(body)), decode_needs(body, "it"))


def many_nights(noise: random.Random, nights: int = 120) -> None:
    """Go through nights in which packs are added, used less and used no more; each night keeps every promise."""
    packs = {number: pack(number) for number in range(200)}
    runs: list[NeedsRun] = []
    for night in range(nights):
        for _ in range(noise.randrange(4)):
            packs[1000 * night + 500 + len(packs)] = pack(1000 * night + 500 + len(packs))
        for number in noise.sample(sorted(packs), noise.randrange(4)):
            less = replace(packs[number], segments=(SEGMENTS, noise.getrandbits(SEGMENTS) & packs[number].segments[1]))  # type: ignore[index]
            packs[number] = less
            if not less.segments[1]:  # type: ignore[index]
                del packs[number]
        if night % 50 == 49:  # half of the source is gone
            packs = dict(list(packs.items())[len(packs) // 2 :])
        numbers = {number // 1000 for number in packs}
        exact = join_needs([Needs(tuple(packs.values()), tuple(map(key, numbers)), (NeededFragment("e" * 64, 9),))])
        runs = _next(exact, runs)
        assert _next(exact, runs) == runs, "an unchanged night added a run"


def _next(exact: Needs, runs: list[NeedsRun]) -> list[NeedsRun]:
    planned = plan_needs(exact, runs)
    runs = [run for run in runs if run.ref in planned.kept] + ([run_of(planned.body)] if planned.body else [])
    together = join_needs(run.needs for run in runs)
    assert together == planned.all
    assert lacking_needs(exact, together) == Needs(), "something that is needed is named by no run"
    assert len(runs) <= RUNS_MAX
    assert sum(run.ref.bytes for run in runs) <= READ_MAX * len(encode_needs(exact)) + 200
    assert superfluous_bytes(exact, runs) <= 0.25 * exact.used_bytes, "more is kept than the bound says"
    return runs


@pytest.mark.parametrize("seed", [1, 2])
def test_each_of_many_nights_keeps_every_promise(seed: int) -> None:
    many_nights(random.Random(seed))


MUTANTS: dict[str, tuple[object, str, object]] = {
    "runs are never merged": (next_needs, "runs_to_merge", lambda *_: 0),
    "nothing bounds what is superfluous": (limits, "NEEDS_SUPERFLUOUS_MAX", 1e9),
    "a pack that is named counts, whichever segments": (next_needs, "_covered", lambda _, by: by is not None),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_each_rule_that_is_left_out_breaks_a_promise(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*MUTANTS[mutant])
    with pytest.raises(AssertionError):
        _all_promises()


def _all_promises() -> None:
    many_nights(random.Random(1))
    _next(Needs((pack(1, 0xFF), pack(2, 0xFF))), [run_of(encode_needs(Needs((pack(1), pack(2)))))])
    grown = replace(pack(1), segments=(SEGMENTS, 0b11))
    before = [run_of(encode_needs(Needs((replace(grown, segments=(SEGMENTS, 0b01)), pack(2), pack(3), pack(4)))))]
    union = plan_needs(Needs((grown, pack(2), pack(3), pack(4))), before).all
    assert union.packs[0].covers(grown)


def test_a_new_run_names_only_what_is_new() -> None:
    old = Needs(tuple(pack(one) for one in range(100)), (key(1),))
    new = join_needs([old, Needs((pack(500),), (key(2),))])
    planned = plan_needs(new, [run_of(encode_needs(old))])
    assert decode_needs(planned.body, "it") == Needs((pack(500),), (key(2),))
    assert len(planned.kept) == 1


def test_a_merged_run_leaves_out_what_is_no_longer_needed() -> None:
    base = Needs(tuple(pack(one) for one in range(1000)))
    runs = [run_of(encode_needs(base))]
    runs += [run_of(encode_needs(Needs((pack(number),), (key(number),)))) for number in range(2000, 2009)]
    exact = Needs((*base.packs, pack(2008), pack(2009)), (key(2008), key(2009)))
    planned = plan_needs(exact, runs)
    assert planned.kept == (runs[0].ref,)
    assert decode_needs(planned.body, "it") == Needs((pack(2008), pack(2009)), (key(2008), key(2009)))


SHAPES: dict[str, Callable[[NeededPack], NeededPack]] = {
    "whole": lambda one: replace(one, segments=None),
    "another size": lambda one: replace(one, bytes=one.bytes + 1),
    "another number of segments": lambda one: replace(one, segments=(SEGMENTS + 1, 1)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_pack_that_an_earlier_run_gives_otherwise_is_named_again(shape: str) -> None:
    changed = SHAPES[shape](pack(1, 0b111))
    planned = plan_needs(Needs((changed,)), [run_of(encode_needs(Needs((pack(1, 0b11),))))])
    assert lacking_needs(Needs((changed,)), Needs((pack(1, 0b11),))).packs == (changed,)
    assert changed in decode_needs(planned.body, "it").packs

"""Whose packs a backup reuses: those of its own party; of others as far as the configuration says; of thieves none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from farshore import limits
from farshore.access.unlock import Need
from farshore.catalog.fragments import FragmentReader
from farshore.catalog.inventory import take_inventory
from farshore.catalog.pack_trust import PackTrust
from farshore.catalog.verdicts import PackIds, Verdicts
from farshore.config import Dedupe
from farshore.format import names
from farshore.format.fragments import FragmentEntry, decode_fragment
from farshore.ops.setup.owner_actions import append_entry
from farshore.sealed.packs import entry_of
from farshore.signing import generate_signing_key
from farshore.trust.actions import Revocation
from tests.unit.ops.engine import Engine
from tests.unit.ops.liar import (
    CONTENT,
    deduping,
    fragment_of,
    keys_of,
    lying_pack,
    member,
    plant,
    shared_domain,
    source_of,
)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return shared_domain(tmp_path)


def entries(engine: Engine) -> list[FragmentEntry]:
    return [entry_of(data) for data in engine.objects("a", names.PACKS).values()]


def indexed(engine: Engine) -> set[str]:
    with engine.opened(Need.WRITE) as repository:
        inventory = take_inventory(repository, list(repository.replicas.values()))
        return {one.pack_id.hex() for one in inventory.index.packs}


@pytest.mark.parametrize(("dedupe", "shared"), [(Dedupe.PROVEN, False), (Dedupe.OWN, False), (Dedupe.DOMAIN, True)])
def test_packs_of_another_host_of_the_domain_are_reused_only_where_that_is_configured(
    engine: Engine, dedupe: Dedupe, shared: bool
) -> None:
    laptop = deduping(member(engine, "laptop"), dedupe)
    first = laptop.backup(source_of(laptop, "laptop"))
    assert (first.counts.bytes_new == 0) is shared
    again = laptop.backup(source_of(laptop, "other"))
    assert again.counts.bytes_new == 0, "its own packs it always reuses"
    assert engine.restore(first.snapshot_id)[1][b"file"] == CONTENT


def test_a_pack_that_a_reader_has_proved_is_reused(engine: Engine) -> None:
    laptop = member(engine, "laptop")
    (pack,) = entries(engine)
    with laptop.opened(Need.WRITE) as repository:
        replicas = list(repository.replicas.values())
        proven = take_inventory(repository, replicas, verdicts=Verdicts(PackIds([pack.pack_id])))
        assert [one.pack_id for one in proven.index.packs] == [pack.pack_id]
        assert len(take_inventory(repository, replicas).index.packs) == 0


def test_a_host_of_another_domain_neither_opens_nor_reuses_them(engine: Engine) -> None:
    alone = deduping(member(engine, "alone", "alone"), Dedupe.DOMAIN)
    assert indexed(alone) == set()
    assert alone.backup(source_of(alone, "alone")).counts.bytes_new == len(CONTENT)
    assert len(indexed(alone)) == 1


def test_a_host_that_is_enrolled_again_goes_on_with_its_packs(engine: Engine) -> None:
    laptop = member(engine, "laptop")
    laptop.backup(source_of(laptop, "laptop"))
    before = _signer(laptop)
    again = member(engine, "laptop")
    assert _signer(again) != before
    again.forget_cache()
    assert again.backup(source_of(again, "other")).counts.bytes_new == 0


def test_of_a_revoked_key_only_what_accepted_commits_need_is_reused(engine: Engine) -> None:
    laptop = member(engine, "laptop")
    laptop.backup(source_of(laptop, "laptop"))
    (before,) = indexed(laptop)
    lying, objects = lying_pack(laptop, {b"c" * 32: 10})
    plant(engine, objects)
    assert indexed(laptop) == {before, lying.pack_id.hex()}
    signing_key = keys_of(laptop).signing_key
    assert signing_key
    again = member(engine, "laptop")
    with engine.opened(Need.OWNER) as repository:
        append_entry(repository, [Revocation(signing_key.signer_id, frozenset(), {}, "stolen")])
    with again.opened(Need.WRITE) as repository:
        replicas = list(repository.replicas.values())
        needed = {replica.name: [(before, len(engine.objects("a")[names.pack(before)]))] for replica in replicas}
        inventory = take_inventory(repository, replicas, needed)
        assert {one.pack_id.hex() for one in inventory.index.packs} == {before}
        assert len(take_inventory(repository, replicas).index.packs) == 0


@pytest.mark.parametrize("part", ["ed25519", "signer"])
def test_a_pack_whose_signature_does_not_hold_is_not_reused(engine: Engine, part: str) -> None:
    (entry,) = entries(engine)
    tail = bytearray(entry.tail)
    tail[20 if part == "ed25519" else 0] ^= 1
    with engine.opened(Need.WRITE) as repository:
        trust = PackTrust(repository)
        assert trust.is_reusable(entry)
        assert not trust.is_reusable(replace(entry, tail=bytes(tail)))
        assert not trust.is_reusable(replace(entry, body_hash=bytes(32)))


def test_a_fragment_counts_only_if_somebody_certified_signed_it(engine: Engine) -> None:
    (name,) = engine.objects("a", names.FRAGMENTS)
    fragment = decode_fragment(engine.objects("a")[name])
    with engine.opened(Need.WRITE) as repository:
        trust = PackTrust(repository)
        assert trust.counts(fragment)
        assert not trust.counts(replace(fragment, digest=bytes(32)))
        stranger = replace(keys_of(engine), signing_key=generate_signing_key())
        (planted,) = fragment_of(stranger, *fragment.entries).values()
        assert not trust.counts(decode_fragment(planted))


def test_planted_fragments_are_read_once_within_a_bound_and_never_before_known_ones(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UNKNOWN_OBJECTS_MAX", 5)
    (known,) = engine.objects("a", names.FRAGMENTS)
    (entry,) = entries(engine)
    indexed(engine)
    stranger = keys_of(engine)
    for _ in range(9):
        plant(engine, fragment_of(replace(stranger, signing_key=generate_signing_key()), entry), "a")
    read: list[int] = []
    for _ in range(3):
        with engine.opened(Need.WRITE) as repository:
            reader = FragmentReader(repository, PackTrust(repository))
            stored = {names.parse_fragment(name): len(data) for name, data in engine.objects("a").items()}
            order = reader.in_order({one: size for one, size in stored.items() if one})
            assert names.fragment(order[0]) == known, "it counted before"
            found = [reader.read(repository.replicas["a"], one) for one in order]
            assert [one is not None for one in found] == [True] + [False] * (len(order) - 1)
            read.append(reader.refused)
    assert read == [5, 4, 0]


def test_a_pack_without_a_fragment_is_read_whole_and_only_if_it_is_of_the_own_party(engine: Engine) -> None:
    laptop = member(engine, "laptop")
    laptop.backup(source_of(laptop, "laptop"))
    mine = entries(engine)
    for replica in "abc":
        for name in engine.objects(replica, names.FRAGMENTS):
            engine.lose(replica, name)
    laptop.forget_cache()
    own = [one.pack_id.hex() for one in mine if one.signature.signer == _signer(laptop)]
    for _ in range(2):  # the second time from the cache
        with laptop.opened(Need.WRITE) as repository:
            inventory = take_inventory(repository, list(repository.replicas.values()))
            before = repository.drain_requests()
            assert list(inventory.orphans) == own
            assert before
    for replica in "abc":  # the name of an own pack, other bytes
        engine.alter(replica, names.pack(own[0]), lambda data: data[:100] + bytes(10) + data[110:])
    laptop.forget_cache()
    with laptop.opened(Need.WRITE) as repository:
        assert not take_inventory(repository, list(repository.replicas.values())).orphans


def _signer(engine: Engine) -> str:
    signing_key = keys_of(engine).signing_key
    assert signing_key
    return signing_key.signer_id

"""The limits of format.md, section 8, for names of every kind."""

from __future__ import annotations

import pytest

from farshore.format import names
from farshore.format.names import OBJECT_BYTES_MAX, object_bytes_max
from farshore.limits import GIB, KIB, MIB
from farshore.model import FragmentId, KeyId, PackId, SnapshotId, SourceId

HASH, ID = "ab" * 32, "cd" * 16


BOUNDS = {
    names.HEADER: 64 * KIB,
    names.slot("ab" * 32): 64 * KIB,
    names.data_key(KeyId(ID), ID, HASH): 4 * KIB,
    names.pack(PackId(HASH)): 64 * MIB,
    names.fragment(FragmentId(HASH)): 64 * MIB,
    names.commit(SourceId(ID), SnapshotId(ID), HASH): MIB,
    names.run(HASH): 2 * GIB,
    names.lease_beat(ID, 7): 64 * KIB,
    names.lease_end(ID, 0): 2 * MIB,
    names.plan(1, "condemned"): 64 * MIB,
    f"forgotten/{ID}-{ID}{ID}": 64 * KIB,
    names.tombstone_set(HASH): 16 * MIB,
    names.verdict(HASH): MIB,
    names.note(ID, HASH): 64 * KIB,
    names.approval(ID, HASH): MIB,
    f"audit/_seals/{ID}/000000000001.json": 16 * MIB,
    f"audit/needs/date=2026-11-29/{ID}-00.parquet": 256 * MIB,
    names.log_entry(7, HASH): MIB,
    names.accepted(HASH): 64 * MIB,
}


@pytest.mark.parametrize("name", BOUNDS)
def test_each_kind_has_its_limit(name: str) -> None:
    assert object_bytes_max(name) == BOUNDS[name]


def test_every_kind_is_tried_above() -> None:
    assert all(any(form.fullmatch(name) for name in BOUNDS) for _, form, _ in OBJECT_BYTES_MAX)


@pytest.mark.parametrize("name", ["", "x", "farshore.json.old", "packs", "lost+found/a", "probe/1/x", "farshore_json"])
def test_a_foreign_name_has_the_smallest(name: str) -> None:
    assert object_bytes_max(name) == 64 * KIB

from __future__ import annotations

import pytest

from farshore.format import names
from farshore.stores.base import is_name

ID, OTHER, LONG = "0123456789abcdef" * 2, "f" * 32, "ab" + "0" * 62
DIGIT = "\u0661"  # a digit to Python, in no name of ours


def test_what_is_made_is_parsed_again() -> None:
    assert names.commit(ID, OTHER, LONG) == f"snapshots/{ID}/{OTHER}-{LONG}"
    parsed = names.parse_commit(names.commit(ID, OTHER, LONG))
    assert parsed == names.CommitName(ID, OTHER, LONG)
    assert parsed.name == names.commit(ID, OTHER, LONG)
    assert names.run(LONG) == f"runs/{LONG}"
    assert names.parse_run(names.run(LONG)) == LONG
    assert names.pack(LONG) == f"packs/ab/{LONG}"
    assert names.parse_pack(names.pack(LONG)) == LONG
    assert names.parse_fragment(names.fragment(LONG)) == LONG
    assert names.parse_tombstone_set(names.tombstone_set(LONG)) == LONG
    assert names.parse_tombstone(names.tombstone_set(LONG)) is None
    assert names.parse_slot(names.slot(LONG)) == LONG
    assert names.data_key(ID, OTHER, LONG) == f"keys/data/{ID}/{OTHER}-{LONG}"
    assert names.parse_data_key(names.data_key(ID, OTHER, LONG)) == names.DataKeyName(ID, OTHER, LONG)
    assert names.parse_lease(names.lease_beat(ID, 0)) == names.LeaseName(ID, 0, None)
    assert names.parse_lease(names.lease_beat(ID, 123456)) == names.LeaseName(ID, 123456, None)
    assert names.parse_lease(names.lease_end(ID, 15)) == names.LeaseName(ID, None, 15)


def test_every_name_is_one_that_every_store_takes() -> None:
    made = [
        names.HEADER, names.slot(LONG), names.data_key(ID, OTHER, LONG), names.pack(LONG), names.fragment(LONG),
        names.commit(ID, OTHER, LONG), names.run(LONG), names.lease_beat(ID, 7), names.lease_end(ID, 0),
        names.plan(1, "open"), names.tombstone(f"forgotten/{ID}", LONG), names.note(ID, LONG), names.approval(ID, LONG),
        names.tombstone_set(LONG),
    ]  # fmt: skip
    assert all(is_name(name) for name in made)


HOSTILE = [
    "", "/", "packs", "packs/", f"packs/{LONG}", f"packs/cd/{LONG}", f"packs/ab/{LONG}x", f"packs/ab/{LONG}\n",
    f"packs/ab/{LONG.upper()}", f"packs/ab/../{LONG}", f"/packs/ab/{LONG}", f"x/packs/ab/{LONG}",
    f"packs/ab/{LONG[:-1]}",
    f"packs/ab/{LONG[:-1]}g", f"index/{LONG}/", f"index/{LONG[:-1]}", f"index/x{LONG}", f"keys/slots/{ID}",
    f"keys/slots/{ID}.json.tmp", f"keys/slots/{ID}xjson", f"keys/data/{ID}", f"keys/data/{ID}/{OTHER}/",
    f"keys/data/{ID}/{OTHER}", f"keys/data/{ID}/{OTHER.upper()}-{LONG}", f"keys/data/{ID}/{OTHER}-{LONG}.tmp",
    f"snapshots/{ID}/{OTHER}", f"snapshots/{ID}/{OTHER}-{LONG}.tmp", f"snapshots/{ID}/{OTHER}-{LONG[:-1]}",
    f"snapshots/{ID}/{OTHER}/commit", f"snapshots/{OTHER}-{LONG}", f"snapshots/{ID}/{OTHER}-{LONG.upper()}",
    f"runs/{LONG[:-1]}", f"runs/{LONG}/", f"runs/{LONG}0", f"runs/{LONG.upper()}", f"run/{LONG}",
    f"leases/{ID}/1", f"leases/{ID}/1234567", f"leases/{ID}/-00001",
    f"leases/{ID}/END", f"leases/{ID}/end/16", "plans/1", "plans/01/open", f"forgotten/{ID}", f"forgotten/set-{ID}",
    f"unforgotten/set-{LONG}",
    f"leases/{ID}/{DIGIT * 6}", f"leases/{ID}/end/", f"leases/{ID}", f"packs/{DIGIT * 2}/{DIGIT * 64}",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_foreign_name_is_none_of_ours(name: str) -> None:
    assert names.parse_pack(name) is None
    assert names.parse_fragment(name) is None
    assert names.parse_slot(name) is None
    assert names.parse_data_key(name) is None
    assert names.parse_commit(name) is None
    assert names.parse_run(name) is None
    assert names.parse_lease(name) is None
    assert names.parse_plan(name) is None
    assert names.parse_tombstone(name) is None
    assert names.parse_tombstone_set(name) is None

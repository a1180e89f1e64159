from __future__ import annotations

import pytest

from farshore.format import names
from farshore.stores.base import is_name

ID, OTHER, LONG = "0123456789abcdef" * 2, "f" * 32, "ab" + "0" * 62
DIGIT = "\u0661"  # a digit to Python, in no name of ours


def test_what_is_made_is_parsed_again() -> None:
    for role in (names.COMMIT, names.MANIFEST, names.PAGES, names.NEEDS):
        made = names.snapshot_object(ID, OTHER, role)
        assert names.parse_snapshot_object(made) == names.SnapshotObject(ID, OTHER, role)
    assert names.pack(LONG) == f"packs/ab/{LONG}"
    assert names.parse_pack(names.pack(LONG)) == LONG
    assert names.parse_fragment(names.fragment(LONG)) == LONG
    assert names.parse_slot(names.slot(LONG)) == LONG
    assert names.parse_data_key(names.data_key(ID, OTHER)) == (ID, OTHER)
    assert names.parse_lease(names.lease(ID, 0)) == (ID, 0)
    assert names.parse_lease(names.lease(ID, 123456)) == (ID, 123456)
    assert names.parse_lease(names.lease(ID, None)) == (ID, None)


def test_every_name_is_one_that_every_store_takes() -> None:
    made = [
        names.HEADER, names.slot(LONG), names.data_key(ID, OTHER), names.pack(LONG), names.fragment(LONG),
        names.snapshot_object(ID, OTHER, names.MANIFEST), names.lease(ID, 7), names.lease(ID, None),
    ]  # fmt: skip
    assert all(is_name(name) for name in made)


HOSTILE = [
    "", "/", "packs", "packs/", f"packs/{LONG}", f"packs/cd/{LONG}", f"packs/ab/{LONG}x", f"packs/ab/{LONG}\n",
    f"packs/ab/{LONG.upper()}", f"packs/ab/../{LONG}", f"/packs/ab/{LONG}", f"x/packs/ab/{LONG}",
    f"packs/ab/{LONG[:-1]}",
    f"packs/ab/{LONG[:-1]}g", f"index/{LONG}/", f"index/{LONG[:-1]}", f"index/x{LONG}", f"keys/slots/{ID}",
    f"keys/slots/{ID}.json.tmp", f"keys/slots/{ID}xjson", f"keys/data/{ID}", f"keys/data/{ID}/{OTHER}/",
    f"keys/data/{ID}/{OTHER.upper()}", f"snapshots/{ID}/{OTHER}", f"snapshots/{ID}/{OTHER}/commit.tmp",
    f"snapshots/{ID}/{OTHER}/commits", f"snapshots/{ID}/commit", f"snapshots/{OTHER}/{ID}/manifest/commit",
    f"snapshots/{ID}/{OTHER}/COMMIT", f"leases/{ID}/1", f"leases/{ID}/1234567", f"leases/{ID}/-00001",
    f"leases/{ID}/END",
    f"leases/{ID}/{DIGIT * 6}", f"leases/{ID}/end/", f"leases/{ID}", f"packs/{DIGIT * 2}/{DIGIT * 64}",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_foreign_name_is_none_of_ours(name: str) -> None:
    assert names.parse_pack(name) is None
    assert names.parse_fragment(name) is None
    assert names.parse_slot(name) is None
    assert names.parse_data_key(name) is None
    assert names.parse_snapshot_object(name) is None
    assert names.parse_lease(name) is None

"""Damage at the replica that is asked first, over S3, GCS, Azure and a directory: every command answers as before."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore.clock import SystemClock
from farshore.format import names
from farshore.format.needs import MAGIC
from farshore.stores import open_store
from farshore.stores.base import ANY_OBJECT, Store
from tests.conftest import FreshPlace, PlaceUrl
from tests.end_to_end.shore import Shore, tree

KINDS = {"frankfurt": "s3", "iowa": "gs", "sydney": "az", "vault": "file"}
CATALOG = ("commit", "manifest", "needs", "index", "data-key")


def section(shore: Shore, name: str, place: PlaceUrl) -> str:
    """Return a replica's section, and put its secrets into variables."""
    text = f'[replicas.{name}]\nurl = "{place["url"]}"\n'
    if place["endpoint"]:
        text += f'endpoint = "{place["endpoint"]}"\n'
    references = []
    for key, value in place["credentials"].items():
        shore.variables[f"{name}_{key}".upper()] = value
        references.append(f'{key} = {{ env = "{f"{name}_{key}".upper()}" }}')
    return text + (f"credentials = {{ {', '.join(references)} }}\n" if references else "")


def open_place(place: PlaceUrl) -> Store:
    return open_store(
        place["url"], endpoint=place["endpoint"], region="", credentials=place["credentials"], clock=SystemClock()
    )


def catalog_of(store: Store) -> dict[str, str]:
    """The objects of the one snapshot's catalog, by what they are."""
    found: dict[str, str] = {}
    for info in store.list():
        if names.parse_commit(info.name):
            found["commit"] = info.name
        elif names.parse_run(info.name):
            found["needs" if store.get(info.name, 0, 4) == MAGIC else "manifest"] = info.name
        elif names.parse_fragment(info.name):
            found["index"] = info.name
        elif names.parse_data_key(info.name):
            found["data-key"] = info.name
    return found


def spoil(store: Store, name: str, how: str) -> None:
    data = store.get(name)
    store.delete(name, ANY_OBJECT)
    if how == "altered":
        store.put(name, data[:60] + bytes([data[60] ^ 1]) + data[61:])
    elif how == "cut":
        store.put(name, data[:70])


@pytest.mark.parametrize("first", ["frankfurt", "vault"])
def test_a_damaged_catalog_at_the_first_replica_changes_no_answer(
    tmp_path: Path, fresh_place: FreshPlace, first: str
) -> None:
    shore = Shore(tmp_path, replicas=())
    places = {name: fresh_place(KINDS[name]) for name in (first, *(one for one in KINDS if one != first))}
    shore.quorum = 3
    shore.more = "".join(section(shore, name, place) for name, place in places.items())
    shore.write_config()
    shore.initialize()
    shore.good("backup", "home")
    (snapshot,) = shore.good("snapshots", "--json").of("snapshot")
    entries = shore.good("ls", "home", "--recursive", "--json").of("entry")

    store = open_place(places[first])
    before = {info.name: store.get(info.name) for info in store.list()}
    for kind, how in zip(CATALOG, ("altered", "cut", "lost", "altered", "cut"), strict=True):
        spoil(store, catalog_of(store)[kind], how)
    forget_cache(shore)

    assert shore.good("snapshots", "--json").of("snapshot") == [snapshot]
    assert shore.good("ls", "home", "--recursive", "--json").of("entry") == entries
    forget_cache(shore)
    reported = shore.run("restore", "home", "--target", "told", "--no-repair", "--json")
    assert reported.code in {0, 3}  # 0 where another replica was quicker, and the damage never met
    assert reported.of("restore")[0]["repairs"] == []
    assert tree(tmp_path / "told") == tree(tmp_path / "home")
    forget_cache(shore)
    checked = shore.run("verify", "--json", "--repair")
    assert checked.code == 3, checked.stderr
    mended = {one["name"] for one in checked.of("verify")[0]["repairs"] if one["action"] in {"copied", "replaced"}}
    assert len(mended) == len(CATALOG)
    assert {name: store.get(name) for name in before} == before
    assert "clean" in shore.good("verify", "--read-data").stdout
    (row,) = shore.good("sql", "--json", "SELECT count(*) AS n FROM repairs WHERE action <> 'left'").records
    assert row["row"] == {"n": len(CATALOG)}
    store.close()


def test_a_restore_mends_a_pack_and_tells_of_it(tmp_path: Path) -> None:
    shore = Shore(tmp_path)
    shore.initialize()
    shore.good("backup", "home")
    (pack,) = [path for path in (tmp_path / "alpha/packs").rglob("*") if path.is_file()]
    whole = pack.read_bytes()
    pack.chmod(0o600)
    pack.write_bytes(whole[:5000] + b"xxxx" + whole[5004:])

    only_reported = shore.run("restore", "home", "--target", "first", "--no-repair")
    assert only_reported.code == 3
    assert "altered at alpha" in only_reported.stderr
    assert pack.read_bytes() != whole
    mended = shore.run("restore", "home", "--target", "second")
    assert mended.code == 3
    assert "mended: packs/" in mended.stdout
    assert pack.read_bytes() == whole
    assert shore.good("restore", "home", "--target", "third").code == 0
    (row,) = shore.good("sql", "--json", "SELECT replica, action, found FROM repairs").records
    assert row["row"] == {"replica": "alpha", "action": "replaced", "found": "altered"}


def forget_cache(shore: Shore) -> None:
    """Read all from the replicas again."""
    for path in sorted((shore.root / "state/cache").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()

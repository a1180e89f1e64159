"""The command line heals: over an S3, a GCS and an Azure server and a directory, with a key and without."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from farshore.stores.base import ANY_OBJECT
from tests.conftest import FreshPlace
from tests.end_to_end.shore import Shore, tree

KINDS = {"frankfurt": "s3", "iowa": "gs", "sydney": "az"}


def on_clouds(shore: Shore, fresh_place: FreshPlace) -> None:
    """Give a shore a replica at each kind of server."""
    sections = []
    for name, kind in KINDS.items():
        place = fresh_place(kind)
        references = []
        for key, value in place["credentials"].items():
            variable = f"{name}_{key}".upper()
            shore.variables[variable] = value
            references.append(f'{key} = {{ env = "{variable}" }}')
        sections.append(
            f'[replicas.{name}]\nurl = "{place["url"]}"\nendpoint = "{place["endpoint"]}"\n'
            f"credentials = {{ {', '.join(references)} }}\n"
        )
    shore.more = "".join(sections)
    shore.write_config()


def test_four_shores_are_brought_level_by_a_replicator_and_a_new_one_is_filled(
    tmp_path: Path, fresh_place: FreshPlace
) -> None:
    """Each kind of server is a source and a target; the host that heals has no key."""
    shore = Shore(tmp_path, replicas=("vault",))
    on_clouds(shore, fresh_place)
    shore.initialize()
    away = "http://127.0.0.1:9"
    for name in KINDS:  # each misses one backup
        (tmp_path / "home" / f"{name}.bin").write_bytes(os.urandom(300_000))
        missed = shore.run("backup", "home", environment={f"FARSHORE_REPLICAS__{name.upper()}__ENDPOINT": away})
        assert missed.code == 0, missed
    shutil.rmtree(tmp_path / "vault" / "packs")

    passphrase = shore.forget_keys()
    healed = shore.good("heal", "--json").of("heal")[0]
    assert (healed["level"], healed["keyless"]) == (True, True)
    assert {one["replica"]: one["snapshots_added"] for one in healed["replicas"]} == {
        "vault": 0,
        **dict.fromkeys(KINDS, 1),
    }
    assert "nothing to do" in shore.good("heal").stdout

    (tmp_path / "spare").mkdir()
    shore.replicas = ("vault", "spare")
    shore.write_config()
    assert shore.run("heal", "--replica", "spare").code == 84
    foretold = shore.good("replica", "add", "spare", "--dry-run", "--json").of("heal")[0]["replicas"][0]
    assert list((tmp_path / "spare").iterdir()) == []
    added = shore.good("replica", "add", "spare", "--json").of("heal")[0]["replicas"][0]
    assert added["snapshots_added"] == 3
    assert added["bytes_copied"] == foretold["bytes_missing"]

    shore.passphrase = passphrase
    assert "clean" in shore.good("verify", "--read-data").stdout
    for name in ("spare", "sydney"):
        shore.good("restore", "home", "--target", f"out-{name}", "--replica", name)
        assert tree(tmp_path / f"out-{name}") == tree(tmp_path / "home")


@pytest.mark.parametrize("kind", ["s3", "gs", "az"])
def test_damage_at_a_service_is_replaced_and_reported(tmp_path: Path, fresh_place: FreshPlace, kind: str) -> None:
    """A service whose checksum of the damaged object is right, because it was given the damage."""
    from farshore.clock import SystemClock  # noqa: PLC0415
    from farshore.stores import open_store  # noqa: PLC0415

    shore = Shore(tmp_path, replicas=("vault", "spare"))
    place = fresh_place(kind)
    shore.variables = {f"CLOUD_{key}".upper(): value for key, value in place["credentials"].items()}
    references = ", ".join(f'{key} = {{ env = "CLOUD_{key.upper()}" }}' for key in place["credentials"])
    shore.more = f'[replicas.cloud]\nurl = "{place["url"]}"\nendpoint = "{place["endpoint"]}"\n'
    shore.more += f"credentials = {{ {references} }}\n"
    shore.write_config()
    shore.initialize()
    shore.good("backup", "home")
    store = open_store(**place, clock=SystemClock())
    (pack, *_) = [info.name for info in store.list("packs/")]
    good = store.get(pack)
    store.delete(pack, ANY_OBJECT)
    store.put(pack, good[:-1] + bytes([good[-1] ^ 1]))
    assert shore.good("heal", "--json").of("heal")[0]["repairs"] == []  # nobody has read it
    (repair,) = shore.good("heal", "--read-data", "--json").of("heal")[0]["repairs"]
    assert (repair["object"], repair["found"], repair["action"]) == (pack, "altered", "replaced")
    assert store.get(pack) == good
    (row,) = shore.good("sql", "--json", "SELECT replica, action FROM repairs").records
    assert row["row"] == {"replica": "cloud", "action": "replaced"}
    store.close()


def test_what_nobody_has_whole_is_reported_and_ends_with_its_code(tmp_path: Path) -> None:
    shore = Shore(tmp_path)
    shore.initialize()
    shore.good("backup", "home")
    (pack, *_) = [path for path in (tmp_path / "alpha/packs").rglob("*") if path.is_file()]
    name = str(pack.relative_to(tmp_path / "alpha"))
    for replica in shore.replicas:
        path = tmp_path / replica / name
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-1])
    reported = shore.run("heal")
    assert reported.code == 65
    assert name in reported.stderr
    assert "error[heal-incomplete]" in reported.stderr


def test_a_replica_is_retired_or_refused(tmp_path: Path) -> None:
    shore = Shore(tmp_path)
    shore.initialize()
    shore.good("backup", "home")
    said = shore.good("replica", "retire", "gamma").stdout
    assert "[replicas.gamma]" in said
    assert (tmp_path / "gamma/farshore.json").exists()
    shore.replicas = ("alpha", "beta")
    shore.write_config()
    refused = shore.run("replica", "retire", "beta")
    assert refused.code == 83
    assert "quorum" in refused.stderr

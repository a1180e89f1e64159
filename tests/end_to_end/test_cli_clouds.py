"""The command line over an S3, a GCS and an Azure server and a directory, with credentials by reference."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import FreshPlace
from tests.end_to_end.shore import Shore, tree

KINDS = {"frankfurt": "s3", "iowa": "gs", "sydney": "az"}


def test_four_shores_from_init_to_restore(tmp_path: Path, fresh_place: FreshPlace) -> None:
    shore = Shore(tmp_path, replicas=("vault",))
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
    shore.quorum, shore.more = 3, "".join(sections)
    shore.write_config()

    shore.good("config", "check", "--secrets")
    shore.good("init")
    assert "at 4 of 4 replicas" in shore.good("backup", "home").stdout
    for name in KINDS:
        shore.good("restore", "home", "--target", name, "--replica", name)
        assert tree(tmp_path / name) == tree(tmp_path / "home")
    assert "clean" in shore.good("verify", "--read-data").stdout
    assert [one["state"] for one in shore.good("status", "--json").of("replica")] == ["level"] * 4
    for name in KINDS:
        (row,) = shore.good("sql", "--json", "--replica", name, "SELECT count(*) AS n FROM snapshots").records
        assert row["row"] == {"n": 1}


def test_a_revoked_credential_and_a_dead_server_are_distinguished(tmp_path: Path, fresh_place: FreshPlace) -> None:
    shore = Shore(tmp_path, replicas=("vault", "spare"))
    place = fresh_place("s3")
    shore.variables |= {"S3_KEY": place["credentials"]["access_key"], "S3_SECRET": place["credentials"]["secret_key"]}
    shore.more = (
        f'[replicas.cloud]\nurl = "{place["url"]}"\nendpoint = "{place["endpoint"]}"\n'
        'credentials = { access_key = { env = "S3_KEY" }, secret_key = { env = "S3_SECRET" } }\n'
    )
    shore.write_config()
    shore.initialize()

    shore.variables["S3_SECRET"] = "revoked"
    revoked = shore.run("backup", "home", "--json")
    assert revoked.code == 0
    assert [one["code"] for one in revoked.of("backup")[0]["warnings"]] == ["replica-left-behind"]
    outcomes = {one["replica"]: one["error_code"] for one in revoked.of("backup")[0]["replicas"]}
    assert outcomes == {"vault": "", "spare": "", "cloud": "store-denied"}
    assert shore.run("restore", "home", "--target", "out", "--replica", "cloud").code == 50
    del shore.variables["S3_SECRET"]
    unset = shore.run("status", "--json")
    assert unset.code == 20
    assert unset.of("replica")[2]["error_code"] == "secret-unavailable"

    shore.variables["S3_SECRET"] = place["credentials"]["secret_key"]
    shore.variables["FARSHORE_REPLICAS__CLOUD__ENDPOINT"] = "http://127.0.0.1:9"
    away = shore.run("backup", "home", "--json")
    assert away.code == 0
    assert [one["code"] for one in away.of("backup")[0]["warnings"]] == ["replica-left-behind"]
    assert away.of("backup")[0]["replicas"][2]["error_code"] == "store-unavailable"

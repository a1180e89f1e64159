"""`--json` of every command: records alone, with the types that docs/reference/cli.md lists, errors among them."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from tests.end_to_end.shore import Shore

PAGE = (Path(__file__).parents[2] / "docs/reference/cli.md").read_text()


@pytest.fixture(scope="module")
def shore(tmp_path_factory: pytest.TempPathFactory) -> Shore:
    shore = Shore(tmp_path_factory.mktemp("json"))
    shore.initialize()
    shore.good("backup", "home", "ledger")
    (shore.root / "home/new").write_text("new")
    shore.good("backup", "home")
    return shore


def test_init_tells_what_it_made(tmp_path: Path) -> None:
    (record,) = Shore(tmp_path).good("init", "--json").records

    assert record["type"] == "init"
    assert re.fullmatch("[0-9a-f]{32}", record["repository_id"])
    assert record["replicas"] == ["alpha", "beta", "gamma"]


def test_backup_has_a_record_for_each_source(shore: Shore) -> None:
    gone = '[sources.gone]\ntype = "directory"\npath = "gone"\n'
    (shore.root / "with-gone.toml").write_text((shore.root / "farshore.toml").read_text() + gone)
    done = shore.run("--config", "with-gone.toml", "backup", "home", "gone", "ledger", "--json")

    assert [(record["type"], record["source"]) for record in done.records] == [
        ("backup", "home"),
        ("error", "gone"),
        ("backup", "ledger"),
    ]
    backup, error, _ = done.records
    assert backup["counts"]["entries"] >= 5
    assert [one["committed"] for one in backup["replicas"]] == [True, True, True]
    assert error["code"] == "source-missing"
    assert error["exit_code"] == done.code == 11


def test_backup_with_a_name_that_is_no_source_makes_none(shore: Shore) -> None:
    """Trial N15."""
    before = len(shore.good("snapshots", "--json").of("snapshot"))
    done = shore.run("backup", "home", "nothing", "--json")
    assert [record["code"] for record in done.of("error")] == ["source-missing"]
    assert done.of("backup") == []
    assert len(shore.good("snapshots", "--json").of("snapshot")) == before


def test_snapshots_entries_and_changes(shore: Shore) -> None:
    snapshots = shore.good("snapshots", "home", "--json").of("snapshot")
    assert snapshots[0]["replicas"] == ["alpha", "beta", "gamma"]
    assert snapshots[0]["started_utc"].endswith("Z")

    entries = shore.good("ls", "home", "--json").of("entry")
    odd = next(entry for entry in entries if "path_bytes" in entry)
    assert base64.b64decode(odd["path_bytes"]) == b"caf\xe9\n"

    changes = shore.good("diff", snapshots[0]["snapshot_id"], snapshots[1]["snapshot_id"], "--json").of("change")
    assert [(change["change"], change["path"]) for change in changes] == [("added", "new")]


def test_restore_and_verify(shore: Shore) -> None:
    (restored,) = shore.good("restore", "home", "--target", "out", "--json").records
    assert restored["type"] == "restore"
    assert restored["entries"] >= 5

    (verified,) = shore.good("verify", "--read-data=50", "--json").records
    assert (verified["type"], verified["clean"], verified["damaged"]) == ("verify", True, [])


def test_results_tell_what_each_replica_was_asked(shore: Shore) -> None:
    (backup,) = shore.good("backup", "home", "--json").of("backup")
    (verified,) = shore.good("verify", "--json").of("verify")
    (restored,) = shore.good("restore", "home", "--target", "asked", "--json").of("restore")

    for record in (backup, verified, restored):
        assert [one["replica"] for one in record["requests"]] == ["alpha", "beta", "gamma"]
        for one in record["requests"]:
            counts = [one[kind] for kind in ("puts", "gets", "heads", "lists", "deletes", "bytes_up", "bytes_down")]
            assert min(counts) >= 0
            assert one["puts"] > 0  # each run leaves its audit rows at every replica
            assert one["bytes_up"] > 0
    for asked, outcome in zip(backup["requests"], backup["replicas"], strict=True):
        assert asked["puts"] >= outcome["objects_sent"]
        assert asked["bytes_up"] >= outcome["bytes_sent"]
    assert sum(one["bytes_down"] for one in restored["requests"]) > restored["bytes_restored"]


def test_progress_comes_as_records_only_where_asked_for(shore: Shore) -> None:
    silent = shore.good("backup", "home", "--json")
    reported = shore.good("backup", "home", "--json", "--progress")

    assert not silent.of("progress")
    assert reported.of("progress")
    assert silent.stderr == reported.stderr == ""


def test_status_sql_key_config_version(shore: Shore) -> None:
    assert [one["state"] for one in shore.good("status", "--json").of("replica")] == ["level"] * 3
    assert shore.good("status", "--json", "--max-age", "1d").of("source")[0]["overdue"] is False
    (row,) = shore.good("sql", "--json", "SELECT 1 AS one, NULL AS nothing, [1, 2] AS list").records
    assert row == {"type": "row", "row": {"one": 1, "nothing": None, "list": [1, 2]}}
    assert shore.good("sql", "--format", "json", "SELECT 1 AS one").records[0]["row"] == {"one": 1}
    assert {one["table"] for one in shore.good("sql", "--tables", "--json").of("column")} >= {
        "runs",
        "copies",
        "needs",
    }
    assert shore.good("key", "list", "--json").of("slot")[0]["kind"] == "passphrase"
    checked = shore.good("config", "check", "--secrets", "--json")
    assert checked.of("config")[0]["quorum"] == 2
    assert checked.of("secret")[0]["state"] == "readable"
    assert shore.good("version", "--json").of("version")[0]["format"] == 1


@pytest.mark.parametrize(
    "words",
    [
        ["ls", "nothing", "--json"],
        ["--json", "restore", "home", "--target", "home"],
        ["--json", "bakcup"],
        ["sql", "SELEC", "--json"],
    ],
    ids=" ".join,
)
def test_an_error_is_a_record_too(shore: Shore, words: list[str]) -> None:
    done = shore.run(*words)

    (record,) = done.records
    assert record["type"] == "error"
    assert record["exit_code"] == done.code
    assert record["message"]
    assert f"error[{record['code']}]" in done.stderr


def test_every_type_is_in_the_handbook(shore: Shore) -> None:
    sources = (Path(__file__).parents[2] / "farshore/cli").glob("*.py")
    text = "".join(source.read_text() for source in sources)
    kinds = set(re.findall(r'"type": "([a-z]+)"', text)) | set(re.findall(r'\.record\(\s*"([a-z]+)"', text))

    assert len(kinds) > 15
    assert not {kind for kind in kinds if f"`{kind}`" not in PAGE}

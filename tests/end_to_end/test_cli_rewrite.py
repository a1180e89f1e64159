"""`farshore rewrite` by its words: what it shows, asks and refuses, and that the bytes are gone in the end."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.end_to_end.shore import Shore


@pytest.fixture
def shore(tmp_path: Path) -> Shore:
    """Three snapshots; the last two have a secret beside what is new that night."""
    made = Shore(tmp_path)
    made.initialize()
    for number in range(3):
        (made.root / "home" / f"night-{number}").write_text(secrets.token_hex(9000))
        if number == 1:
            (made.root / "home" / "id_rsa").write_text(secrets.token_hex(9000))
        made.good("backup", "home")
    return made


def ids(shore: Shore) -> list[str]:
    return [one["snapshot_id"] for one in shore.good("snapshots", "--json").of("snapshot")]


def names_in(shore: Shore, snapshot: str) -> set[str]:
    return {one["path"] for one in shore.good("ls", snapshot, "--recursive", "--json").of("entry")}


def test_it_shows_and_asks_and_then_the_file_is_nowhere(shore: Shore) -> None:
    before = ids(shore)
    dry = shore.good("rewrite", "--remove", "id_rsa", "--dry-run", "--json")
    (plan,) = dry.of("rewrite-plan")
    assert [(one["snapshot_id"], one["entries"]) for one in plan["snapshots"]] == [(one, 1) for one in before[1:]]
    assert (plan["packs"], plan["stays"], plan["locked"]) == (1, [], [])
    assert shore.run("rewrite", "--remove", "id_rsa").code == 10, "nobody was asked"
    assert ids(shore) == before

    done = shore.good("rewrite", "--remove", "id_rsa", "--yes", "--reason", "a private key", "--json")
    (rewritten,) = done.of("rewritten")
    after = ids(shore)
    assert [(one["snapshot_id"], one["successor"]) for one in rewritten["snapshots"]] == [
        *zip(before[1:], after[1:], strict=True)
    ]
    assert [one["reasons"] for one in shore.good("forget", "--list", "--json").of("forgotten")] == [
        ["files were removed from it: a private key"]
    ] * 2
    (shore.root / "home" / "id_rsa").unlink()
    shore.good("backup", "home")
    shore.good("verify", "--read-data")
    shore.good("prune", "--grace", "0s", "--empty-trash", "--max-delete", "100%")
    for one in ids(shore):
        assert "id_rsa" not in names_in(shore, one)
        shore.good("restore", one, "--target", str(shore.root / f"back-{one[:8]}"))
    rows = shore.good("sql", "SELECT snapshot_id, replaces FROM runs WHERE operation = 'rewrite'", "--json").of("row")
    assert {(one["row"]["snapshot_id"], one["row"]["replaces"]) for one in rows} == {
        *zip(after[1:], before[1:], strict=True)
    }
    assert not shore.good("status", "--json").of("trust")[0].get("quarantined")
    assert shore.run("rewrite", "--remove", "id_rsa", "--yes").code == 12
    shore.good("status")


def test_what_stops_it(shore: Shore) -> None:
    before = ids(shore)
    shore.good("hold", before[1], "--reason", "case 4711")
    held = shore.run("rewrite", "--remove", "id_rsa", "--yes")
    assert held.code == 94
    assert "case 4711" in held.stderr
    assert ids(shore) == before
    shore.good("hold", "--remove", before[1], "--reason", "settled")

    assert shore.run("rewrite", "--remove", "id_rsa", "--source", "nothing").code == 12
    assert shore.run("rewrite", "--remove", "id_rsa", "--before", "yesterday").code == 2
    assert shore.run("rewrite", "--remove", "!id_rsa", "--yes").code == 10
    assert shore.run("rewrite", "--remove", "id_rsa", "--source", "home", before[1]).code == 10


def test_approvers_are_asked_for_every_snapshot_that_goes(shore: Shore) -> None:
    before = ids(shore)
    shore.good("key", "enroll", "alice", "--role", "approver", "--out", str(shore.root / "alice.json"))
    shore.good("key", "policy", "--approver", "alice", "--approvals", "1", "--keep-last", "1")
    asked = shore.run("rewrite", "--remove", "id_rsa", "--yes")
    assert asked.code == 96
    assert ids(shore) == before
    (request,) = shore.good("approve", "--list", "--json").of("request")
    assert len(request["snapshots"]) == 2
    shore.variables["FARSHORE_REPOSITORY__CREDENTIAL"] = str(shore.root / "alice.json")
    shore.good("approve", request["request"], "--yes")
    del shore.variables["FARSHORE_REPOSITORY__CREDENTIAL"]
    shore.good("rewrite", "--remove", "id_rsa", "--yes")
    assert not set(before[1:]).intersection(ids(shore))
    shore.good("prune", "--grace", "0s", "--max-delete", "100%")
    assert shore.good("forget", "--list", "--json").of("forgotten") == []

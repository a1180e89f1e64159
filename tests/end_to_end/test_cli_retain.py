"""`farshore retain`, `forget` and `unforget` by their words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.shore import Shore


@pytest.fixture
def shore(tmp_path: Path) -> Shore:
    """Four snapshots of one day."""
    made = Shore(tmp_path)
    made.initialize()
    for number in range(4):
        (made.root / "home" / "changing").write_text(str(number))
        made.good("backup", "home")
    return made


def ids(shore: Shore) -> list[str]:
    return [one["snapshot_id"] for one in shore.good("snapshots", "--json").of("snapshot")]


def with_rules(shore: Shore, rules: str) -> None:
    shore.more = rules
    shore.write_config()


def test_rules_are_tried_shown_and_kept(shore: Shore) -> None:
    before = ids(shore)
    refused = shore.run("retain")
    assert refused.code == 10
    assert "no rule for retention" in refused.stderr

    tried = shore.good("retain", "--keep-last", "2", "--json").of("verdict")
    assert [(one["snapshot_id"], one["keep"]) for one in tried] == [(one, at > 1) for at, one in enumerate(before)]
    assert tried[-1]["reasons"] == ["newest", "last 1 of 2"]
    with_rules(shore, '[retention]\nkeep_daily = 7\ntime_zone = "Europe/Berlin"\n')
    dry = shore.good("retain", "--dry-run")
    assert "3 of 4 snapshots would be forgotten" in dry.stderr
    assert dry.stdout.count("no rule keeps it") == 3
    drawn = shore.good("retain", "--show").stdout.splitlines()
    assert drawn[0] == "home: keep_daily = 7 (Europe/Berlin)"
    assert drawn[3][9:].strip(".") == "K"
    assert ids(shore) == before, "nothing was forgotten yet"

    assert "3 of 4 snapshots are forgotten" in shore.good("retain").stderr
    assert ids(shore) == before[3:]
    shore.good("verify", "--read-data")
    shore.good("heal")
    assert [one["snapshots"] for one in shore.good("status", "--json").of("replica")] == [1] * len(shore.replicas)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("[retention]\ntime_zone = 'UTC'\n", "keeps nothing"),
        ("[retention]\nkeep_daily = 0\n", "at least 1"),
        ("[retention]\nkeep_dayly = 7\n", "Did you mean keep_daily"),
        ("[retention]\nkeep_daily = 7\ntime_zone = 'Berlin'\n", "no time zone"),
        ("[retention.sources.home]\n", "keeps nothing"),
        ("[retention]\nkeep_last = 1\nsources = 3\n", "holds no sections"),
    ],
)
def test_rules_that_cannot_be_are_an_error(shore: Shore, rules: str, said: str) -> None:
    with_rules(shore, rules)
    found = shore.run("retain")
    assert found.code == 10
    assert said in found.stderr


def test_by_hand_and_back(shore: Shore) -> None:
    before = ids(shore)
    protected = shore.run("forget", "home")
    assert protected.code == 94
    assert "last complete snapshot of home" in protected.stderr
    assert shore.run("forget").code == 10

    done = shore.good("forget", before[1][:8], "--reason", "holds a password")
    assert "forgotten" in done.stdout
    assert "nothing was deleted" in done.stderr
    assert ids(shore) == [before[0], *before[2:]]
    (listed,) = shore.good("forget", "--list", "--json").of("forgotten")
    assert (listed["snapshot_id"], listed["source"], listed["reasons"]) == (before[1], "home", ["holds a password"])
    assert shore.run("restore", before[1], "--target", str(shore.root / "back")).code == 12
    assert shore.run("unforget", before[0]).code == 12

    assert shore.good("unforget", before[1][:8], "--json").of("unforgotten")[0]["tombstones"] == 1
    assert ids(shore) == before
    assert "nothing is forgotten" in shore.good("forget", "--list").stderr
    shore.good("restore", before[1], "--target", str(shore.root / "back"))
    assert shore.good("forget", before[3], "--even-last").code == 0
    assert ids(shore) == before[:3]


def test_a_writer_forgets_nothing(shore: Shore) -> None:
    before = ids(shore)
    shore.passphrase = None
    found = shore.run("forget", before[0])
    assert found.code == 55
    assert "right to maintain" in found.stderr
    assert ids(shore) == before


def test_pins_and_holds(shore: Shore) -> None:
    before = ids(shore)
    assert "needs a reason" in shore.run("pin", before[0]).stderr
    assert "has passed" in shore.run("pin", before[0], "--reason", "x", "--until", "2020-01-01").stderr
    assert "is no time" in shore.run("pin", before[0], "--reason", "x", "--until", "soon").stderr
    assert "pinned" in shore.good("pin", before[0], "--reason", "before the move", "--until", "90d").stdout
    shore.good("hold", before[1], "--reason", "case 4711")
    (pinned,) = shore.good("pin", "--list", "--json").of("kept")
    assert (pinned["snapshot"], pinned["reason"], pinned["ended"]) == (before[0], "before the move", False)
    assert "case 4711" in shore.good("hold", "--list").stdout
    refused = shore.run("forget", before[1])
    assert refused.code == 94
    assert "a hold keeps snapshot" in refused.stderr
    assert "hold --remove" in refused.stderr
    tried = shore.good("retain", "--keep-last", "1", "--json").of("verdict")
    assert [one["keep"] for one in tried] == [True, True, False, True]
    assert tried[0]["reasons"][0].endswith(": before the move")
    assert tried[1]["reasons"] == ["held case 4711"]
    shore.good("hold", "--remove", before[1], "--reason", "settled")
    shore.good("forget", before[1])
    assert shore.run("hold", "--remove", before[1]).code == 12


def test_tags(shore: Shore) -> None:
    shore.good("backup", "home", "--tag", "release", "--tag", "v=1")
    before = ids(shore)
    assert [one["snapshot_id"] for one in shore.good("snapshots", "--tag", "v=1", "--json").of("snapshot")] == before[
        4:
    ]
    assert "old, v=1" in shore.good("tag", before[4], "--add", "old", "--remove", "release").stdout
    assert "old, v=1" in shore.good("snapshots").stdout
    assert shore.run("backup", "home", "--tag", "a b").code == 10
    assert shore.run("tag", before[0]).code == 10
    shore.good("tag", before[0], "--add", "temporary")
    shore.good("forget", "--tag", "temporary")
    assert ids(shore) == before[1:]
    assert shore.run("forget", "--tag", "temporary").code == 12
    assert shore.run("retain", "--keep-tag", "odl").code == 3
    tried = shore.good("retain", "--keep-tag", "old", "--keep-tag", "older", "--json").of("verdict")
    assert [one["keep"] for one in tried] == [False, False, False, True]


def test_approvals(shore: Shore) -> None:
    before = ids(shore)
    shore.good("key", "enroll", "alice", "--role", "approver", "--out", str(shore.root / "alice.json"))
    assert shore.run("key", "policy", "--approver", "bob", "--approvals", "1").code == 10
    assert shore.run("key", "policy", "--approver", "alice", "--approvals", "1", "--keep-daily", "0").code == 10
    shore.good("key", "policy", "--approver", "alice", "--approvals", "1", "--keep-last", "3")
    shore.good("forget", before[0])
    refused = shore.run("forget", before[1], "--reason", "an accident")
    assert refused.code == 96
    assert "Ask 1 of alice" in refused.stderr
    (request,) = shore.good("approve", "--list", "--json").of("request")
    assert [one["snapshot"] for one in request["snapshots"]] == [before[1]]
    assert "an accident" in shore.good("approve", request["request"][:8], "--show").stdout
    assert shore.run("approve", request["request"], "--yes").code == 55, "a passphrase is no approver"
    assert shore.run("approve", request["request"]).code == 10, "nobody was asked"
    shore.variables["FARSHORE_REPOSITORY__CREDENTIAL"] = str(shore.root / "alice.json")
    done = shore.good("approve", request["request"], "--yes", "--json")
    assert [one["granted"] for one in done.of("request")] == [False]
    assert done.of("approved")[0]["hosts"] == ["alice"]
    del shore.variables["FARSHORE_REPOSITORY__CREDENTIAL"]
    shore.good("forget", before[1])
    assert ids(shore) == before[2:]
    assert "2 of 1" not in shore.good("approve", "--list").stdout

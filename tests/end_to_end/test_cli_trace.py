"""`--trace` on the command line, over a real S3 server."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import FreshPlace
from tests.end_to_end.shore import Shore


def test_a_trace_has_each_request_that_the_run_reports_and_says_who_asked(
    tmp_path: Path, fresh_place: FreshPlace
) -> None:
    shore = Shore(tmp_path, replicas=())
    place = fresh_place("s3")
    shore.variables |= {"S3_KEY": place["credentials"]["access_key"], "S3_SECRET": place["credentials"]["secret_key"]}
    shore.quorum = 1
    shore.more = (
        f'[replicas.cloud]\nurl = "{place["url"]}"\nendpoint = "{place["endpoint"]}"\n'
        'credentials = { access_key = { env = "S3_KEY" }, secret_key = { env = "S3_SECRET" } }\n'
    )
    shore.write_config()
    shore.initialize()

    done = shore.good("backup", "home", "--json", "--trace", "home.trace")
    (told,) = done.of("trace")
    (asked,) = done.of("backup")[0]["requests"]
    lines = [json.loads(text) for text in (tmp_path / "home.trace").read_text().splitlines()]
    assert told["requests"] == sum(one["requests"] for one in lines)
    assert told["requests"] == sum(asked[kind] for kind in ("puts", "gets", "heads", "lists", "deletes"))
    assert 0 < told["waits"] <= told["requests"]
    assert told["connections"] >= 1
    commit = next(one for one in lines if one["verb"] == "put" and one["name"].startswith("snapshots/"))
    assert "ops.backup.commit" in commit["why"]

    for words in (["snapshots"], ["snapshots", "home"], ["find", "*", "home"], ["ls", "home"], ["du"]):
        shore.good(*words, "--trace", "asked.trace")
        asked_for = [json.loads(text) for text in (tmp_path / "asked.trace").read_text().splitlines()]
        lists = [one["name"] for one in asked_for if one["verb"] == "list"]
        assert len([name for name in lists if name.startswith("snapshots/")]) == 1, (words, lists)
        assert len(lists) == len(set(lists)), (words, lists)

    noted = shore.good("--trace", "again.trace", "snapshots")
    assert "in line" in noted.stderr
    assert "again.trace" in noted.stderr
    refused = shore.run("snapshots", "--trace", "none/there.trace")
    assert refused.code == 10
    assert "cannot be written" in refused.stderr

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from farshore.errors import Bug, FormatTooNew, ObjectCorrupt
from farshore.format import encode_canonical, names
from farshore.format.commit import (
    Commit,
    ReplicaLock,
    RunRef,
    decode_commit,
    decode_head,
    encode_commit,
    encode_details,
)
from farshore.model import SnapshotCounts, SnapshotState

START = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
LOCK = ReplicaLock("compliance", START + timedelta(days=30), 1_296_000, "s3://b")
MANIFEST, NEEDS, BASE, PAGES = RunRef("5" * 64, 7), RunRef("6" * 64, 8), RunRef("7" * 64, 9), RunRef("8" * 64, 10)
COMMIT = Commit(
    snapshot="1" * 32,
    source_id="2" * 32,
    run="3" * 32,
    lease="9" * 32,
    domain="main",
    epoch=1,
    parent="",
    parent_commit="",
    sequence=7,
    started_utc=START,
    committed_utc=START + timedelta(seconds=9),
    state=SnapshotState.COMPLETE,
    data_key="4" * 32,
    runs={"manifest": (MANIFEST,), "needs": (NEEDS,), "pages": (BASE, PAGES)},
    log=(1, "e" * 64),
    source="höme",
    kind="directory",
    identity="2026-03-04T05:00",
    farshore="0.1.0",
    counts=SnapshotCounts(*range(1, 12)),
    facts={"lsn": "0/16B3748"},
    quorum=2,
    marks={"host": "web1"},
)
BODY, DETAILS = encode_commit(COMMIT, b"sealed"), encode_details(COMMIT)


def read(body: bytes = BODY, details: bytes = DETAILS) -> Commit:
    head, sealed = decode_head(json.loads(body), "it")
    assert sealed == b"sealed"
    return decode_commit(head, details, "it")


def test_a_commit_is_read_as_it_was_written() -> None:
    assert read() == COMMIT
    locked = replace(COMMIT, locks={"vault": LOCK})
    assert read(details=encode_details(locked)) == locked
    assert b"locks" not in DETAILS


def test_a_commit_holds_what_the_format_says_and_no_name_that_a_user_chose_in_clear() -> None:
    value = json.loads(BODY)
    assert set(value) == {
        "format", "version", "snapshot", "source_id", "run", "lease", "domain", "epoch", "parent", "parent_commit",
        "sequence", "started_utc", "committed_utc", "state", "data_key", "runs", "log", "sealed",
    }  # fmt: skip
    assert value["runs"]["needs"] == [{"blake3": "6" * 64, "bytes": 8}]
    assert value["log"] == [1, "e" * 64]
    assert set(json.loads(DETAILS)) == {
        "source", "kind", "identity", "farshore", "counts", "facts", "quorum", "marks",
    }  # fmt: skip
    assert "höme".encode() not in BODY


def test_its_name_carries_the_hash_of_what_is_stored() -> None:
    stored = replace(COMMIT, hash="f" * 64)
    assert stored.name == names.commit("2" * 32, "1" * 32, "f" * 64)
    assert stored.name == f"{stored.subject}-{'f' * 64}"
    with pytest.raises(Bug):
        _ = COMMIT.name


def test_the_runs_of_a_commit() -> None:
    assert (COMMIT.manifest, COMMIT.needs, COMMIT.pages) == ((MANIFEST,), (NEEDS,), (BASE, PAGES))
    assert COMMIT.all_runs == (MANIFEST, NEEDS, BASE, PAGES)
    none = replace(COMMIT, runs={"manifest": (MANIFEST,), "needs": (NEEDS,)})
    assert none.pages == ()
    assert MANIFEST.name == f"runs/{'5' * 64}"


def test_keys_of_a_later_version_are_ignored_everywhere() -> None:
    locked = replace(COMMIT, locks={"vault": LOCK})
    value, details = json.loads(BODY), json.loads(encode_details(locked))
    for part in (value, value["runs"]["needs"][0], details, details["counts"], details["locks"]["vault"]):
        part["of_later"] = 5
    assert read(encode_canonical(value), encode_canonical(details)) == locked


def test_counts_that_an_earlier_version_did_not_know_are_zero() -> None:
    details = json.loads(DETAILS)
    del details["counts"]["packs_new"]
    assert read(details=encode_canonical(details)).counts == replace(COMMIT.counts, packs_new=0)


@pytest.mark.parametrize("sequence", [-1, 0, 1 << 53, "many", True, 1.0])
def test_a_sequence_that_no_run_can_have_given_is_corrupt(sequence: object) -> None:
    with pytest.raises(ObjectCorrupt):
        read(json.dumps(json.loads(BODY) | {"sequence": sequence}).encode())


def test_an_epoch_that_no_key_tag_has_is_corrupt() -> None:
    with pytest.raises(ObjectCorrupt):
        read(encode_canonical(json.loads(BODY) | {"epoch": 1 << 32}))


@pytest.mark.parametrize("runs", [{}, {"manifest": []}, {"manifest": [{"blake3": "5" * 64, "bytes": 1}], "needs": []}])
def test_a_commit_without_manifest_or_needs_is_corrupt(runs: object) -> None:
    with pytest.raises(ObjectCorrupt):
        read(encode_canonical(json.loads(BODY) | {"runs": runs}))


def test_a_later_version_is_reported() -> None:
    with pytest.raises(FormatTooNew, match="version 2"):
        read(BODY.replace(b'"version":1', b'"version":2'))
    with pytest.raises(ObjectCorrupt, match="not a commit"):
        read(BODY.replace(b"farshore-commit", b"farshore-lease"))


@pytest.mark.parametrize("part", [0, 1], ids=["head", "details"])
def test_a_commit_that_lacks_anything_is_corrupt(part: int) -> None:
    for key in json.loads((BODY, DETAILS)[part]):
        both = [json.loads(BODY), json.loads(DETAILS)]
        del both[part][key]
        with pytest.raises(ObjectCorrupt):
            read(*map(encode_canonical, both))


@pytest.mark.parametrize("part", [0, 1], ids=["head", "details"])
@pytest.mark.parametrize("wrong", [None, 7, [], [1], ["x"], {}, {"a": 1}, "x"], ids=repr)
def test_a_commit_with_something_else_in_it_is_corrupt_or_the_same_shape(part: int, wrong: Any) -> None:
    """No wrong value ever ends in an error that is not ours."""
    for key in json.loads((BODY, DETAILS)[part]):
        both = [json.loads(BODY), json.loads(DETAILS)]
        both[part][key] = wrong
        head: Any = None
        try:
            head, _ = decode_head(both[0], "it")
            decode_commit(head, encode_canonical(both[1]), "it")
        except (ObjectCorrupt, FormatTooNew):
            continue


def test_every_count_of_the_model_is_kept() -> None:
    assert read().counts == SnapshotCounts(*range(1, 12))
    assert len(asdict(COMMIT.counts)) == 11

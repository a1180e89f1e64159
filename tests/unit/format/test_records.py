from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from farshore.errors import FormatTooNew, ObjectCorrupt
from farshore.format.records import (
    Commit,
    Lease,
    Needs,
    ObjectRef,
    ReplicaLock,
    decode_commit,
    decode_lease,
    decode_needs,
    encode_canonical,
    encode_commit,
    encode_lease,
    encode_needs,
)
from farshore.model import SnapshotCounts, SnapshotState

START = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
COMMIT = Commit(
    snapshot="1" * 32,
    source_id="2" * 32,
    source="höme",
    kind="directory",
    identity="2026-03-04T05:00",
    run="3" * 32,
    parent="",
    started_utc=START,
    committed_utc=START + timedelta(seconds=9),
    farshore="0.1.0",
    data_key="4" * 32,
    objects={"manifest": ObjectRef("snapshots/a", 7, "5" * 64), "needs": ObjectRef("snapshots/b", 8, "6" * 64)},
    counts=SnapshotCounts(*range(1, 12)),
    facts={"lsn": "0/16B3748"},
    quorum=2,
)
NEEDS = Needs(packs=(("a" * 64, 16_777_216), ("b" * 64, 300)), data_keys=("c" * 32, "d" * 32))
LEASE = Lease(
    lease="1" * 32, run="2" * 32, source_id="3" * 32, identity="", snapshot="4" * 32, host='{"pid":1}', beat=3,
    started_utc=START, expires_utc=START + timedelta(minutes=15),
)  # fmt: skip
LATER = {"state", "sequence", "marks"}  # keys of a commit that the first records did not have
DECODERS = [
    (decode_commit, encode_commit(COMMIT)),
    (decode_needs, encode_needs(NEEDS)),
    (decode_lease, encode_lease(LEASE)),
]


def test_records_are_read_as_they_were_written() -> None:
    assert decode_commit(encode_commit(COMMIT)) == COMMIT
    locked = replace(
        COMMIT, locks={"vault": ReplicaLock("compliance", START + timedelta(days=30), 1_296_000, "s3://b")}
    )
    assert decode_commit(encode_commit(locked)) == locked
    assert b"locks" not in encode_commit(COMMIT)  # records of repositories without locks are what they were
    assert decode_needs(encode_needs(NEEDS)) == NEEDS
    assert decode_lease(encode_lease(LEASE)) == LEASE
    assert decode_lease(encode_lease(replace(LEASE, state="ended"))).state == "ended"


def test_needs_are_sorted_so_that_equal_needs_are_equal_bytes() -> None:
    shuffled = Needs(packs=NEEDS.packs[::-1], data_keys=NEEDS.data_keys[::-1])
    assert encode_needs(shuffled) == encode_needs(NEEDS)
    assert json.loads(encode_needs(NEEDS)) == {
        "version": 1, "packs": [["a" * 64, 16_777_216], ["b" * 64, 300]], "data_keys": ["c" * 32, "d" * 32]
    }  # fmt: skip


def test_a_commit_holds_what_the_format_says() -> None:
    value = json.loads(encode_commit(COMMIT))
    assert set(value) == {
        "version", "snapshot", "source_id", "source", "kind", "identity", "run", "parent", "started_utc",
        "committed_utc", "farshore", "data_key", "objects", "counts", "facts", "quorum", "state",
        "sequence", "marks",
    }  # fmt: skip
    assert value["objects"]["needs"] == {"name": "snapshots/b", "bytes": 8, "blake3": "6" * 64}


@pytest.mark.parametrize(("decode", "payload"), DECODERS, ids=["commit", "needs", "lease"])
def test_keys_of_a_later_version_are_ignored(decode: Any, payload: bytes) -> None:
    assert decode(encode_canonical(json.loads(payload) | {"comment": {"x": [1]}})) == decode(payload)


def test_keys_of_a_later_version_are_ignored_in_the_parts_of_a_commit() -> None:
    lock = ReplicaLock("compliance", START + timedelta(days=30), 1_296_000, "s3://b")
    value = json.loads(encode_commit(replace(COMMIT, locks={"vault": lock})))
    for part in (value["objects"]["needs"], value["locks"]["vault"]):
        part["sha256"] = "7" * 64
    assert decode_commit(encode_canonical(value)) == replace(COMMIT, locks={"vault": lock})


def test_counts_of_a_later_version_are_ignored() -> None:
    value = json.loads(encode_commit(COMMIT))
    value["counts"]["bytes_saved_by_magic"] = 5
    assert decode_commit(encode_canonical(value)).counts == COMMIT.counts


def test_counts_that_an_earlier_version_did_not_know_are_zero() -> None:
    value = json.loads(encode_commit(COMMIT))
    del value["counts"]["packs_new"]
    assert decode_commit(encode_canonical(value)).counts == replace(COMMIT.counts, packs_new=0)


def test_a_commit_without_a_place_or_marks_is_read() -> None:
    value = json.loads(encode_commit(replace(COMMIT, sequence=7, marks={"host": "web1"})))
    assert (decode_commit(encode_canonical(value)).sequence, value["marks"]) == (7, {"host": "web1"})
    del value["sequence"], value["marks"]
    assert decode_commit(encode_canonical(value)) == COMMIT


@pytest.mark.parametrize("sequence", [-1, 1 << 53, "many"])
def test_a_sequence_that_no_run_can_have_given_is_corrupt(sequence: object) -> None:
    with pytest.raises(ObjectCorrupt):
        decode_commit(encode_canonical(json.loads(encode_commit(COMMIT)) | {"sequence": sequence}))


@pytest.mark.parametrize(("problems", "state"), [(0, SnapshotState.COMPLETE), (2, SnapshotState.INCOMPLETE)])
def test_a_commit_that_does_not_say_whether_it_is_complete_is_judged_by_its_problems(
    problems: int, state: SnapshotState
) -> None:
    value = json.loads(encode_commit(COMMIT))
    del value["state"]
    value["counts"]["problems"] = problems
    assert decode_commit(encode_canonical(value)).state is state


@pytest.mark.parametrize(("decode", "payload"), DECODERS, ids=["commit", "needs", "lease"])
def test_a_later_version_is_reported(decode: Any, payload: bytes) -> None:
    with pytest.raises(FormatTooNew, match="version 2"):
        decode(payload.replace(b'"version":1', b'"version":2'))


@pytest.mark.parametrize(("decode", "payload"), DECODERS, ids=["commit", "needs", "lease"])
def test_a_record_that_lacks_anything_is_corrupt(decode: Any, payload: bytes) -> None:
    for key in json.loads(payload).keys() - LATER:
        value = json.loads(payload)
        del value[key]
        with pytest.raises(ObjectCorrupt):
            decode(encode_canonical(value))


@pytest.mark.parametrize(("decode", "payload"), DECODERS, ids=["commit", "needs", "lease"])
@pytest.mark.parametrize("wrong", [None, 7, [], [1], ["x"], {}, {"a": 1}], ids=repr)
def test_a_record_with_something_else_in_it_is_corrupt_or_the_same_shape(
    decode: Any, payload: bytes, wrong: Any
) -> None:
    """No wrong value ever ends in an error that is not ours; some fields of text are taken as they are."""
    for key in json.loads(payload):
        value = json.loads(payload)
        value[key] = wrong
        try:
            decode(encode_canonical(value))
        except ObjectCorrupt:
            continue
        except FormatTooNew:
            assert key == "version"


def test_every_count_of_the_model_is_kept() -> None:
    assert decode_commit(encode_commit(COMMIT)).counts == SnapshotCounts(*range(1, 12))
    assert len(asdict(COMMIT.counts)) == 11

"""What one word of a provider shows: every kind of evidence by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from farshore.audit.rows import ProofState
from farshore.ops.verify.remote.joining import join
from farshore.ops.verify.remote.judging import Verdict, judge
from farshore.ops.verify.remote.records import Recorded
from farshore.stores.base import ObjectInfo

INFO = ObjectInfo("packs/a", 10, checksum="crc32c:01")
OTHER = replace(INFO, checksum="crc32c:02")
MUTE = replace(INFO, checksum="")
RECORD = Recorded("packs/a", 10, expected={"iowa": False}, reported={}, states={})
SENT = replace(RECORD, sent=("crc32c:01", "md5:05"))


def judged(
    info: ObjectInfo, record: Recorded | None, *peers: ObjectInfo, algorithm: str = "crc32c"
) -> tuple[ProofState, str]:
    verdict = judge("iowa", info, record, {f"peer-{n}": one for n, one in enumerate(peers)}, algorithm)
    return verdict.state, verdict.against


@pytest.mark.parametrize(
    ("record", "against"),
    [
        (SENT, "sent"),
        (replace(RECORD, proof=("crc32c:01",)), "proof"),
        (replace(RECORD, reported={"iowa": "crc32c:01"}), "told"),
        (replace(RECORD, reported={"oslo": "crc32c:01"}), "told"),
    ],
    ids=["sent", "read back", "told at commit", "told by another at commit"],
)
def test_each_record_proves_what_is_alike_and_finds_what_is_not(record: Recorded, against: str) -> None:
    assert judged(INFO, record) == (ProofState.OK, against)
    assert judged(OTHER, record) == (ProofState.ALTERED, against)


def test_what_was_sent_outweighs_what_the_provider_reported_and_what_others_tell() -> None:
    record = replace(SENT, reported={"iowa": "crc32c:02"})
    assert judged(OTHER, record, OTHER) == (ProofState.ALTERED, "sent")
    assert judged(INFO, record, OTHER) == (ProofState.OK, "sent")


def test_sizes_come_first() -> None:
    assert judged(replace(INFO, size=9), SENT) == (ProofState.TRUNCATED, "sent")
    assert judged(replace(INFO, size=11), SENT) == (ProofState.ALTERED, "sent")
    assert judged(replace(INFO, size=9), None, INFO) == (ProofState.ALTERED, "peer")


def test_without_a_record_the_others_judge_and_nobody_says_who_is_right() -> None:
    assert judged(INFO, None, INFO) == (ProofState.OK, "peer")
    assert judged(INFO, RECORD, INFO, MUTE) == (ProofState.OK, "peer")
    assert judged(INFO, RECORD, INFO, OTHER) == (ProofState.ALTERED, "peer")


def test_checksums_of_another_kind_prove_nothing() -> None:
    md5 = replace(INFO, checksum="md5:05")
    assert judged(INFO, None, md5) == (ProofState.UNPROVEN, "")
    assert judged(INFO, replace(RECORD, sent=("md5:05",))) == (ProofState.UNPROVEN, "")


def test_nothing_known_is_unproven_and_never_ok() -> None:
    assert judged(INFO, None) == (ProofState.UNPROVEN, "")
    assert judged(INFO, RECORD) == (ProofState.UNPROVEN, "")
    assert judged(MUTE, RECORD, algorithm="") == (ProofState.UNPROVEN, "")
    assert judged(MUTE, SENT, algorithm="") == (ProofState.UNPROVEN, ""), "the size alone proves no content"


def test_records_that_contradict_each_other_are_no_record() -> None:
    assert judged(INFO, replace(RECORD, sent=("crc32c:01", "crc32c:02"))) == (ProofState.UNPROVEN, "")


def test_a_checksum_that_was_reported_and_is_reported_no_more() -> None:
    assert judged(MUTE, replace(RECORD, reported={"iowa": "crc32c:01"})) == (ProofState.ALTERED, "told")
    assert judged(MUTE, replace(RECORD, reported={"oslo": "crc32c:01"})) == (ProofState.UNPROVEN, "")


@pytest.mark.parametrize(("record", "silent"), [
    (SENT, True),
    (replace(SENT, expected={"iowa": True}), False),
    (replace(SENT, expected={}), False),
    (replace(SENT, sent=("md5:05",)), False),
], ids=["put with it", "copied by the provider", "not put here", "put with another kind"])  # fmt: skip
def test_an_object_that_was_put_with_a_checksum_must_have_one(record: Recorded, silent: bool) -> None:
    verdict = judge("iowa", MUTE, record, {}, "crc32c")
    assert (verdict.state, verdict.silent) == (ProofState.UNPROVEN, silent)


def test_only_what_is_not_as_it_must_be_counts_as_damage() -> None:
    assert {state for state in ProofState if Verdict(state).damaged} == {
        ProofState.MISSING,
        ProofState.TRUNCATED,
        ProofState.ALTERED,
    }


def test_listings_and_records_are_joined_by_name() -> None:
    def infos(*found: str) -> Iterator[ObjectInfo]:
        return (ObjectInfo(name, 1) for name in found)

    records = (Recorded(name, 1) for name in ("b", "c", "e"))
    joined = list(join({"one": infos("a", "b", "d"), "two": infos("b", "e"), "three": infos()}, records))
    assert [(one.name, one.record is not None, sorted(one.listed)) for one in joined] == [
        ("a", False, ["one"]),
        ("b", True, ["one", "two"]),
        ("c", True, []),
        ("d", False, ["one"]),
        ("e", True, ["two"]),
    ]

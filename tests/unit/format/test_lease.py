from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from farshore.errors import FormatTooNew, ObjectCorrupt
from farshore.format import decode_object, names
from farshore.format.lease import EndState, Lease, LeaseEnd, decode_end, decode_lease, encode_end, encode_lease
from farshore.format.needs import NeededKey
from farshore.format.plan import PlanPart, PlanState, decode_plan, encode_plan
from farshore.format.tombstone import (
    CounterTombstone,
    Tombstone,
    decode_counter,
    decode_tombstone,
    encode_counter,
    encode_tombstone,
)
from farshore.format.verdict import Verdict, decode_verdict, encode_verdict

ID, HASH, MOMENT = "1" * 32, "a" * 64, datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
LOG = (3, HASH)
LEASE = Lease(ID, "2" * 32, "3" * 32, "nightly", "4" * 32, "{}", 7, MOMENT, MOMENT, LOG)
END = LeaseEnd(ID, 0, EndState.COMMITTING, MOMENT, LOG, commit=b"two lines\nof it\n")
PLAN = PlanPart(5, PlanState.CONDEMNED, MOMENT, LOG, roots=(HASH,), names=("packs/aa/x", "runs/y"))
STONE = Tombstone("4" * 32, HASH, "too old", "keep 7", MOMENT, LOG)
VERDICT = Verdict(
    (b"p" * 32, b"q" * 32), (NeededKey(ID, "5" * 32, HASH),), (b"l" * 32,), (b"v" * 32,), "read", MOMENT, LOG
)
COUNTER = CounterTombstone("4" * 32, (HASH,), "it was needed", MOMENT, LOG)

FORMS: list[tuple[Any, Callable[[Any], bytes], Callable[[Any, str], Any]]] = [
    (LEASE, encode_lease, decode_lease),
    (END, encode_end, decode_end),
    (PLAN, encode_plan, decode_plan),
    (STONE, encode_tombstone, decode_tombstone),
    (COUNTER, encode_counter, decode_counter),
    (VERDICT, encode_verdict, decode_verdict),
]
NAMES = ["lease", "end", "plan", "tombstone", "counter", "verdict"]


@pytest.mark.parametrize(("value", "encode", "decode"), FORMS, ids=NAMES)
def test_what_was_encoded_is_decoded(value: Any, encode: Callable[[Any], bytes], decode: Callable[..., Any]) -> None:
    assert decode(decode_object(encode(value), "x"), "x") == value


@pytest.mark.parametrize(("value", "encode", "decode"), FORMS, ids=NAMES)
def test_keys_of_a_later_version_are_ignored_and_a_later_version_is_not_read(
    value: Any, encode: Callable[[Any], bytes], decode: Callable[..., Any]
) -> None:
    read = decode_object(encode(value), "x")
    assert decode({**read, "more": 1}, "x") == value
    with pytest.raises(FormatTooNew, match="version 2"):
        decode({**read, "version": 2}, "x")
    for wrong in ({"format": "farshore-commit"}, {"version": True}, {"version": "1"}, {"log": [1, "x"]}):
        with pytest.raises(ObjectCorrupt):
            decode({**read, **wrong}, "x")


@pytest.mark.parametrize(("value", "encode", "decode"), FORMS, ids=NAMES)
def test_nothing_may_be_missing_or_of_another_type(
    value: Any, encode: Callable[[Any], bytes], decode: Callable[..., Any]
) -> None:
    read = decode_object(encode(value), "x")
    for key in read:
        optional = key in ("commit", "commits")
        if not (optional and isinstance(value, LeaseEnd)):
            with pytest.raises(ObjectCorrupt):
                decode({name: item for name, item in read.items() if name != key}, "x")
    for key in set(read) - {"reason", "rule"}:
        with pytest.raises((ObjectCorrupt, FormatTooNew)):
            decode({**read, key: 12.5}, "x")


def test_the_end_of_a_heal_names_the_commits_that_it_puts() -> None:
    end = replace(END, commit=b"", commits=(HASH, "b" * 64))
    body = encode_end(end)
    assert b'"commit":' not in body
    assert decode_end(decode_object(body, "x"), "x") == end
    with pytest.raises(ObjectCorrupt):
        decode_end({**decode_object(body, "x"), "commits": ["not a hash"]}, "x")


def test_a_state_that_is_not_known_is_read_as_it_is() -> None:
    read = decode_object(encode_end(replace(END, state="merging")), "x")
    assert decode_end(read, "x").state == "merging"


def test_names_of_what_decides_on_deletion_parse_back() -> None:
    assert names.parse_plan(names.plan(12, "open")) == (12, "open")
    assert names.parse_plan("plans/012/open") is None
    assert names.parse_plan("plans/12/else") is None
    stone = names.parse_tombstone(names.tombstone(f"forgotten/{ID}", HASH))
    assert stone is not None
    assert (stone.snapshot, stone.hash, stone.subject, stone.counters) == (ID, HASH, f"forgotten/{ID}", False)
    counter = names.parse_tombstone(f"unforgotten/{ID}-{HASH}")
    assert counter is not None
    assert counter.counters
    assert names.parse_tombstone(f"forgotten/{ID}") is None


@pytest.mark.parametrize("k", [0, 9, 10, 15])
def test_ends_are_numbered_from_0_to_15(k: int) -> None:
    assert names.parse_lease(names.lease_end(ID, k)) == names.LeaseName(ID, None, k)
    assert names.parse_lease(f"leases/{ID}/end/16") is None
    assert names.parse_lease(f"leases/{ID}/end/00") is None
    assert names.parse_lease(f"leases/{ID}/end") is None

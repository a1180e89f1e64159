"""A set says of each tombstone what the single object said, and nothing else decodes."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest

from farshore.errors import FormatTooNew, ObjectCorrupt
from farshore.format import JsonObject, decode_object
from farshore.format.tombstone import CounterTombstone, Tombstone
from farshore.format.tombstone_set import ROW_BYTES, SignedStone, decode_set, encode_set

AT = datetime(2026, 11, 29, 1, 2, 3, 456789, UTC)
LOG = (3, "e" * 64)
ALICE, BOB = "a" * 32, "b" * 32


def stone(number: int, signer: str = ALICE, reason: str = "keep 7") -> SignedStone:
    made_utc = AT + timedelta(microseconds=number)
    return SignedStone(
        f"{number:064x}", signer, Tombstone(f"{number:032x}", f"{number + 1:064x}", reason, "daily", made_utc, LOG)
    )


def counter(number: int, *targets: int, signer: str = ALICE) -> SignedStone:
    named = tuple(f"{one:064x}" for one in sorted(targets))
    return SignedStone(f"{number:064x}", signer, CounterTombstone(f"{targets[0]:032x}", named, "no", AT, (4, "f" * 64)))


STONES = [stone(2), stone(1, BOB, "by hand"), counter(7, 2, 1), stone(5), counter(6, 5, signer=BOB)]


def body(stones: list[SignedStone] = STONES) -> JsonObject:
    return decode_object(encode_set(stones, AT, LOG), "a set")


def test_rows_are_what_was_folded() -> None:
    read = decode_set(body(), "a set")
    assert sorted(read.stones(), key=lambda one: one.hash) == sorted(STONES, key=lambda one: one.hash)
    assert read.rows == 6
    assert read.hashes() == {one.hash for one in STONES}
    assert read.commits(lambda signer: signer == BOB) == {f"{1:064x}": f"{2:064x}"}
    assert read.countered(lambda signer: signer == BOB) == {f"{5:064x}"}
    assert list(decode_set(body([]), "a set").stones()) == []


def test_the_order_in_which_they_are_given_says_nothing() -> None:
    assert encode_set(STONES, AT, LOG) == encode_set([*reversed(STONES), STONES[0]], AT, LOG)


def test_a_thousand_of_them_are_a_hundred_kilobytes() -> None:
    assert len(encode_set([stone(one) for one in range(1000)], AT, LOG)) < 1000 * ROW_BYTES * 4 // 3 + 1000


def _with_row(at: int, value: int) -> str:
    rows = bytearray(base64.b64decode(body()["forgets"]))
    rows[at] = value
    return base64.b64encode(rows).decode()


@pytest.mark.parametrize(
    "change",
    [
        {"signers": ["no id"]},
        {"signers": [ALICE]},
        {"texts": ["keep 7"]},
        {"texts": [1] * 9},
        {"logs": []},
        {"logs": [[1, "x"]]},
        {"logs": None},
        {"forgets": "AAAA"},
        {"forgets": "!"},
        {"forgets": _with_row(0, 255)},  # out of order
        {"forgets": _with_row(87, 255)},  # a moment beyond all years
        {"forgets": _with_row(88, 9)},  # a signer
        {"forgets": _with_row(92, 99)},  # a reason
        {"forgets": _with_row(96, 99)},  # a rule
        {"forgets": _with_row(100, 99)},  # an entry of the owner log
        {"counters": 3},
        {"made_utc": "yesterday"},
        {"log": [-1, ""]},
        {"format": "farshore-tombstone"},
    ],
)
def test_nothing_else_decodes(change: JsonObject) -> None:
    with pytest.raises(ObjectCorrupt):
        decode_set({**body(), **change}, "a set")


def test_one_row_twice_is_none() -> None:
    rows = base64.b64decode(body()["forgets"])[:ROW_BYTES]
    with pytest.raises(ObjectCorrupt):
        decode_set({**body(), "forgets": base64.b64encode(rows * 2).decode()}, "a set")


def test_a_later_version_says_so() -> None:
    with pytest.raises(FormatTooNew):
        decode_set({**body(), "version": 2}, "a set")

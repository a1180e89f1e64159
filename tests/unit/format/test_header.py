"""Each thing that can be wrong with a header has an error of its own, so that a person knows what to do."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from blake3 import blake3

from farshore import limits
from farshore.chunking.content import ContentCutter, CutSizes
from farshore.errors import Bug, FarshoreError, FeatureMissing, FormatTooNew, HeaderDamaged
from farshore.format.header import Chunking, decode_header, encode_header, new_header
from tests.doubles.headers import changed

HEADER = new_header(
    repository_id="000102030405060708090a0b0c0d0e0f",
    created_utc=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
    chunking=Chunking(minimum=262144, average=1048576, maximum=4194304, block=1048576),
    owner=b"o" * 32 + b"w" * 1952,
)


def altered(change: Callable[[dict[str, Any]], None], *, check: bool = True) -> bytes:
    """Return the header with its JSON changed, and its check made to hold again where asked."""
    value = json.loads(encode_header(HEADER))
    del value["check"]
    change(value)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
    value["check"] = blake3(text.encode()).hexdigest() if check else json.loads(encode_header(HEADER))["check"]
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def test_it_reads_what_it_wrote_and_is_canonical() -> None:
    data = encode_header(HEADER)
    assert decode_header(data, "here") == HEADER
    assert data == json.dumps(json.loads(data), sort_keys=True, separators=(",", ":")).encode() + b"\n"
    assert HEADER.check == json.loads(data)["check"]
    assert HEADER.repository_bytes == bytes(range(16))
    assert HEADER.fingerprint == blake3(data).digest()


def test_the_bytes_of_the_first_version_are_fixed() -> None:
    assert encode_header(HEADER) == (
        b'{"check":"' + HEADER.check.encode() + b'","chunking":{"algorithm":"fastcdc-2020","average":1048576,'
        b'"block":1048576,"maximum":4194304,"minimum":262144,"normalization":1},"created_utc":'
        b'"2026-01-02T03:04:05.000678Z",'
        b'"features":{"may_ignore":[],"must_understand":[]},"format":"farshore","owner":{"ed25519":"'
        + base64.b64encode(b"o" * 32) + b'","ml_dsa_65":"' + base64.b64encode(b"w" * 1952)
        + b'"},"repository":"000102030405060708090a0b0c0d0e0f","version":1}\n'
    )  # fmt: skip
    assert HEADER.check == "c47946150072184061d51b872ad5463ad0dd68b91da392b2dfcea0cb8bc8ce32"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x00" * 300, b"[]", b"null", b"1", b"{}", b'"farshore"', b"{", b"\xff\xfe{\x00}\x00", b"[" * 100_000,
        b'{"a":' * 50_000, b'{"format":"farshore-slot","version":1}', b'{"format":"farshore"}',
        b'{"format":"farshore","version":"1"}', b'{"format":"farshore","version":0}',
        b'{"format":"farshore","version":1.5}', b'{"format":"farshore","version":-3}',
        b'{"format":"farshore","version":1}',
        b'{"format":"farshore","version":1,"x":NaN}', b'{"format":"farshore","version":1,"x":"\\ud800"}',
    ],
    ids=range(20),
)  # fmt: skip
def test_what_is_no_header_is_damaged(data: bytes) -> None:
    with pytest.raises(HeaderDamaged):
        decode_header(data, "here")


def test_every_flipped_bit_is_noticed() -> None:
    data = encode_header(HEADER)
    for at in range(len(data) - 1):  # the last byte is a newline, which JSON does not mind
        for bit in (1, 128):
            with pytest.raises(FarshoreError) as caught:
                decode_header(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :], "here")
            assert isinstance(caught.value, HeaderDamaged | FormatTooNew)


def test_every_cut_is_noticed() -> None:
    data = encode_header(HEADER)
    for length in range(len(data) - 1):
        with pytest.raises(HeaderDamaged):
            decode_header(data[:length], "here")


def test_a_newer_version_is_reported_before_anything_else_of_it_is_judged() -> None:
    newer = b'{"format":"farshore","version":2,"everything":"else is different"}'
    with pytest.raises(FormatTooNew, match="version 2"):
        decode_header(newer, "here")


def test_a_feature_that_must_be_understood_is_named() -> None:
    data = encode_header(changed(HEADER, must_understand=("erasure-coding", "tape")))
    with pytest.raises(FeatureMissing, match="erasure-coding, tape"):
        decode_header(data, "here")


def test_a_feature_that_may_be_ignored_is_ignored() -> None:
    header = changed(HEADER, may_ignore=("colored-labels",))
    assert decode_header(encode_header(header), "here") == header


def test_an_unknown_key_is_ignored_but_counts_in_the_check() -> None:
    def add(value: dict[str, Any]) -> None:
        value["comment"] = "made by a later version"

    data = altered(add)
    decoded = decode_header(data, "here")
    stored = {"check": json.loads(data)["check"], "fingerprint": blake3(data).digest()}
    assert decoded == dataclasses.replace(HEADER, **stored)
    assert decoded.check != HEADER.check
    with pytest.raises(Bug):
        encode_header(decoded)  # which would lose the key
    with pytest.raises(HeaderDamaged, match="check"):
        decode_header(altered(add, check=False), "here")


def test_the_check_comes_before_the_features() -> None:
    def require(value: dict[str, Any]) -> None:
        value["features"]["must_understand"] = ["tape"]

    with pytest.raises(HeaderDamaged, match="check"):
        decode_header(altered(require, check=False), "here")


def test_an_unknown_cutter_is_a_missing_feature() -> None:
    def change(value: dict[str, Any]) -> None:
        value["chunking"]["algorithm"] = "buzhash"

    with pytest.raises(FeatureMissing, match="buzhash"):
        decode_header(altered(change), "here")


@pytest.mark.parametrize("key", ["chunking", "created_utc", "features", "owner", "repository"])
@pytest.mark.parametrize("value", [None, 7, "x", [], {}], ids=repr)
def test_a_header_with_a_part_missing_or_wrong_is_incomplete(key: str, value: object) -> None:
    def change(content: dict[str, Any]) -> None:
        content[key] = value

    with pytest.raises(HeaderDamaged, match="incomplete"):
        decode_header(altered(change), "here")


@pytest.mark.parametrize("repository_id", ["", "00", "zz" * 16, "AB" * 17])
def test_a_repository_id_has_32_digits(repository_id: str) -> None:
    def change(content: dict[str, Any]) -> None:
        content["repository"] = repository_id

    with pytest.raises(HeaderDamaged):
        decode_header(altered(change), "here")


@pytest.mark.parametrize("sizes", [
    {"minimum": 0}, {"minimum": -1}, {"average": 1}, {"maximum": 1 << 40}, {"maximum": 1000}, {"block": 0},
    {"block": 1 << 40}, {"normalization": 9}, {"minimum": 63}, {"minimum": limits.MIB + 1, "average": limits.MIB + 1},
    {"minimum": 64, "average": 255}, {"minimum": 64, "average": 256, "maximum": 1023},
], ids=str)  # fmt: skip
def test_sizes_that_no_cutter_can_use_are_refused(sizes: dict[str, int]) -> None:
    def change(content: dict[str, Any]) -> None:
        content["chunking"].update(sizes)

    with pytest.raises(HeaderDamaged, match="no cutter can use"):
        decode_header(altered(change), "here")


@pytest.mark.parametrize("sizes", [
    {"minimum": 64, "average": 256, "maximum": 1024}, {"minimum": 64, "average": 64 * limits.KIB},
    {"minimum": limits.MIB}, {"average": limits.CHUNK_BYTES_MAX}, {"normalization": 0}, {"normalization": 3},
], ids=str)  # fmt: skip
def test_a_cutter_can_use_the_sizes_that_are_accepted(sizes: dict[str, int]) -> None:
    def change(content: dict[str, Any]) -> None:
        content["chunking"].update(sizes)

    chunking = decode_header(altered(change), "here").chunking
    sizes_of = CutSizes(chunking.minimum, chunking.average, chunking.maximum, chunking.normalization)
    cutter = ContentCutter(sizes=sizes_of, seed=1)
    assert b"".join(bytes(chunk) for chunk in cutter.whole(memoryview(bytes(5000)))) == bytes(5000)


def test_messages_name_the_place() -> None:
    with pytest.raises(HeaderDamaged, match="s3://bucket"):
        decode_header(b"x", "s3://bucket")

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from farshore.errors import FormatTooNew, ObjectCorrupt
from farshore.format.records import Lease, decode_lease, encode_canonical, encode_lease

START = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
LEASE = Lease(
    lease="1" * 32, run="2" * 32, source_id="3" * 32, identity="", snapshot="4" * 32, host='{"pid":1}', beat=3,
    started_utc=START, expires_utc=START + timedelta(minutes=15),
)  # fmt: skip
PAYLOAD = encode_lease(LEASE)


def test_a_lease_is_read_as_it_was_written() -> None:
    assert decode_lease(PAYLOAD) == LEASE
    assert decode_lease(encode_lease(replace(LEASE, state="ended"))).state == "ended"


def test_keys_of_a_later_version_are_ignored() -> None:
    assert decode_lease(encode_canonical(json.loads(PAYLOAD) | {"comment": {"x": [1]}})) == LEASE


def test_a_later_version_is_reported() -> None:
    with pytest.raises(FormatTooNew, match="version 2"):
        decode_lease(PAYLOAD.replace(b'"version":1', b'"version":2'))


def test_a_lease_that_lacks_anything_is_corrupt() -> None:
    for key in json.loads(PAYLOAD):
        value = json.loads(PAYLOAD)
        del value[key]
        with pytest.raises(ObjectCorrupt):
            decode_lease(encode_canonical(value))


@pytest.mark.parametrize("wrong", [None, 7, [], [1], ["x"], {}, {"a": 1}], ids=repr)
def test_a_lease_with_something_else_in_it_is_corrupt_or_the_same_shape(wrong: Any) -> None:
    """No wrong value ever ends in an error that is not ours; some fields of text are taken as they are."""
    for key in json.loads(PAYLOAD):
        value = json.loads(PAYLOAD)
        value[key] = wrong
        try:
            decode_lease(encode_canonical(value))
        except ObjectCorrupt:
            continue
        except FormatTooNew:
            assert key == "version"

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from farshore.errors import ObjectCorrupt
from farshore.format import decode_object, decode_time, encode_canonical, encode_time


def test_one_value_has_one_text() -> None:
    assert (
        encode_canonical({"b": [1, "ä"], "a": {"d": None, "c": True}})
        == '{"a":{"c":true,"d":null},"b":[1,"ä"]}\n'.encode()
    )


def test_there_is_no_text_for_what_is_no_number() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_canonical({"a": float("nan")})


@pytest.mark.parametrize(
    "data", [b"", b"x", b"[1]", b"1", b"null", b'{"a":NaN}', b'{"a":-Infinity}', b"\xff", b"[" * 99_999]
)
def test_what_is_no_object_is_corrupt(data: bytes) -> None:
    with pytest.raises(ObjectCorrupt, match="a thing"):
        decode_object(data, "a thing")


@pytest.mark.parametrize("moment", [
    datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC),
    datetime(2026, 1, 2, 3, 4, tzinfo=timezone(timedelta(hours=-5))),
], ids=str)  # fmt: skip
def test_times_survive(moment: datetime) -> None:
    text = encode_time(moment)
    assert decode_time(text) == moment
    assert text.endswith("Z")
    assert len(text) == len("2026-01-01T00:00:00.000000Z")


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+23:00", None, 7])
def test_what_is_no_time_is_corrupt(text: str) -> None:
    with pytest.raises(ObjectCorrupt):
        decode_time(text)

"""Sizes and bandwidths as people write them."""

from __future__ import annotations

import pytest

from farshore.config.parsing import parse_bandwidth, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [("2 GB", 2 * 10**9), ("512MiB", 512 << 20), (" 1.5 kb ", 1500), ("7 B", 7), ("1 TiB", 1 << 40), ("0 B", 0)],
)
def test_what_is_a_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "2", "GB", "-1 GB", "2 GB/s", "2 XB", "1e3 MB", "2  GB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "bytes_per_s"),
    [("8 MB/s", 8_000_000), ("512 KiB/s", 512 << 10), ("100 Mbit/s", 12_500_000), ("1b/s", 1), ("2.5 MB/s", 2_500_000)],
)
def test_what_is_a_bandwidth(text: str, bytes_per_s: int) -> None:
    assert parse_bandwidth(text) == bytes_per_s


@pytest.mark.parametrize("text", ["", "8 MB", "8", "MB/s", "-8 MB/s", "0 MB/s", "1 bit/s", "8 Mb per second"])
def test_what_is_no_bandwidth(text: str) -> None:
    with pytest.raises(ValueError, match="bandwidth"):
        parse_bandwidth(text)

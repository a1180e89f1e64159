"""Sizes and bandwidths as people write them: `2 GB`, `512 MiB`, `8 MB/s`, `100 Mbit/s`. Pure."""

from __future__ import annotations

import re

_PREFIXES = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_BINARY = {"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?) ?([kmgt]i?)?b", re.IGNORECASE)
_RATE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?) ?([kmgt]i?)?(b|bit)/s", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Return the bytes that `text` says; a kB is 1,000 of them, a KiB 1,024.

    Raises:
        ValueError: It is no size; the message says what one looks like.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a size: {text!r} (write 500 MB, 2 GB or 512 MiB)")
    return int(float(match[1]) * _factor(match[2]))


def parse_bandwidth(text: str) -> int:
    """Return the bytes per second that `text` says; eight bits are a byte.

    Raises:
        ValueError: It is no bandwidth, or less than a byte per second; the message says what one looks like.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a bandwidth: {text!r} (write 8 MB/s, 512 KiB/s or 100 Mbit/s)")
    bytes_per_s = int(float(match[1]) * _factor(match[2]) / (8 if match[3].lower() == "bit" else 1))
    if bytes_per_s < 1:
        raise ValueError(f"a bandwidth must be more than nothing: {text!r}")
    return bytes_per_s


def _factor(prefix: str | None) -> int:
    return {**_PREFIXES, **_BINARY}[(prefix or "").lower()]

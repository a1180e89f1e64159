"""Durations (`90s`, `1h30m`), sizes (`2 GB`) and bandwidths as people write them, and mistakes in them. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from farshore.errors import ConfigInvalid

_UNITS_S = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:\d{1,6}[wdhms])+")
_PART = re.compile(r"(\d+)([wdhms])")
_PREFIXES = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_BINARY = {"ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30, "ti": 1 << 40}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?) ?([kmgt]i?)?b", re.IGNORECASE)
_RATE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?) ?([kmgt]i?)?(b|bit)/s", re.IGNORECASE)
_SHOWN_MAX = 20  # of a wholly wrong file only the first mistakes are shown


def parse_duration(text: str) -> timedelta:
    """Return the duration that `text` says.

    Raises:
        ValueError: It is no duration, or nothing at all; the message says what one looks like.
    """
    compact = text.strip().lower().replace(" ", "")
    if not _DURATION.fullmatch(compact):
        raise ValueError(f"not a duration: {text!r} (write 90s, 15m, 24h, 7d or 1h30m)")
    total_s = sum(int(count) * _UNITS_S[unit] for count, unit in _PART.findall(compact))
    if total_s == 0:
        raise ValueError(f"a duration must be longer than nothing: {text!r}")
    return timedelta(seconds=total_s)


def format_duration(duration: timedelta) -> str:
    """Return `duration` as `parse_duration` reads it, by its two largest units below a week; `0s` below a second."""
    left_s = int(duration.total_seconds())
    parts: list[str] = []
    for unit in "dhms":
        unit_s = _UNITS_S[unit]
        count, left_s = divmod(left_s, unit_s)
        if count and len(parts) < 2:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


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


@dataclass(slots=True)
class Findings:
    """The mistakes so far, in the order found."""

    found: list[tuple[str, str | None]] = field(default_factory=list)

    def add(self, message: str, hint: str | None) -> None:
        """Note one mistake; `hint` None leaves the hint of the error's class."""
        self.found.append((message, hint))

    def settle(self) -> None:
        """Raise `ConfigInvalid` with everything found, or do nothing."""
        if not self.found:
            return
        if len(self.found) == 1:
            raise ConfigInvalid(*self.found[0])
        lines = [f"{message} ({_as_clause(hint)})" if hint else message for message, hint in self.found[:_SHOWN_MAX]]
        raise ConfigInvalid("\n  ".join([f"{len(self.found)} mistakes in the configuration", *lines]))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` was probably meant to be."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return close[0] if close else None


def _as_clause(hint: str) -> str:
    return hint[:1].lower() + hint[1:].rstrip(".")

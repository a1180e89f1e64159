"""The status of a name, with its numbers made to fit where a snapshot cannot hold those of the file system.

A time is a count of nanoseconds in 64 bits: from September 1677 to April 2262. File systems go further (ext4 to 2446,
others by billions of years), and users may set any time on files of theirs. A later time is kept as the latest that
fits, an earlier one as the earliest, so the file is in the snapshot and the next backup finds it unchanged.
"""

from __future__ import annotations

import os
from datetime import date
from typing import Final, NamedTuple

EARLIEST_NS: Final = -(2**63)
LATEST_NS: Final = 2**63 - 1
_ID_BITS = 0xFFFF_FFFF  # Python has -1 for the last id
_NUMBER_BITS = 2**64 - 1
_DAY_NS = 86_400 * 1_000_000_000
_CYCLE_DAYS = 146_097  # 400 years, after which the calendar repeats
_CYCLE_YEARS = 400
_EPOCH_DAY = 719_162  # from the first day of the year 1


class KnownStatus(NamedTuple):
    """The status of a name, in the words of `os.stat_result`."""

    st_mode: int
    st_uid: int
    st_gid: int
    st_nlink: int
    st_size: int
    st_mtime_ns: int
    st_ctime_ns: int
    st_ino: int
    st_dev: int
    st_rdev: int


Status = os.stat_result | KnownStatus


def fit(status: Status) -> KnownStatus:
    """Return a status whose numbers fit into an entry: the nearest ones, where they do not."""
    return KnownStatus(
        st_mode=status.st_mode,
        st_uid=status.st_uid & _ID_BITS,
        st_gid=status.st_gid & _ID_BITS,
        st_nlink=_between(0, status.st_nlink, LATEST_NS),
        st_size=_between(0, status.st_size, LATEST_NS),
        st_mtime_ns=fit_time_ns(status.st_mtime_ns),
        st_ctime_ns=fit_time_ns(status.st_ctime_ns),
        st_ino=status.st_ino & _NUMBER_BITS,
        st_dev=status.st_dev & _NUMBER_BITS,
        st_rdev=status.st_rdev & _NUMBER_BITS,
    )


def fit_time_ns(time_ns: int) -> int:
    """Return the nearest time that an entry can have."""
    return _between(EARLIEST_NS, time_ns, LATEST_NS)


def what_is_lost(status: Status) -> str:
    """Return which times or numbers of a status a restore cannot bring back; empty if all of them fit."""
    if EARLIEST_NS <= status.st_mtime_ns <= LATEST_NS:
        return ""
    end = "latest" if status.st_mtime_ns > LATEST_NS else "earliest"
    return f"its time (in the year {_year(status.st_mtime_ns)}) is kept as the {end} that a snapshot can hold"


def _year(time_ns: int) -> int:
    cycles, day = divmod(_EPOCH_DAY + time_ns // _DAY_NS, _CYCLE_DAYS)
    return cycles * _CYCLE_YEARS + date.fromordinal(day + 1).year


def _between(least: int, number: int, most: int) -> int:
    return min(max(number, least), most)

"""Names of audit objects. Pure.

    audit/<table>/date=YYYY-MM-DD/<run id>-<check>.parquet
    audit/_seals/<writer id>/<sequence, 12 digits>.json

The partition is named `date=` as Hive does, and its value is the UTC day in ISO form, which reads the same as text and
as a DATE in every engine. `check` is the first 32 hex digits of the BLAKE3-256 of the file, so that a reader finds a
spoilt file without any other object, and files of two attempts at one run never clash. Seals are outside the folders of
the tables, below a name that engines skip, and are named by writer and sequence, so that no two seals can claim one
place in a chain.
"""

from __future__ import annotations

import re
from datetime import date

from blake3 import blake3

from farshore.audit.schema import TABLES

AUDIT = "audit/"
SEALS = "audit/_seals/"

_CHECK_DIGITS = 32
_FILE = re.compile(
    rf"audit/([a-z]+)/date=\d{{4}}-\d{{2}}-\d{{2}}/[A-Za-z0-9._-]+-([0-9a-f]{{{_CHECK_DIGITS}}})\.parquet"
)
_SEAL = re.compile(r"audit/_seals/([0-9a-f]{32})/(\d{12})\.json")


def file_name(table: str, day: date, run_id: str, data: bytes) -> str:
    """Return the name of one file of rows."""
    return f"{AUDIT}{table}/date={day.isoformat()}/{run_id}-{_check(data)}.parquet"


def table_of(name: str) -> str | None:
    """Return the table of a file of rows, or None for any other object."""
    match = _FILE.fullmatch(name)
    return match[1] if match and match[1] in TABLES else None


def is_file(name: str) -> bool:
    """Return whether this is the name of a file of rows, of a table of this version or of a later one."""
    return _FILE.fullmatch(name) is not None


def is_whole(name: str, data: bytes) -> bool:
    """Return whether these are the bytes that were stored as this file of rows."""
    match = _FILE.fullmatch(name)
    return match is not None and match[2] == _check(data)


def seals_of_writer(writer_id: str) -> str:
    """Return the prefix of one writer's seals."""
    return f"{SEALS}{writer_id}/"


def seal_name(writer_id: str, sequence: int) -> str:
    """Return the name of one seal."""
    return f"{SEALS}{writer_id}/{sequence:012d}.json"


def seal_place(name: str) -> tuple[str, int] | None:
    """Return writer id and sequence of a seal's name, or None for any other object."""
    match = _SEAL.fullmatch(name)
    return (match[1], int(match[2])) if match else None


def _check(data: bytes) -> str:
    return blake3(data).hexdigest()[:_CHECK_DIGITS]

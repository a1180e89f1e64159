"""Names of audit objects. Pure.

    audit/<table>/date=YYYY-MM-DD/<run id>-<token>-<part>.parquet
    audit/_seals/<writer id>/<sequence, 12 digits>.json

The partition is named `date=` as Hive does, and its value is the UTC day in ISO form, which reads the same as text and
as a DATE in every engine. `token` tells two attempts at one run apart. Seals lie outside every table's folder, below a
name that engines skip, and are named by writer and sequence, so that two seals can never claim one place in a chain.
"""

from __future__ import annotations

import re
from datetime import date

from farshore.audit.schema import TABLES

AUDIT_PREFIX = "audit/"
SEALS_PREFIX = "audit/_seals/"

_FILE = re.compile(r"audit/([a-z]+)/date=(\d{4}-\d{2}-\d{2})/[A-Za-z0-9._-]+\.parquet")
_SEAL = re.compile(r"audit/_seals/([0-9a-f]{32})/(\d{12})\.json")


def file_name(table: str, day: date, run_id: str, token: str, part: int) -> str:
    """Return the name of one file of rows."""
    return f"{AUDIT_PREFIX}{table}/date={day.isoformat()}/{run_id}-{token}-{part:04d}.parquet"


def table_of(name: str) -> str | None:
    """Return the table of a file of rows, or None for any other object."""
    match = _FILE.fullmatch(name)
    return match[1] if match and match[1] in TABLES else None


def seals_of_writer(writer_id: str) -> str:
    """Return the prefix of one writer's seals."""
    return f"{SEALS_PREFIX}{writer_id}/"


def seal_name(writer_id: str, sequence: int) -> str:
    """Return the name of one seal."""
    return f"{SEALS_PREFIX}{writer_id}/{sequence:012d}.json"


def seal_place(name: str) -> tuple[str, int] | None:
    """Return writer id and sequence of a seal's name, or None for any other object."""
    match = _SEAL.fullmatch(name)
    return (match[1], int(match[2])) if match else None

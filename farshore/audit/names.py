"""Names of audit objects. Pure.

    audit/<table>/date=YYYY-MM-DD/<run id>-<check>.parquet
    audit/_seals/<chain id>/<sequence, 12 digits>-<hash>.json
    audit/<table>/_delta_log/<version, 20 digits>.json

The partition is named `date=` as Hive does, and its value is the UTC day in ISO form, which reads the same as text and
as a DATE in every engine. `check` is the first 32 hex digits of the BLAKE3-256 of the file, so that a reader finds a
spoilt file without any other object, and files of two attempts at one run never clash. Seals are outside the folders
of the tables, below a name that engines skip, and so is
the Delta log of each replica (`delta_log.py`). The name of a seal has the hash of its bytes, so nobody keeps its writer
from a place in a chain: several objects may claim it, and those that are validly signed count.
"""

from __future__ import annotations

import re
from datetime import date
from typing import NamedTuple

from blake3 import blake3

from farshore.audit.schema import TABLES
from farshore.model import SIGNER_ID_BYTES

AUDIT = "audit/"
SEALS = "audit/_seals/"

_CHECK_DIGITS = 32
_SIGNER_DIGITS = SIGNER_ID_BYTES  # of a chain id: the first half of its signer's id
_FILE = re.compile(
    rf"audit/([a-z]+)/date=\d{{4}}-\d{{2}}-\d{{2}}/[A-Za-z0-9._-]+-([0-9a-f]{{{_CHECK_DIGITS}}})\.parquet"
)
_SEAL = re.compile(r"audit/_seals/([0-9a-f]{32})/(\d{12})-([0-9a-f]{64})\.json")

_DELTA = re.compile(r"audit/([a-z]+)/_delta_log/(\d{20})\.json")
_SUBJECT = re.compile(r"audit/_seals/([0-9a-f]{32})/(\d{12})")


class SealName(NamedTuple):
    """A parsed name of a seal."""

    chain: str
    sequence: int
    hash: str

    @property
    def name(self) -> str:
        """The whole name."""
        return seal_name(self.chain, self.sequence, self.hash)


def file_name(table: str, day: date, run_id: str, data: bytes) -> str:
    """Return the name of one file of rows."""
    return f"{AUDIT}{table}/date={day.isoformat()}/{run_id}-{_check(data)}.parquet"


def table_of(name: str) -> str | None:
    """Return the table of a file of rows, or None for any other object."""
    match = _FILE.fullmatch(name)
    return match[1] if match and match[1] in TABLES else None


def delta_log(table: str) -> str:
    """Return the prefix of the Delta log of a table."""
    return f"{AUDIT}{table}/_delta_log/"


def delta_version(table: str, version: int) -> str:
    """Return the name of one version of the Delta log of a table."""
    return f"{delta_log(table)}{version:020d}.json"


def parse_delta(name: str) -> tuple[str, int] | None:
    """Return the table and the version of an object of a Delta log, or None for any other object."""
    match = _DELTA.fullmatch(name)
    return (match[1], int(match[2])) if match and match[1] in TABLES else None


def is_file(name: str) -> bool:
    """Return whether this is the name of a file of rows, of a table of this version or of a later one."""
    return _FILE.fullmatch(name) is not None


def is_whole(name: str, data: bytes) -> bool:
    """Return whether these are the bytes that were stored as this file of rows."""
    match = _FILE.fullmatch(name)
    return match is not None and match[2] == _check(data)


def chain_id(signer: str, random: bytes) -> str:
    """Return the id of a new chain of a signer: the first half of the signer's id, then 8 random bytes."""
    return signer[:_SIGNER_DIGITS] + random.hex()


def is_chain_of(chain: str, signer: str) -> bool:
    """Whether a signer may add to a chain. So nobody can squat, lengthen or fork the chain of another one."""
    return chain.startswith(signer[:_SIGNER_DIGITS])


def seals_of_chain(chain: str) -> str:
    """Return the prefix of one chain's seals."""
    return f"{SEALS}{chain}/"


def seal_subject(chain: str, sequence: int) -> str:
    """Return the name of a seal without its hash, which its signature covers."""
    return f"{SEALS}{chain}/{sequence:012d}"


def seal_name(chain: str, sequence: int, seal_hash: str) -> str:
    """Return the name of one seal by the hash of its stored bytes."""
    return f"{seal_subject(chain, sequence)}-{seal_hash}.json"


def parse_seal(name: str) -> SealName | None:
    """Return the parts of a seal's name, or None for any other object."""
    match = _SEAL.fullmatch(name)
    return SealName(match[1], int(match[2]), match[3]) if match else None


def parse_subject(name: str) -> tuple[str, int] | None:
    """Return the chain and place of a seal whose hash is not known, or None for any other name."""
    match = _SUBJECT.fullmatch(name)
    return (match[1], int(match[2])) if match else None


def _check(data: bytes) -> str:
    return blake3(data).hexdigest()[:_CHECK_DIGITS]

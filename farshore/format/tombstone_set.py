"""Sets of tombstones and counter-objects, `forgotten/set-<hash>`: many small objects as rows of one. Pure.

docs/reference/format.md, section 5. A set hides nothing and replaces nothing by itself: sets and single objects unite.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TypeVar

from farshore.errors import ObjectCorrupt
from farshore.format import (
    JsonObject,
    decode_base64,
    decode_log,
    decode_time,
    encode_canonical,
    encode_time,
    is_hex,
    require_format,
)
from farshore.format.names import TOMBSTONE_SET_SUBJECT as SUBJECT
from farshore.format.tombstone import CounterTombstone, Tombstone
from farshore.model import SIGNER_ID_BYTES

__all__ = ["EPOCH", "ROW_BYTES", "SUBJECT", "SignedStone", "TombstoneSet", "decode_set", "encode_set"]

FORMAT = "farshore-tombstone-set"
VERSION = 1
_ROW = struct.Struct("<32s16s32sQIIII")  # hash, snapshot, commit or tombstone, microseconds, signer, reason, rule, log
ROW_BYTES = _ROW.size
_Value = TypeVar("_Value", bound=Hashable)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_Row = tuple[bytes, bytes, bytes, int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class SignedStone:
    """A tombstone or counter-object, by the hash of its stored bytes and by its signer."""

    hash: str
    signer: str
    stone: Tombstone | CounterTombstone

    @property
    def rows(self) -> int:
        """Its rows in a set."""
        return len(self.stone.tombstones) if isinstance(self.stone, CounterTombstone) else 1


@dataclass(frozen=True, slots=True)
class TombstoneSet:
    """The rows of a set: `forgets` of tombstones, `counters` of counter-objects, each sorted."""

    signers: tuple[str, ...]
    texts: tuple[str, ...]
    logs: tuple[tuple[int, str], ...]
    forgets: bytes = field(repr=False)
    counters: bytes = field(repr=False)
    made_utc: datetime
    log: tuple[int, str]

    @property
    def rows(self) -> int:
        """The number of its rows."""
        return (len(self.forgets) + len(self.counters)) // ROW_BYTES

    def hashes(self) -> set[str]:
        """Return the hashes of all that are in it."""
        return {row[0].hex() for row in (*_ROW.iter_unpack(self.forgets), *_ROW.iter_unpack(self.counters))}

    def commits(self, counts: Callable[[str], bool]) -> dict[str, str]:
        """Return the commit that each tombstone names, by its hash; of those whose signers count."""
        may = [counts(one) for one in self.signers]
        return {row[0].hex(): row[2].hex() for row in _ROW.iter_unpack(self.forgets) if may[row[4]]}

    def countered(self, counts: Callable[[str], bool]) -> set[str]:
        """Return the hashes of the tombstones that it counters, as far as signers count."""
        may = [counts(one) for one in self.signers]
        return {row[2].hex() for row in _ROW.iter_unpack(self.counters) if may[row[4]]}

    def stones(self) -> Iterator[SignedStone]:
        """Yield all that are in it, counted or not."""
        for row in _ROW.iter_unpack(self.forgets):
            made_utc, signer, reason, log = self._values_of(row)
            stone = Tombstone(row[1].hex(), row[2].hex(), reason, self.texts[row[6]], made_utc, log)
            yield SignedStone(row[0].hex(), signer, stone)
        for digest, of_one in groupby(_ROW.iter_unpack(self.counters), key=lambda row: row[0]):
            rows = list(of_one)
            made_utc, signer, reason, log = self._values_of(rows[0])
            targets = tuple(row[2].hex() for row in rows)
            yield SignedStone(digest.hex(), signer, CounterTombstone(rows[0][1].hex(), targets, reason, made_utc, log))

    def _values_of(self, row: _Row) -> tuple[datetime, str, str, tuple[int, str]]:
        return EPOCH + row[3] * _MICROSECOND, self.signers[row[4]], self.texts[row[5]], self.logs[row[7]]


def encode_set(stones: Iterable[SignedStone], made_utc: datetime, log: tuple[int, str]) -> bytes:
    """Return the body of a set of these, for its signature; the first of two of one hash."""
    unique = {one.hash: one for one in reversed(list(stones))}
    ordered = sorted(unique.values(), key=lambda one: one.hash)
    signers = _numbered(one.signer for one in ordered)
    texts = _numbered(text for one in ordered for text in _texts(one))
    logs = _numbered(one.stone.log for one in ordered)
    forgets, counters = bytearray(), bytearray()
    for one in ordered:
        stone, (reason, rule) = one.stone, _texts(one)
        is_counter = isinstance(stone, CounterTombstone)
        targets = sorted(set(stone.tombstones)) if isinstance(stone, CounterTombstone) else [stone.commit]
        for target in targets:
            (counters if is_counter else forgets).extend(_ROW.pack(
                bytes.fromhex(one.hash), bytes.fromhex(stone.snapshot), bytes.fromhex(target),
                (stone.made_utc - EPOCH) // _MICROSECOND, signers[one.signer], texts[reason], texts[rule],
                logs[stone.log],
            ))  # fmt: skip
    return encode_canonical({
        "format": FORMAT,
        "version": VERSION,
        "signers": list(signers),
        "texts": list(texts),
        "logs": [list(one) for one in logs],
        "forgets": base64.b64encode(forgets).decode(),
        "counters": base64.b64encode(counters).decode(),
        "made_utc": encode_time(made_utc),
        "log": list(log),
    })  # fmt: skip


def decode_set(value: JsonObject, what: str) -> TombstoneSet:
    """Return a set from the body of its signed text; keys of later versions are ignored.

    Raises:
        ObjectCorrupt, FormatTooNew: It is incomplete, or of a later version. The message names `what`.
    """
    require_format(value, FORMAT, VERSION, what)
    try:
        signers, texts = tuple(value["signers"]), tuple(value["texts"])
        logs = tuple(decode_log({"log": one}) for one in value["logs"])
        if not all(is_hex(one, SIGNER_ID_BYTES) for one in signers) or not all(isinstance(one, str) for one in texts):
            raise ValueError("its signers or texts are none")
        tables = (len(signers), len(texts), len(logs))
        forgets = _decode_rows(value["forgets"], tables, unique=True)
        counters = _decode_rows(value["counters"], tables, unique=False)
        made_utc, log = decode_time(value["made_utc"]), decode_log(value)
        return TombstoneSet(signers, texts, logs, forgets, counters, made_utc, log)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ObjectCorrupt(f"{what} is incomplete: {error}") from error


def _decode_rows(text: object, tables: tuple[int, int, int], *, unique: bool) -> bytes:
    data = decode_base64(text, "its rows")
    if len(data) % ROW_BYTES:
        raise ValueError("a row is cut off")
    signers, texts, logs = tables
    last = (b"", b"")
    for row in _ROW.iter_unpack(data):
        key = (row[0], b"" if unique else row[2])
        if key <= last:
            raise ValueError("its rows are out of order")
        if row[4] >= signers or row[5] >= texts or row[6] >= texts or row[7] >= logs or row[3] >= _MICROSECONDS_MAX:
            raise ValueError("a row names what is not there")
        last = key
    return data


_MICROSECONDS_MAX = (datetime.max.replace(tzinfo=UTC) - EPOCH) // _MICROSECOND


def _texts(one: SignedStone) -> tuple[str, str]:
    return one.stone.reason, one.stone.rule if isinstance(one.stone, Tombstone) else ""


def _numbered(values: Iterable[_Value]) -> dict[_Value, int]:
    found: dict[_Value, int] = {}
    for one in values:
        found.setdefault(one, len(found))
    return found

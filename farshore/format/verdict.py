"""Verdicts on packs: which ones a reader has read whole and proved, and which ones are bad, `verdicts/<hash>`. Pure.

docs/reference/format.md, section 5. Ids are rows end to end in base64: 43 characters a pack.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise

from farshore.errors import ObjectCorrupt
from farshore.format import (
    JsonObject,
    decode_base64,
    decode_log,
    decode_time,
    encode_canonical,
    encode_time,
    require_format,
)
from farshore.format.needs import NeededKey
from farshore.model import dataclass

FORMAT = "farshore-verdict"
VERSION = 1
SUBJECT = "verdicts/"  # what its signature names, because its own name is the hash of its bytes
_ID_BYTES = 32
_KEY_BYTES = 64
_KEY_PARTS = (slice(0, 16), slice(16, 32), slice(32, 64))


@dataclass(frozen=True, slots=True)
class Verdict:
    """The findings of somebody who read packs whole. Each tuple is sorted and without duplicates.

    `data_keys`: the objects that opened the segments of proven packs. `lifts`: hashes of verdicts whose `bad` packs
    are quarantined no more.
    """

    proven: tuple[bytes, ...]
    data_keys: tuple[NeededKey, ...]
    bad: tuple[bytes, ...]
    lifts: tuple[bytes, ...]
    reason: str
    made_utc: datetime
    log: tuple[int, str]


def encode_verdict(verdict: Verdict) -> bytes:
    """Return the body of a verdict, for its signature."""
    keys = (bytes.fromhex(key.key_id + key.recipient + key.blake3) for key in verdict.data_keys)
    return encode_canonical({
        "format": FORMAT,
        "version": VERSION,
        "proven": _encode_rows(verdict.proven),
        "data_keys": _encode_rows(keys),
        "bad": _encode_rows(verdict.bad),
        "lifts": _encode_rows(verdict.lifts),
        "reason": verdict.reason,
        "made_utc": encode_time(verdict.made_utc),
        "log": list(verdict.log),
    })  # fmt: skip


def decode_verdict(value: JsonObject, what: str) -> Verdict:
    """Return a verdict from the body of its signed text; keys of later versions are ignored.

    Raises:
        ObjectCorrupt, FormatTooNew: It is incomplete, or of a later version. The message names `what`.
    """
    require_format(value, FORMAT, VERSION, what)
    try:
        keys = _decode_rows(value["data_keys"], _KEY_BYTES, what)
        return Verdict(
            proven=_decode_rows(value["proven"], _ID_BYTES, what),
            data_keys=tuple(NeededKey(*(row[part].hex() for part in _KEY_PARTS)) for row in keys),
            bad=_decode_rows(value["bad"], _ID_BYTES, what),
            lifts=_decode_rows(value["lifts"], _ID_BYTES, what),
            reason=str(value["reason"]),
            made_utc=decode_time(value["made_utc"]),
            log=decode_log(value),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ObjectCorrupt(f"{what} is incomplete: {error}") from error


def _encode_rows(rows: Iterable[bytes]) -> str:
    return base64.b64encode(b"".join(sorted(set(rows)))).decode()


def _decode_rows(text: object, width: int, what: str) -> tuple[bytes, ...]:
    data = decode_base64(text, what)
    if len(data) % width:
        raise ValueError("it has half a row")
    rows = tuple(data[at : at + width] for at in range(0, len(data), width))
    if not all(first < second for first, second in pairwise(rows)):
        raise ValueError("its rows are not in order")
    return rows

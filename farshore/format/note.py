"""Notes on a snapshot, `notes/<snapshot>-<hash>`: pins, holds, tags, and which notes count no more. Pure.

docs/reference/format.md, section 5. Why and the tags are sealed to the domain of the snapshot; what keeps it is not, so
that a deletion needs no key.
"""

from __future__ import annotations

import base64
from datetime import datetime
from enum import StrEnum

from farshore.errors import ObjectCorrupt
from farshore.format import (
    HASH_BYTES,
    JsonObject,
    decode_base64,
    decode_log,
    decode_object,
    decode_time,
    encode_canonical,
    encode_time,
    is_count,
    is_hex,
    require_format,
)
from farshore.format.commit import decode_tags, encode_tags
from farshore.model import dataclass

FORMAT = "farshore-note"
VERSION = 1
_ID_BYTES = 16


class Keep(StrEnum):
    """How a note keeps its snapshot from being forgotten and deleted."""

    NOT = ""
    PIN = "pin"  # until it ends, if it has an end
    HOLD = "hold"  # until it is lifted, which approvers may have to agree to


@dataclass(frozen=True, slots=True)
class Note:
    """The public part of a note. `commit`: hash of the commit it is about; `domain` and `epoch` as that has them.

    `until_utc`: the end of a pin. `lifts`: hashes of notes that keep and tag no more, or of the commit, whose own tags
    count no more. Sorted and without duplicates.
    """

    snapshot: str
    commit: str
    domain: str
    epoch: int
    keep: Keep
    until_utc: datetime | None
    lifts: tuple[str, ...]
    made_utc: datetime
    log: tuple[int, str]


@dataclass(frozen=True, slots=True)
class NoteDetails:
    """The part of a note that is sealed. `reason`: why, for people."""

    reason: str = ""
    tags: tuple[str, ...] = ()


def encode_note(note: Note, sealed: bytes) -> bytes:
    """Return the body of a note, for its signature. `sealed`: its details as they are sealed."""
    return encode_canonical({
        "format": FORMAT,
        "version": VERSION,
        "snapshot": note.snapshot,
        "commit": note.commit,
        "domain": note.domain,
        "epoch": note.epoch,
        "keep": note.keep.value,
        "until_utc": "" if note.until_utc is None else encode_time(note.until_utc),
        "lifts": sorted(set(note.lifts)),
        "made_utc": encode_time(note.made_utc),
        "log": list(note.log),
        "sealed": base64.b64encode(sealed).decode(),
    })  # fmt: skip


def decode_note(value: JsonObject, what: str) -> tuple[Note, bytes]:
    """Return a note and its sealed details from the body of its signed text; keys of later versions are ignored.

    Raises:
        ObjectCorrupt, FormatTooNew: It is incomplete, or of a later version. The message names `what`.
    """
    require_format(value, FORMAT, VERSION, what)
    try:
        snapshot, commit, domain, epoch = (value[key] for key in ("snapshot", "commit", "domain", "epoch"))
        lifts, keep, until = tuple(value["lifts"]), Keep(value["keep"]), value["until_utc"]
        if not is_hex(snapshot, _ID_BYTES) or not is_hex(commit, HASH_BYTES) or not isinstance(domain, str):
            raise ValueError("it names no commit of a snapshot")
        if not is_count(epoch) or not all(is_hex(one, HASH_BYTES) for one in lifts):
            raise ValueError("it has no epoch, or lifts no notes")
        if list(lifts) != sorted(set(lifts)) or (until and keep is not Keep.PIN):
            raise ValueError("what it lifts is not in order, or what is no pin has an end")
        end = decode_time(until) if until else None
        note = Note(
            snapshot, commit, domain, epoch, keep, end, lifts, decode_time(value["made_utc"]), decode_log(value)
        )
        return note, decode_base64(value["sealed"], f"the sealed part of {what}")
    except (KeyError, TypeError, ValueError) as error:
        raise ObjectCorrupt(f"{what} is incomplete: {error}") from error


def encode_details(details: NoteDetails) -> bytes:
    """Return the canonical JSON that is sealed into a note."""
    return encode_canonical({"reason": details.reason, "tags": encode_tags(details.tags)})


def decode_details(data: bytes, what: str) -> NoteDetails:
    """Return the details of a note; keys of later versions are ignored.

    Raises:
        ObjectCorrupt: They are incomplete. The message names `what`.
    """
    value = decode_object(data, what)
    try:
        return NoteDetails(str(value["reason"]), decode_tags(value["tags"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ObjectCorrupt(f"{what} is incomplete: {error}") from error

"""Leases: beats of a writer at work, and the end that decides. Values to canonical JSON and back. Pure.

docs/reference/format.md, section 5. Both are public and signed, so that writers of other domains and pruners read
them without a key.
"""

from __future__ import annotations

import base64
from dataclasses import asdict, fields
from datetime import datetime
from enum import StrEnum

from farshore.errors import ObjectCorrupt
from farshore.format import (
    HASH_BYTES,
    JsonObject,
    decode_base64,
    decode_log,
    decode_time,
    encode_canonical,
    encode_time,
    is_count,
    is_hex,
    require_format,
)
from farshore.model import dataclass

BEAT_FORMAT = "farshore-lease"
END_FORMAT = "farshore-lease-end"
VERSION = 1
ENDS_MAX = 16  # of one lease; an end that nobody with the right to signed is void, and the next one decides
_ID_BYTES = 16
_TEXTS = ("lease", "run", "source_id", "identity", "snapshot", "host")


class EndState(StrEnum):
    """The decision on a lease."""

    COMMITTING = "committing"  # its commits count from here on
    ENDED = "ended"  # its writer gave up, or was done without a commit
    BROKEN = "broken"  # a maintainer took it for dead: it commits nothing any more


@dataclass(frozen=True, slots=True)
class Lease:
    """One beat of a writer at work. `log`: number and hash of the newest entry of the owner log that it knew.

    `host` describes the process; `source_id` and `snapshot` are empty in the lease of a heal.
    """

    lease: str
    run: str
    source_id: str
    identity: str
    snapshot: str
    host: str
    beat: int
    started_utc: datetime
    expires_utc: datetime
    log: tuple[int, str]


@dataclass(frozen=True, slots=True)
class LeaseEnd:
    """One end of a lease. `state` may be one of a later version, which means: neither break nor commit.

    `commit`: the stored bytes of the commit of a backup, else empty. `commits`: hashes of commits that a heal copies.
    """

    lease: str
    k: int
    state: str
    made_utc: datetime
    log: tuple[int, str]
    commit: bytes = b""
    commits: tuple[str, ...] = ()


def encode_lease(lease: Lease) -> bytes:
    """Return the body of a beat, for its signature."""
    value: JsonObject = {"format": BEAT_FORMAT, "version": VERSION, **asdict(lease)}
    value["started_utc"] = encode_time(lease.started_utc)
    value["expires_utc"] = encode_time(lease.expires_utc)
    return encode_canonical({**value, "log": list(lease.log)})


def decode_lease(value: JsonObject, what: str) -> Lease:
    """Return a beat from the body of its signed text; keys of later versions are ignored.

    Raises:
        ObjectCorrupt, FormatTooNew: It is incomplete, or of a later version. The message names `what`.
    """
    require_format(value, BEAT_FORMAT, VERSION, what)
    try:
        known = {item.name: value[item.name] for item in fields(Lease)}
        if not all(isinstance(known[name], str) for name in _TEXTS):
            raise ValueError("a text is none")
        if not is_hex(known["lease"], _ID_BYTES) or not is_count(known["beat"]):
            raise ValueError("it names no lease and beat")
        known["started_utc"] = decode_time(value["started_utc"])
        known["expires_utc"] = decode_time(value["expires_utc"])
        return Lease(**{**known, "log": decode_log(value)})
    except (KeyError, TypeError, ValueError) as error:
        raise ObjectCorrupt(f"{what} is incomplete: {error}") from error


def encode_end(end: LeaseEnd) -> bytes:
    """Return the body of an end, for its signature."""
    value: JsonObject = {
        "format": END_FORMAT, "version": VERSION, "lease": end.lease, "k": end.k, "state": end.state,
        "made_utc": encode_time(end.made_utc), "log": list(end.log),
    }  # fmt: skip
    if end.commit:
        value["commit"] = base64.b64encode(end.commit).decode()
    if end.commits:
        value["commits"] = list(end.commits)
    return encode_canonical(value)


def decode_end(value: JsonObject, what: str) -> LeaseEnd:
    """Return an end from the body of its signed text; keys of later versions are ignored.

    Raises:
        ObjectCorrupt, FormatTooNew: It is incomplete, or of a later version. The message names `what`.
    """
    require_format(value, END_FORMAT, VERSION, what)
    try:
        commits = tuple(value.get("commits", ()))
        if not all(is_hex(one, HASH_BYTES) for one in commits):
            raise ValueError("it names no commit by a hash")
        if not is_hex(value["lease"], _ID_BYTES) or not is_count(value["k"]) or not isinstance(value["state"], str):
            raise ValueError("it names no lease, number and state")
        return LeaseEnd(
            lease=value["lease"],
            k=value["k"],
            state=value["state"],
            made_utc=decode_time(value["made_utc"]),
            log=decode_log(value),
            commit=decode_base64(value["commit"], "the commit in it") if "commit" in value else b"",
            commits=commits,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ObjectCorrupt(f"{what} is incomplete: {error}") from error

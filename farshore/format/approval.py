"""Approvals, `approvals/<request>-<hash>`: an act that somebody asks approvers to agree to, and their yes. Pure.

docs/reference/format.md, section 5. A request and each approval of it hold the same act, and its hash is the id of the
request, so nobody approves one act and lets another happen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from blake3 import blake3

from farshore.errors import ObjectCorrupt
from farshore.format import (
    HASH_BYTES,
    JsonObject,
    decode_log,
    decode_time,
    encode_canonical,
    encode_time,
    is_count,
    is_hex,
    names,
    require_format,
)

FORMAT = "farshore-approval"
VERSION = 1
_ID_BYTES = 16


class Act(StrEnum):
    """The acts that approvers agree to. `objects` of each are hashes, as said."""

    FORGET = "forget"  # of commits that the rules of the owner log keep
    LIFT_HOLD = "lift-hold"  # of notes that hold
    DELETE = "delete"  # more than the owner log allows at once; of the URL of the replica
    POLICY = "policy"  # of the policy that is to be in force


@dataclass(frozen=True, slots=True)
class Asked:
    """An act that needs approvals, until when it may happen, and 32 random hex digits, by which two of a kind differ.

    `limit`: the bytes that a deletion may remove; 0 otherwise.
    """

    act: Act
    objects: tuple[str, ...]
    limit: int
    ends_utc: datetime
    nonce: str

    @property
    def request(self) -> str:
        """The id of the request, 32 hex digits: of every part of the act."""
        return blake3(encode_canonical(_encode_asked(self))).digest(_ID_BYTES).hex()


@dataclass(frozen=True, slots=True)
class Approval:
    """A request for an act, or where `approves`, somebody's agreement to it. `reason`: for people, in clear.

    `policy`: of a request for one, the action whose hash it names, so that approvers see what they agree to; else None.
    """

    asked: Asked
    approves: bool
    reason: str
    made_utc: datetime
    log: tuple[int, str]
    policy: Mapping[str, object] | None = None


def encode_approval(approval: Approval) -> bytes:
    """Return the body of a request or an approval, for its signature."""
    return encode_canonical({
        "format": FORMAT,
        "version": VERSION,
        "request": approval.asked.request,
        "asked": _encode_asked(approval.asked),
        "says": "approve" if approval.approves else "ask",
        "reason": approval.reason,
        "made_utc": encode_time(approval.made_utc),
        "log": list(approval.log),
        **({"policy": dict(approval.policy)} if approval.policy is not None else {}),
    })  # fmt: skip


def decode_approval(value: JsonObject, what: str) -> Approval:
    """Return a request or an approval from the body of its signed text; keys of later versions are ignored.

    Raises:
        ObjectCorrupt, FormatTooNew: It is incomplete, its act is not that of its id, or it is of a later version. The
            message names `what`.
    """
    require_format(value, FORMAT, VERSION, what)
    try:
        asked = _decode_asked(value["asked"])
        if value["request"] != asked.request or encode_canonical(_encode_asked(asked)) != encode_canonical(
            value["asked"]
        ):
            raise ValueError("its act is not the one that its id stands for")
        if value["says"] not in ("ask", "approve"):
            raise ValueError("it neither asks nor approves")
        made_utc, log, approves = decode_time(value["made_utc"]), decode_log(value), value["says"] == "approve"
        policy = None if approves or asked.act is not Act.POLICY else _decode_policy(value["policy"], asked)
        return Approval(asked, approves, str(value["reason"]), made_utc, log, policy)
    except (KeyError, TypeError, ValueError) as error:
        raise ObjectCorrupt(f"{what} is incomplete: {error}") from error


def _decode_policy(value: object, asked: Asked) -> Mapping[str, object]:
    if not isinstance(value, dict) or asked.objects != (names.hash_of(encode_canonical(value)),):
        raise ValueError("its policy is not the one that it asks for")
    return value


def _encode_asked(asked: Asked) -> JsonObject:
    return {
        "act": asked.act.value,
        "objects": sorted(set(asked.objects)),
        "limit": asked.limit,
        "ends_utc": encode_time(asked.ends_utc),
        "nonce": asked.nonce,
    }


def _decode_asked(value: JsonObject) -> Asked:
    objects, nonce = tuple(value["objects"]), value["nonce"]
    if not all(is_hex(one, HASH_BYTES) for one in objects) or not is_hex(nonce, _ID_BYTES):
        raise ValueError("it names no objects")
    if not is_count(value["limit"]):
        raise ValueError("it has no limit")
    return Asked(Act(value["act"]), objects, value["limit"], decode_time(value["ends_utc"]), nonce)

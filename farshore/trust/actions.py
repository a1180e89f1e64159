"""The actions of the owner log: values only; `action_codec` reads and writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from farshore.signing import VerifyKey


class Right(StrEnum):
    """An operation that a certificate allows, with the audit tables that belong to it."""

    BACKUP = "backup"
    RESTORE = "restore"
    VERIFY = "verify"
    HEAL = "heal"
    MAINTAIN = "maintain"
    APPROVE = "approve"


@dataclass(frozen=True, slots=True)
class AddRecipient:
    """From here on data keys are sealed to this public key, 1,216 bytes."""

    public_key: bytes
    root: int


@dataclass(frozen=True, slots=True)
class Certificate:
    """A signer and its rights.

    `sources` maps source ids to the names that the owner gave them; None: the signer's own ones, whose first 8 bytes
    are those of its id. `rights` may hold words of a later version.
    """

    key: VerifyKey
    host: str
    role: str
    domain: str
    sources: Mapping[str, str] | None
    rights: frozenset[str]
    not_before_utc: datetime
    not_after_utc: datetime

    @property
    def signer(self) -> str:
        """The id of the certified signer."""
        return self.key.signer_id


@dataclass(frozen=True, slots=True)
class AcceptedList:
    """The object that lists the accepted commits, as raw hashes in order; `hash` is that of its bytes."""

    hash: str
    count: int


@dataclass(frozen=True, slots=True)
class Revocation:
    """From here on a signer is believed only as far as this names what it signed.

    `commits`: the accepted ones, by hash, here or in an object; None where a later version has it in another form.
    `chains`: sequence and hash of the last accepted seal of each chain.
    """

    signer: str
    commits: frozenset[str] | AcceptedList | None
    chains: Mapping[str, tuple[int, str]]
    reason: str


@dataclass(frozen=True, slots=True)
class ChangeOwner:
    """The entries after this one are signed by this key."""

    key: VerifyKey


@dataclass(frozen=True, slots=True)
class StartEpoch:
    """From here on the keys of a domain derive from this root and epoch."""

    domain: str
    epoch: int
    root: int


@dataclass(frozen=True, slots=True)
class SetPolicy:
    """Who has to approve, and how much may be deleted at once; `other` holds the keys of later versions."""

    approvers: tuple[str, ...]
    approvals: int
    delete_max: int | None
    other: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class RequireFeatures:
    """Features without which a program must not read, or must not write."""

    must_understand: tuple[str, ...]
    must_understand_to_write: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnknownAction:
    """An action of a later version, or one that cannot be read."""

    value: object


Action = (
    AddRecipient | Certificate | Revocation | ChangeOwner | StartEpoch | SetPolicy | RequireFeatures | UnknownAction
)

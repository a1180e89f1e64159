"""Signers whom an owner certified, as the owner log would say it; no log is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from farshore.audit import names
from farshore.audit.chain import Authority
from farshore.audit.own_chain import Sealer
from farshore.audit.seals import SeenHeads
from farshore.signing import SigningKey
from farshore.trust import Certified, TrustState
from farshore.trust.actions import Certificate, Revoked, Right, SourcePrefix
from farshore.trust.log_entry import LogHead

FINGERPRINT = bytes(range(32))
HEAD = LogHead(1, "1e" * 32)
EVERY_RIGHT = frozenset(right.value for right in Right)
SOURCES = {"11" * 16: "shop", "22" * 16: "home"}  # that whoever may back up is certified for
_MADE = datetime(2026, 1, 1, tzinfo=UTC)


def signing_key(number: int) -> SigningKey:
    """Return the same key for the same number."""
    return SigningKey(bytes([number]) * 64)


@dataclass
class Signers:
    """Who is certified for what. `revoked`: of a key, sequence and hash of the last accepted seal of each chain.

    `sources`: of a key whose certificate is not for `SOURCES`.
    """

    rights: dict[int, frozenset[str]] = field(default_factory=lambda: {1: EVERY_RIGHT})
    revoked: dict[int, Mapping[str, tuple[int, str]]] = field(default_factory=dict)
    sources: dict[int, Mapping[str, str] | SourcePrefix] = field(default_factory=dict)

    @property
    def trust(self) -> TrustState:
        """What the owner log says."""
        owner = signing_key(255).verify_key
        return TrustState(
            head=HEAD, owner=owner, owners=(owner,), heads=frozenset({HEAD}), forked=(), rolled_back=False,
            may_write=True, refused=(),
            certificates={
                signing_key(number).signer_id: (Certified(self.certificate(number), HEAD, FINGERPRINT),)
                for number in self.rights
            },
            revocations={
                signing_key(number).signer_id: Revoked(frozenset(), chains, ("stolen",))
                for number, chains in self.revoked.items()
            },
        )  # fmt: skip

    def certificate(self, number: int) -> Certificate:
        """Return the certificate of a key."""
        return Certificate(
            signing_key(number).verify_key, f"host-{number}", "writer", "main", self.sources.get(number, SOURCES),
            self.rights[number], _MADE, _MADE + timedelta(days=730),
        )  # fmt: skip

    @property
    def authority(self) -> Authority:
        """What judges seals."""
        return Authority(self.trust, FINGERPRINT)


def chain_of(number: int, tail: int = 0) -> str:
    """Return the id of a chain of a key."""
    return names.chain_id(signing_key(number).signer_id, bytes([tail]) * 8)


def sealer(number: int = 1, seen: SeenHeads | None = None, own_commits: Mapping[str, datetime] | None = None) -> Sealer:
    """Return what a recorder seals with."""
    made = Sealer(signing_key(number), FINGERPRINT, HEAD, own_commits=own_commits or {})
    return replace(made, seen=seen) if seen else made

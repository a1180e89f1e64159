"""Owner logs for tests: entries signed by fixed keys, as every replica would list them."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from blake3 import blake3

from farshore.signing import SigningKey
from farshore.trust import TrustState, read_log
from farshore.trust.actions import Action, Certificate, Revocation, SourcePrefix
from farshore.trust.log_entry import Era, LogHead, make_entry

FINGERPRINT = b"f" * 32
MADE = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
COMMIT = "c0" * 32
OTHER_COMMIT = "c1" * 32
SEAL = "5e" * 32


@functools.cache
def key(number: int) -> SigningKey:
    """Return one of many fixed keys."""
    return SigningKey(bytes([number]) * 64)


OWNER, NEXT_OWNER, HOST, OTHER_HOST, THIEF = (key(number) for number in range(5))


def certificate(of: SigningKey = HOST, **changed: Any) -> Certificate:
    """Return a certificate of a host for sources of a prefix of its own, the beginning of its id."""
    fields: dict[str, Any] = {
        "key": of.verify_key,
        "host": "db1",
        "role": "writer",
        "domain": "db1",
        "sources": SourcePrefix(of.signer_id[:16]),
        "rights": frozenset({"backup"}),
        "not_before_utc": MADE,
        "not_after_utc": MADE.replace(year=2027),
    }
    return Certificate(**{**fields, **changed})


def revocation(of: SigningKey = HOST, *commits: str, **chains: tuple[int, str]) -> Revocation:
    """Return a revocation that accepts these commits and chains up to here."""
    return Revocation(of.signer_id, frozenset(commits), chains, "stolen")


def own_source(of: SigningKey = HOST) -> str:
    """Return the id of a source that is a signer's own."""
    return of.signer_id[:16] + "0123456789abcdef"


class Log:
    """A log that grows; a branch grows beside it."""

    def __init__(self, entries: dict[str, bytes] | None = None, head: LogHead | None = None) -> None:
        self.entries = dict(entries or {})
        self.head = head

    def add(self, *actions: Action, by: SigningKey = OWNER, fingerprint: bytes = FINGERPRINT) -> LogHead:
        """Add an entry after the last one."""
        self.head, data = make_entry(
            by, fingerprint=fingerprint, previous=self.head, made_utc=MADE, actions=list(actions)
        )
        self.entries[self.head.name] = data
        return self.head

    def branch(self, head: LogHead | None) -> Log:
        """Return a log with the same entries that goes on after an earlier one."""
        return Log(self.entries, head)

    def read(self, remembered: LogHead | None = None, *others: Log, accepted: Iterable[bytes] = ()) -> TrustState:
        """Return what a reader with this memory sees of this and other branches."""
        entries = {name: data for log in (self, *others) for name, data in log.entries.items()}
        lists = {blake3(one).hexdigest(): one for one in accepted}
        return read_log((Era(FINGERPRINT, OWNER.verify_key),), entries, remembered, lists)

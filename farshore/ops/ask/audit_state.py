"""The chains of all replicas together: files that nobody vouches for, and chains that were cut."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from farshore import limits
from farshore.audit import names
from farshore.audit.cached_query import tables_at
from farshore.audit.chain import SealFinding
from farshore.audit.coverage import doubts_of_coverage
from farshore.audit.cuts import find_cuts
from farshore.audit.evidence import read_evidence
from farshore.audit.seals import Seal
from farshore.catalog import read_commits
from farshore.catalog.heads import lists_everything
from farshore.errors import READ_ERRORS, ConfigInvalid, FarshoreError, StoreFull
from farshore.format.names import CommitName
from farshore.model import DoubtedSnapshot
from farshore.replicas.reader import open_reader
from farshore.replicas.repository import Replica, Repository


@dataclass(frozen=True, slots=True)
class AuditAt:
    """One replica: how many audit files there count for nothing, seals are refused, and seals are missing in chains."""

    unused: int = 0
    refused: int = 0
    missing: int = 0


@dataclass(frozen=True, slots=True)
class AuditState:
    """All replicas that answered. `seals`: those that count at some replica. `listed`: the hashes of all."""

    at: Mapping[str, AuditAt] = field(default_factory=dict)
    seals: Mapping[str, Seal] = field(default_factory=dict)
    listed: frozenset[str] = frozenset()
    failed: Mapping[str, FarshoreError] = field(default_factory=dict)

    def cut(self, repository: Repository, commits: Collection[str]) -> list[SealFinding]:
        """Return what seals name or this host remembers, and no replica has.

        Nothing where a replica did not answer: it may have it.

        Args:
            commits: The hashes of all commits that replicas list.
        """
        if self.failed or not lists_everything(repository):
            return []
        seals = list(self.seals.values())
        return find_cuts(repository, seals, seals_listed=self.listed, commits_listed=commits, memory=repository.memory)

    def uncovered(self, repository: Repository, commits: Mapping[CommitName, datetime | None]) -> list[DoubtedSnapshot]:
        """Return the old commits that no daily seal covers. Reads those alone that are candidates by their name.

        Nothing where a replica did not answer: it may have the seal.

        Args:
            commits: All that replicas list, each with the earliest time that a store reports.
        """
        if self.failed or not lists_everything(repository):
            return []
        now_utc = repository.clock.now_utc()
        old = now_utc - timedelta(days=limits.COVERED_WITHIN_DAYS)
        covered = {one for seal in self.seals.values() for one in seal.covers or ()}
        wanted = [item for item, moment in commits.items() if item.hash not in covered and (moment or old) <= old]
        if not wanted:
            return []
        try:
            heads = read_commits(repository, open_reader(repository), wanted).accepted
        except READ_ERRORS:
            return []
        stored_utc = {item.hash: moment for item, moment in commits.items() if moment is not None}
        return doubts_of_coverage(heads, self.seals.values(), repository.trust, stored_utc=stored_utc, now_utc=now_utc)

    def heads(self) -> dict[str, tuple[int, str]]:
        """Return sequence and hash of the newest seal of each chain; of a forked one, the first by its hash."""
        newest: dict[str, tuple[int, str]] = {}
        for seal in sorted(self.seals.values(), key=lambda one: (one.sequence, one.hash), reverse=True):
            newest.setdefault(seal.chain, (seal.sequence, seal.hash))
        return newest


def read_audit_state(repository: Repository) -> AuditState:
    """Read the chains at every replica. A replica that fails is in `failed`; its error is its own."""
    found, failed = repository.ask_all(lambda replica: _look(repository, replica))
    return AuditState(
        {name: at for name, (at, _, _) in found.items()},
        {one: seal for _, seals, _ in found.values() for one, seal in seals.items()},
        frozenset(one for _, _, listed in found.values() for one in listed),
        failed,
    )


def _look(repository: Repository, replica: Replica) -> tuple[AuditAt, Mapping[str, Seal], list[str]]:
    at = tables_at(repository, replica)
    listed = {info.name: info.size for info in at.store.list(names.AUDIT)}
    evidence = read_evidence(at.store, at.cache_dir, at.repository_id, at.authority, listed=listed)
    with contextlib.suppress(StoreFull, ConfigInvalid):  # the cache; without one the seals are read again
        evidence.cache.save()
    files = [name for name in listed if names.table_of(name)]
    spare = evidence.counted.spare
    unused = sum(not evidence.may_count(name) and name not in spare for name in files)
    seen = AuditAt(unused, len(evidence.refused) + evidence.unread, evidence.missing)
    return seen, evidence.counted.seals, [place.hash for place in evidence.listed]

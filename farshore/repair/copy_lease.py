"""Permission to put copies of objects at a replica: steps W0 to W3 and W6 of a writer. Format page, section 6.

Heal holds one lease at all replicas (ops/heal/heal_lease.py). A read that mends holds one at each replica where it
found damage, and one more for each commit that it puts, because its end decides on that commit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from farshore.catalog import list_commits
from farshore.catalog.finish_commits import first_lacking
from farshore.catalog.snapshots import places_of
from farshore.catalog.tombstones import forgotten_commits
from farshore.errors import FarshoreError, KeyMissing
from farshore.format.object_kinds import Kind
from farshore.model import dataclass
from farshore.repair.object_checks import digest_in_name
from farshore.repair.object_kinds import kind_of
from farshore.replicas.lease_holder import LeaseHolder, new_lease
from farshore.replicas.owner_log import check_writable, put_log
from farshore.replicas.plans import has_seen_plans, read_condemned
from farshore.replicas.repository import Replica, Repository
from farshore.trust.actions import Right
from farshore.trust.order import Place

HEAL_IDENTITY = "heal"
_OF_SNAPSHOTS = frozenset({Kind.PACK, Kind.FRAGMENT, Kind.DATA_KEY, Kind.RUN})  # what goes with the last that needs it


def may_lease(repository: Repository) -> bool:
    """Whether the key at hand signs leases that others heed: those of a writer or healer that was not revoked."""
    key = repository.keys.signing_key if repository.keys is not None else None
    may = repository.trust.may
    return key is not None and (may(key.signer_id, Right.HEAL) or may(key.signer_id, Right.BACKUP))


def copy_lease(
    repository: Repository, replicas: Mapping[str, Replica], run_id: str, identity: str = HEAL_IDENTITY
) -> LeaseHolder:
    """Return the lease of an act that makes no snapshot, before its first beat: of a heal, or of what mends in a read.

    Args:
        identity: Says which act it is.
    """
    return new_lease(repository, replicas, run_id=run_id, identity=identity)


@dataclass(frozen=True, slots=True)
class Permit:
    """A lease that is held at one replica, and what stays away from there; no holder where nobody deletes."""

    holder: LeaseHolder | None
    condemned: frozenset[str] = frozenset()
    forgotten: frozenset[str] = frozenset()

    def commit(self, replica: Replica, name: str) -> None:
        """Decide that a commit is put (W6), once. Raises as `LeaseHolder.commit`."""
        if self.holder is not None:
            self.holder.commit(replica.name, copies=[digest_in_name(name)])

    def end(self) -> None:
        """End the lease. Safe to repeat."""
        if self.holder is not None:
            self.holder.end()


def permit_at(repository: Repository, replica: Replica, run_id: str) -> Permit:
    """Return the permission to put copies at a replica, by steps W0 to W3. The caller ends it, whatever happens.

    Raises:
        FeatureMissing, LogForked: As `check_writable`.
        KeyMissing: Somebody deletes there, and no key at hand signs a lease.
        FarshoreError: The lease cannot be put, or plans and tombstones not be read.
    """
    check_writable(repository.trust)
    if not may_lease(repository):
        if has_seen_plans(repository, replica):
            raise KeyMissing(f"{replica.name} has seen plans to delete, and no key at hand may put a lease there")
        return Permit(None, forgotten=forgotten_commits(repository, required=replica.name))
    if repository.log is not None:
        _raise_of(put_log(repository, repository.log, only=replica.name), replica)
    holder = copy_lease(repository, {replica.name: replica}, run_id)
    try:
        _raise_of(holder.acquire(), replica)
        condemned = read_condemned(repository, replica)
        return Permit(holder, condemned, forgotten_commits(repository, required=replica.name))
    except BaseException:
        holder.end()
        raise


def refuses_commit(repository: Repository, replica: Replica, name: str) -> str:
    """Return why a commit may not be put at a replica, for the reasons that heal has too; else an empty text."""
    listed = list_commits(repository)
    head = listed.heads.get(digest_in_name(name))
    if head is None:
        return "no accepted commit, or one that was forgotten"
    if places_of(repository, listed)[head.hash] is Place.MISDATED:
        return "misdated: not copied, or it would look sound"
    lacking = first_lacking(repository, replica, head)
    return f"its snapshot needs {lacking}, which is not whole here" if lacking else ""


class CopyPermits:
    """Leases for what a read mends, put at a replica when its first damage is mended. One thread.

    Args:
        commits: The commits that are read, by snapshot id: their hashes.
    """

    def __init__(self, *, repository: Repository, commits: Mapping[str, Collection[str]], run_id: str) -> None:
        self._repository = repository
        self._commits = commits
        self._run_id = run_id
        self._permits: dict[str, Permit] = {}

    def refusal(self, replica: Replica, name: str, snapshots: Collection[str]) -> str:
        """Return why an object must stay away from a replica, or an empty text; holds a lease there from now on.

        Args:
            snapshots: Those that need it; none where that is not known.

        Raises:
            FarshoreError: As `permit_at`.
        """
        permit = self._permits.get(replica.name)
        if permit is None:
            permit = self._permits[replica.name] = permit_at(self._repository, replica, self._run_id)
        if name in permit.condemned:
            return "a plan to delete condemns it here"
        of_read = {one for of_id in self._commits.values() for one in of_id}
        needing = {one for snapshot in snapshots for one in self._commits.get(snapshot, ())} or of_read
        if kind_of(name) in _OF_SNAPSHOTS and needing and needing <= permit.forgotten:
            return "the snapshot that needs it was forgotten"
        return ""

    def commit(self, replica: Replica, name: str) -> str:
        """Decide that a commit is put at a replica (W6), under a lease of its own; return why not, or an empty text.

        Raises:
            LeaseLost: The lease was broken.
            FarshoreError: As `permit_at`; or the replica does not answer, so nothing is decided.
        """
        permit = permit_at(self._repository, replica, self._run_id)
        try:
            refusal = refuses_commit(self._repository, replica, name)
            if not refusal:
                permit.commit(replica, name)
            return refusal
        finally:
            permit.end()

    def end(self) -> None:
        """End all leases. Safe to repeat."""
        for permit in self._permits.values():
            permit.end()
        self._permits.clear()


def _raise_of(failed: Mapping[str, FarshoreError], replica: Replica) -> None:
    if replica.name in failed:
        raise failed[replica.name]

"""Revoke a key: everything signed until now stays accepted by name, and nothing signed from now on counts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from farshore.audit.names import is_chain_of
from farshore.errors import ConfigInvalid
from farshore.format import names
from farshore.ops.setup.accepted import NO_END, AcceptedNow, ListedCommit, accepted_now
from farshore.ops.setup.owner_actions import append_entry, owner_key
from farshore.replicas.repository import Repository
from farshore.trust.actions import Certificate, Revocation, encode_accepted

IN_ENTRY_MAX = 1000  # hashes in an entry of the log; a longer list is an object of its own


@dataclass(frozen=True, slots=True)
class PlannedRevocation:
    """The certificates that end, and what of their keys stays accepted. `refused`: commits that a person named."""

    certificates: tuple[Certificate, ...]
    accepted: tuple[ListedCommit, ...]
    refused: tuple[ListedCommit, ...]
    now: AcceptedNow


@dataclass(frozen=True, slots=True)
class Revoked:
    """Keys that were revoked. `failed`: replicas without the entry; heal or the next writer brings it there."""

    signers: tuple[str, ...]
    accepted: int
    refused: int
    failed: tuple[str, ...]


def certificates_of(repository: Repository, whose: str) -> tuple[Certificate, ...]:
    """Return the newest certificate of each key of a host, or of the signer whose id begins so; none is revoked.

    Raises:
        ConfigInvalid: There is none, or the beginning fits several signers.
    """
    trust = repository.trust
    valid = [one[-1].certificate for signer, one in trust.certificates.items() if signer not in trust.revocations]
    of_host = tuple(one for one in valid if one.host == whose)
    of_signer = tuple(one for one in valid if len(whose) >= 8 and one.signer.startswith(whose))
    if not of_host and len(of_signer) != 1:
        raise ConfigInvalid(
            f"no certificate that is valid is of a host or signer {whose!r}" if not of_signer else
            f"{whose!r} is the beginning of {len(of_signer)} signers", "'farshore key list' shows all of them.",
        )  # fmt: skip
    return of_host or of_signer


def plan_revocation(repository: Repository, whose: str, refuse: Collection[str] = ()) -> PlannedRevocation:
    """Return what a revocation would do. Changes nothing.

    Args:
        refuse: Beginnings of the ids of snapshots, or of the hashes of commits, verdicts, notes and sets of tombstones,
            that are not to stay accepted.

    Raises:
        ConfigInvalid: There is no such certificate, or no such snapshot.
        KeyMissing: The owner's key is not at hand.
    """
    owner_key(repository)
    certificates = certificates_of(repository, whose)
    now = accepted_now(repository, [one.signer for one in certificates])
    found = {given: [one for one in now.commits if _begins(one, given)] for given in refuse}
    named = (*now.verdicts, *now.notes, *now.sets)
    doubted = {given: {one for one in named if given and one.startswith(given)} for given in refuse}
    missing = [given for given, commits in found.items() if not commits and not doubted[given]]
    if missing:
        raise ConfigInvalid(f"no snapshot begins with {missing[0]!r}", "'farshore snapshots' shows all of them.")
    refused = {one for commits in found.values() for one in commits}
    kept = tuple(one for one in now.commits if one not in refused)
    now = replace(
        now,
        verdicts=tuple(sorted(set(now.verdicts).difference(*doubted.values()))),
        notes=tuple(sorted(set(now.notes).difference(*doubted.values()))),
        sets=tuple(sorted(set(now.sets).difference(*doubted.values()))),
    )
    return PlannedRevocation(certificates, kept, tuple(sorted(refused, key=lambda one: one.hash)), now)


def apply_revocation(repository: Repository, planned: PlannedRevocation, reason: str) -> Revoked:
    """Write the revocation into the owner log, and the list of what stays accepted.

    Raises:
        KeyMissing, QuorumNotReached: As `append_entry` says.
    """
    signers = tuple(one.signer for one in planned.certificates)
    made = [revocation_of(signer, planned.accepted, planned.now, reason) for signer in signers]
    lists = {name: body for _, objects in made for name, body in objects}
    appended = append_entry(repository, [action for action, _ in made], list(lists.items()))
    return Revoked(signers, len(planned.accepted), len(planned.refused), tuple(appended.failed))


def revocation_of(
    signer: str, accepted: Collection[ListedCommit], now: AcceptedNow, reason: str
) -> tuple[Revocation, list[tuple[str, bytes]]]:
    """Return the action that revokes a signer, and the objects that it names."""
    hashes = frozenset((*(one.hash for one in accepted), *now.verdicts, *now.notes, *now.sets))
    chains = {chain: last for chain, last in now.chains.items() if is_chain_of(chain, signer) and last != NO_END}
    if len(hashes) <= IN_ENTRY_MAX:
        return Revocation(signer, hashes, chains, reason), []
    named, data = encode_accepted(hashes)
    return Revocation(signer, named, chains, reason), [(names.accepted(named.hash), data)]


def _begins(commit: ListedCommit, given: str) -> bool:
    return bool(given) and (commit.snapshot.startswith(given) or commit.hash.startswith(given))

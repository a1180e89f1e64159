"""Which objects of a revoked signer count: by the hashes that its revocation names, never by a date. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from farshore.format.names import hash_of
from farshore.signing import HASH_BYTES
from farshore.trust.actions import AcceptedList, Revocation
from farshore.trust.log_entry import LogEntry


@dataclass(frozen=True, slots=True)
class Revoked:
    """The accepted objects of a revoked signer; `commits` is None where it cannot be read."""

    commits: frozenset[str] | None
    chains: Mapping[str, tuple[int, str]]
    reasons: tuple[str, ...]


def revocations_of(branch: Iterable[LogEntry], accepted: Mapping[str, bytes]) -> dict[str, Revoked]:
    """Return what counts of each signer that a branch revokes; a later revocation replaces an earlier one.

    `accepted`: lists of accepted commits, by the hash that a revocation names.
    """
    found: dict[str, Revoked] = {}
    for action in (one for entry in branch for one in entry.actions if isinstance(one, Revocation)):
        commits = action.commits
        if isinstance(commits, AcceptedList):
            commits = decode_accepted(accepted.get(commits.hash), commits)
        found[action.signer] = Revoked(commits, action.chains, (action.reason,))
    return found


def combined(lists: Iterable[Mapping[str, Revoked]]) -> dict[str, Revoked]:
    """Return of each signer what all branches that revoke it accept."""
    found: dict[str, Revoked] = {}
    for one in lists:
        for signer, revoked in one.items():
            found[signer] = _both(found[signer], revoked) if signer in found else revoked
    return found


def _both(first: Revoked, second: Revoked) -> Revoked:
    commits = None if first.commits is None or second.commits is None else first.commits & second.commits
    chains = {}
    for chain in first.chains.keys() & second.chains.keys():
        one, other = sorted((first.chains[chain], second.chains[chain]))
        if one[0] < other[0] or one == other:
            chains[chain] = one
    return Revoked(commits, chains, tuple(dict.fromkeys((*first.reasons, *second.reasons))))


def decode_accepted(data: bytes | None, named: AcceptedList) -> frozenset[str] | None:
    """Return the commit hashes of a list object, or None where the bytes are not that list."""
    if data is None or len(data) != named.count * HASH_BYTES or hash_of(data) != named.hash:
        return None
    hashes = [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
    return frozenset(one.hex() for one in hashes) if all(a < b for a, b in pairwise(hashes)) else None


def encode_accepted(commits: Iterable[str]) -> tuple[AcceptedList, bytes]:
    """Return the object that lists these commit hashes, and how a revocation names it."""
    hashes = sorted({bytes.fromhex(commit) for commit in commits})
    data = b"".join(hashes)
    return AcceptedList(hash_of(data), len(hashes)), data

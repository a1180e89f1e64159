"""Everything that is committed and sealed now, which a revocation of a key goes on accepting."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from farshore.audit.chain import Authority, open_seal
from farshore.audit.names import SEALS, SealName, is_chain_of, parse_seal, seal_name
from farshore.audit.seals import Seal
from farshore.catalog import ListedCommits, list_commits
from farshore.catalog.notes import list_notes
from farshore.catalog.tombstones import active_among, read_every_tombstone
from farshore.catalog.verdicts import list_verdicts
from farshore.errors import Corrupt, FarshoreError, NotFound, Unsupported
from farshore.format import names
from farshore.format.names import object_bytes_max
from farshore.replicas.repository import Replica, Repository

_SEALS_READ_MAX = 4096  # of one chain; more beyond its end were planted
NO_END = (0, "")  # of a chain none of whose seals that were read is good: a revocation accepts none of it


@dataclass(frozen=True, slots=True)
class ListedCommit:
    """A commit that some replica lists; `hash` is that of its stored bytes."""

    source_id: str
    snapshot: str
    hash: str
    signer: str


@dataclass(frozen=True, slots=True)
class AcceptedNow:
    """The commits and the last seal of each chain, as sequence and hash, that the replicas list.

    `verdicts`: the hashes of those on packs that count; `notes`: of those on snapshots, lifted ones too; `sets`: of
    those of tombstones that hide no snapshot which some replica has, so that a thief's hide none either. `unasked`:
    replicas that could not be listed, with the reason;
    no list has anything that only they hold.
    """

    commits: tuple[ListedCommit, ...]
    chains: Mapping[str, tuple[int, str]]
    unasked: Mapping[str, FarshoreError]
    verdicts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()


def accepted_now(repository: Repository, signers: Collection[str]) -> AcceptedNow:
    """Return what all replicas that can be asked list: commits that count, and the last good seals of these signers.

    Commits, verdicts, notes and sets are of all signers: others lose nothing by being named. Forgotten snapshots are
    among them, which may be unforgotten later.

    Raises:
        FarshoreError: No replica could be listed.
    """
    listed, failed = repository.ask_all(lambda replica: _list_seals(replica, signers))
    if not listed:
        raise next(iter(failed.values()))
    committed = list_commits(repository)
    found = [
        ListedCommit(head.source_id, head.snapshot, head.hash, head.signer)
        for head in {**committed.forgotten, **committed.heads}.values()
    ]
    holders: dict[SealName, list[str]] = {}
    for replica, seals in listed.items():
        for seal in seals:
            holders.setdefault(seal, []).append(replica)
    ordered = sorted(found, key=lambda one: (one.source_id, one.snapshot, one.hash))
    unasked = {**repository.unreachable, **committed.failed, **failed}
    verdicts, unlisted = list_verdicts(repository)
    hashes = (names.parse_verdict(one) or "" for one in verdicts)
    notes, unread = list_notes(repository)
    return AcceptedNow(
        tuple(ordered), _last_seals(repository, holders), {**unasked, **unlisted, **unread}, tuple(sorted(hashes)),
        tuple(sorted(notes)), _spent_sets(repository, committed),
    )  # fmt: skip


def _spent_sets(repository: Repository, committed: ListedCommits) -> tuple[str, ...]:
    """Return the hashes of the sets of tombstones that count, and name no commit that some replica lists, forgotten."""
    found = read_every_tombstone(repository)
    active = active_among(found.stones())
    hiding = {stone for commit in committed.forgotten for stone in active.get(commit, {})}
    return tuple(sorted(one.hash for one in found.sets.values() if hiding.isdisjoint(one.rows.hashes())))


def _list_seals(replica: Replica, signers: Collection[str]) -> list[SealName]:
    parsed = [parse_seal(info.name) for info in replica.store.list(SEALS)] if signers else []
    return [one for one in parsed if one is not None and any(is_chain_of(one.chain, signer) for signer in signers)]


def _last_seals(repository: Repository, holders: Mapping[SealName, Sequence[str]]) -> dict[str, tuple[int, str]]:
    """Return the last good seal of each chain. Names that somebody planted beyond it are passed over, up to a bound."""
    by_chain: dict[str, list[SealName]] = {}
    for name in sorted(holders, key=lambda one: (-one.sequence, -len(holders[one]), one.hash)):
        by_chain.setdefault(name.chain, []).append(name)
    found: dict[str, tuple[int, str]] = {}
    for chain, names_of in by_chain.items():
        good = next((one for one in names_of[:_SEALS_READ_MAX] if _is_good(repository, one, holders[one])), None)
        found[chain] = (good.sequence, good.hash) if good is not None else NO_END
    return found


def _is_good(repository: Repository, seal: SealName, holders: Sequence[str]) -> bool:
    authority = Authority(repository.trust, repository.header.fingerprint)
    name = seal_name(seal.chain, seal.sequence, seal.hash)
    for holder in holders:
        try:
            data = repository.replicas[holder].store.get(name, bytes_max=object_bytes_max(name))
        except (Corrupt, NotFound, Unsupported):
            continue
        if isinstance(open_seal(name, data, authority), Seal):
            return True
    return False

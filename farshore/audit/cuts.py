"""Seals and snapshots that are known to have been made, and that no replica has: by heads in seals, and by memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from farshore.audit import names
from farshore.audit.cached_query import is_anywhere
from farshore.audit.chain import SealFinding, count_seals, missing_heads
from farshore.audit.seals import Seal
from farshore.catalog.heads import lost_snapshots, still_lost
from farshore.catalog.tombstones import forgotten_commits
from farshore.format.names import commit as commit_name
from farshore.model import LostSnapshot
from farshore.replicas.repository import Repository
from farshore.trust.memory import Memory

CODE = "cut"
_REMEMBERED = "this host remembers it as the newest of its chain"


def find_cuts(
    repository: Repository,
    seals: Collection[Seal],
    *,
    seals_listed: Collection[str],
    commits_listed: Collection[str],
    memory: Memory | None,
) -> list[SealFinding]:
    """Return a finding for each of them. The replicas are asked once more only where something seems to be missing.

    For a caller that listed every replica of the configuration: another one may have an object that some lack.

    Args:
        seals: Those that count at some replica.
        seals_listed: The hashes of all seals that replicas list.
        commits_listed: Likewise, of commits.
        memory: That of this host before the replicas were listed.
    """
    seals_listed = {*seals_listed, *count_seals(seals, repository.trust).folded.superseded_hashes}
    found = missing_heads(seals, {*seals_listed, *commits_listed}, repository.trust)
    chains = {one.object: one for one in found if not one.commit}
    for chain, (sequence, last) in sorted(memory.chains.items()) if memory else ():
        name = names.seal_name(chain, sequence, last)
        if last not in seals_listed:
            chains.setdefault(name, SealFinding(CODE, name, _REMEMBERED))
    remembered = lost_snapshots(memory, commits_listed, (), repository.trust) if memory else []
    lost = {one.commit: LostSnapshot(one.source, "*", one.commit, one.detail) for one in found if one.commit}
    lost.update({one.commit: one for one in remembered})
    forgotten = forgotten_commits(repository) if lost else ()
    lasting = still_lost(repository, [one for one in lost.values() if one.commit not in forgotten])
    return [*_not_put_meanwhile(repository, chains.values()), *(_finding(one) for one in lasting)]


def _not_put_meanwhile(repository: Repository, found: Iterable[SealFinding]) -> list[SealFinding]:
    return [one for one in found if not is_anywhere(repository, one.object)]


def _finding(one: LostSnapshot) -> SealFinding:
    name = commit_name(one.source_id, one.snapshot_id, one.commit)
    return SealFinding(CODE, name, one.detail, source=one.source_id, commit=one.commit)

"""Snapshots that this host remembers, compared with what all replicas list, so that a loss at all of them shows.

Any command that lists commits finds it, with no further listing unless something is missing. A snapshot that a
maintainer forgot, or that the owner log refuses now, is not lost.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from farshore.catalog import ListedCommits, list_commit_names
from farshore.catalog.snapshots import order_commits
from farshore.errors import FormatTooNew, KeyFileDamaged
from farshore.model import LostSnapshot, SourceId
from farshore.replicas.repository import Repository
from farshore.trust import Judgment, TrustState
from farshore.trust.memory import Memory, NewestSnapshot, forward, remember


def note_heads(
    repository: Repository,
    memory: Memory | None,
    found: ListedCommits,
    *,
    source_id: SourceId | None,
    present: Collection[str],
    forgotten: Collection[str],
) -> None:
    """Note at the repository which remembered snapshots are lost, and remember the newest of what is listed.

    Args:
        memory: That of this host before the replicas were listed.
        source_id: The source that was listed; None where all were.
        present: The hashes of all commits that some replica lists, whether they count or not.
        forgotten: The hashes of all commits that tombstones forget.
    """
    if memory is None:
        return
    if not found.failed and lists_everything(repository):
        lost = lost_snapshots(memory, present, forgotten, repository.trust)
        lost = [one for one in lost if source_id in (None, one.source_id)]
        repository.lost.update({one.commit: one for one in still_lost(repository, lost)})
    newest = {
        source: _remembered(found, link.hash)
        for source, order in order_commits(repository, found).items()
        if (link := order.newest) is not None
    }
    remember_seen(repository, newest=newest, dropped=_counting_no_more(memory, forgotten, repository.trust))


def remember_seen(
    repository: Repository,
    *,
    newest: Mapping[str, NewestSnapshot] | None = None,
    own: Mapping[str, NewestSnapshot] | None = None,
    dropped: Collection[str] = (),
    chains: Mapping[str, tuple[int, str]] | None = None,
) -> None:
    """Remember the newest and the own snapshot of sources and the newest seal of chains, so that their loss shows here.

    Does nothing on a host that remembers nothing of the repository: nothing vouched for it here. Where the memory
    cannot be written, or is damaged, the host was warned of that when the repository was opened.

    Args:
        dropped: Hashes of commits that count no more.
    """
    memory = repository.memory
    if memory is None:
        return
    seen = replace(memory, newest=newest or {}, own=own or {}, chains=chains or {})
    if forward(memory, seen, dropped) == memory:
        return
    try:
        repository.memory = remember(repository.state_dir, repository.repository_id, seen, dropped=dropped)
    except (OSError, KeyFileDamaged, FormatTooNew):
        return


def lists_everything(repository: Repository) -> bool:
    """Whether every replica of the configuration is open: else what none of these lists may be at another one."""
    return not repository.unreachable and repository.replicas.keys() >= set(repository.configured)


def lost_snapshots(
    memory: Memory, present: Collection[str], forgotten: Collection[str], trust: TrustState
) -> list[LostSnapshot]:
    """Return the remembered snapshots that are not present, though they count and nobody forgot them.

    Args:
        present: The hashes of all commits that some replica lists.
    """
    found: dict[str, LostSnapshot] = {}
    ways = (
        (memory.own, "this host made it, the last of its source"),
        (memory.newest, "this host saw it as the newest of its source"),
    )
    for snapshots, detail in ways:
        for source_id, one in sorted(snapshots.items()):
            if one.commit in present or one.commit in forgotten or _is_refused(source_id, one, trust):
                continue
            found.setdefault(one.commit, LostSnapshot(source_id, one.snapshot, one.commit, detail))
    return list(found.values())


def still_lost(repository: Repository, lost: Iterable[LostSnapshot]) -> list[LostSnapshot]:
    """Return those that no replica lists now: a backup may have ended while the replicas were listed."""
    suspects = list(lost)
    for source_id in {one.source_id for one in suspects}:
        there, answered = _commits_now(repository, source_id)
        suspects = [one for one in suspects if one.source_id != source_id or (answered and one.commit not in there)]
    return suspects


def _commits_now(repository: Repository, source_id: SourceId) -> tuple[set[str], bool]:
    """Return the hashes of the commits that replicas list of a source, and whether all of them answered."""
    listed, failed = repository.ask_all(lambda replica: [one.hash for one in list_commit_names(replica, source_id)])
    return {one for of_replica in listed.values() for one in of_replica}, not failed


def _remembered(found: ListedCommits, commit: str) -> NewestSnapshot:
    head = found.heads[commit]
    return NewestSnapshot(head.sequence, head.snapshot, head.hash, head.signer)


def _is_refused(source_id: SourceId, one: NewestSnapshot, trust: TrustState) -> bool:
    return trust.judge_commit(one.signer, one.commit, source_id) is Judgment.REVOKED


def _counting_no_more(memory: Memory, forgotten: Collection[str], trust: TrustState) -> set[str]:
    remembered: list[Mapping[SourceId, NewestSnapshot]] = [memory.newest, memory.own]
    return {
        one.commit
        for snapshots in remembered
        for source_id, one in snapshots.items()
        if one.commit in forgotten or _is_refused(source_id, one, trust)
    }

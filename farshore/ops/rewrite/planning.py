"""Plan a rewrite. Reads every manifest and the index; changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np

from farshore.catalog import ListedCommits, list_commits
from farshore.catalog.contents import open_snapshot
from farshore.catalog.index_loader import load_index
from farshore.catalog.needs import read_needs
from farshore.errors import SnapshotProtected, StateUnknown
from farshore.format.commit import Commit
from farshore.format.footers import PACK_ID_DTYPE
from farshore.format.needs import Needs, join_needs
from farshore.index import ChunkIndex, IdRows
from farshore.model import EntryKind
from farshore.ops.rewrite.plan import LockedPacks, PlannedSnapshot, RewritePlan, RunKey, StaysIn, Work
from farshore.ops.rewrite.removal import PatternRemoval
from farshore.ops.rewrite.scan import Found, refuse_links, rows_of_packs, scan_kept, scan_removed
from farshore.replicas.reader import ReplicaReader, open_reader
from farshore.replicas.repository import Repository
from farshore.run import Run

_WHOLE_KINDS = frozenset({"directory"})  # of sources whose snapshots are of use without some of their files


def plan_rewrite(
    repository: Repository, removal: PatternRemoval, chosen: Collection[str] | None, *, run: Run
) -> tuple[RewritePlan, Work]:
    """Return what removing entries from snapshots means. Memory: the index, and 100 bytes for each entry removed.

    Args:
        chosen: Hashes of the commits that entries are removed from; None: all.

    Raises:
        SnapshotProtected: One is of a database, would be empty, or would have a hard link without its file.
        CredentialCannotRead: The keys at hand read no manifest.
        StateUnknown: Footers of packs cannot be read, so nobody knows what is in them.
        FarshoreError: A manifest or needs cannot be had from any replica.
    """
    repository.reading_keys()
    listed, reader = list_commits(repository), open_reader(repository)
    commits = sorted(listed.commits.values(), key=lambda one: (one.committed_utc, one.hash))
    needs = {one.hash: read_needs(repository, reader, one) for one in commits}
    within = [one for one in commits if chosen is None or one.hash in chosen]
    found = scan_removed(repository, reader, within, removal, run)
    removed = {one.hash: found.removed_from(one) for one in within}
    touched = [one for one in within if found.touches(one)]
    for one in touched:
        _refuse(one, len(removed[one.hash]))
    index = _index(repository, reader, join_needs(needs.values())) if touched else ChunkIndex()
    rewritten = frozenset(one.hash for one in touched)
    looked_for = found.chunks | _in_packs(index, rows_of_packs(index, found.chunks))
    ids = sorted(looked_for)
    wanted = IdRows(np.frombuffer(b"".join(ids), PACK_ID_DTYPE))
    kept = scan_kept(repository, reader, commits if touched else (), rewritten, removal, wanted, ids, found.chunks, run)
    refuse_links(repository, reader, touched, removal, kept.links)
    erased = frozenset(found.chunks - kept.chunks)
    rows = rows_of_packs(index, erased)
    dirty = frozenset(index.packs.pack_ids[row].tobytes().hex() for row in rows)
    paged = {ref.blake3 for one in touched for ref in one.runs.get("pages", ())} if _has_paged(removed) else set()
    drops = frozenset(one.hash for one in commits if any(ref.blake3 in paged for ref in one.runs.get("pages", ())))
    affected = tuple(
        one for one in commits
        if one.hash in rewritten or one.hash in drops or any(pack.pack_id in dirty for pack in needs[one.hash].packs)
    )  # fmt: skip
    successors, obsolete = _successors(repository, reader, affected, commits, rewritten, removal)
    moved = frozenset(_in_packs(index, rows) & kept.chunks)
    elsewhere = _made_before(successors, needs, moved)
    work = Work(
        removal=removal, affected=affected, successors=successors, obsolete=tuple(obsolete),
        removed={one: _count(removed[one]) for one in rewritten},
        runs=_touched_runs(found, touched), drops_pages=drops, needs=needs, index=index, dirty=dirty,
        moved=moved - _chunks_of(index, elsewhere), elsewhere=elsewhere,
    )  # fmt: skip
    sizes = _sizes(index, looked_for)
    return RewritePlan(
        patterns=removal.patterns,
        snapshots=tuple(_planned(one, work) for one in affected),
        bytes_removed=sum(sizes.get(one, 0) for one in erased),
        packs=len(dirty),
        packs_bytes=sum(int(index.packs.pack_bytes[row]) for row in rows),
        bytes_moved=sum(sizes.get(one, 0) for one in work.moved),
        stays=_stays(kept.where),
        locked=_locked(repository, listed, dirty, needs) if dirty else (),
        forgotten=len(listed.forgotten),
        refused=len(listed.refused),
    ), work


def _refuse(commit: Commit, entries: int) -> None:
    named = f"snapshot {commit.snapshot[:12]} of {commit.source}"
    if entries and commit.kind not in _WHOLE_KINDS:
        raise SnapshotProtected(
            f"{named} is of a {commit.kind} database, which nobody can restore without some of its files",
            "Leave its source out with --source, or forget that snapshot whole: 'farshore forget'.",
        )
    if entries >= commit.counts.entries:
        raise SnapshotProtected(
            f"nothing would be left of {named}", "Forget it instead, and leave it out here: name the others."
        )


def _index(repository: Repository, reader: ReplicaReader, needs: Needs) -> ChunkIndex:
    index = load_index(repository, reader, needs)
    there = {one.tobytes().hex() for one in index.packs.pack_ids}
    lost = [pack.pack_id for pack in needs.packs if pack.pack_id not in there]
    if lost:
        raise StateUnknown(
            f"what is in pack {lost[0]} cannot be read ({len(lost)} such packs), so nobody knows whether it is needed",
            "'farshore verify' says what is wrong, and 'farshore heal' what can be done.",
        )
    return index


def _in_packs(index: ChunkIndex, rows: Sequence[int]) -> frozenset[bytes]:
    found: set[bytes] = set()
    for row in rows:
        ids = np.ascontiguousarray(index.packs[row].footer.chunks["id"]).tobytes()
        found.update(ids[at : at + 32] for at in range(0, len(ids), 32))
    return frozenset(found)


def _chunks_of(index: ChunkIndex, needs: Needs) -> frozenset[bytes]:
    wanted = {pack.pack_id for pack in needs.packs}
    rows = [at for at, one in enumerate(index.packs.pack_ids) if one.tobytes().hex() in wanted] if wanted else []
    return _in_packs(index, rows)


def _made_before(successors: Mapping[str, Commit], needs: Mapping[str, Needs], moved: frozenset[bytes]) -> Needs:
    """Return the packs that a try before this one made of chunks that move, and what opens them.

    Its snapshots need them, and no other one does: the key that moves chunks now made them.
    """
    made = {one.hash for one in successors.values()}
    before = {pack.pack_id for one, of in needs.items() if one not in made for pack in of.packs}
    joined = join_needs(needs[one] for one in made)
    packs = tuple(pack for pack in joined.packs if pack.pack_id not in before)
    if not packs or not moved:
        return Needs()
    return Needs(packs, joined.data_keys, joined.fragments)


def _successors(
    repository: Repository, reader: ReplicaReader, affected: Sequence[Commit], commits: Sequence[Commit],
    rewritten: frozenset[str], removal: PatternRemoval,
) -> tuple[dict[str, Commit], list[Commit]]:  # fmt: skip
    """Return the snapshots that replace affected ones already, by a try that did not end; and those that go, too.

    Only a commit that this very key signed counts as such: any writer of the source could name packs that are not what
    their footers say. One that another key signed goes with the snapshot that it says to replace.

    Raises:
        StateUnknown: One was made by a try that removed something else.
    """
    key = repository.writing_keys().signing_key
    old = {one.hash: one for one in affected}
    found: dict[str, Commit] = {}
    obsolete: list[Commit] = []
    for one in commits:
        before = old.get(one.replaces.commit) if one.replaces is not None else None
        if before is None or _place(one) != _place(before):
            continue
        if key is None or one.signer != key.signer_id or before.hash in found:
            obsolete.append(one)
        elif one.hash not in old and _is_rest(
            repository, reader, before, one, removal if before.hash in rewritten else None
        ):
            found[before.hash] = one
        else:
            raise StateUnknown(
                f"snapshots {before.snapshot[:12]} and {one.snapshot[:12]} of {before.source} are both there, and the "
                "second was made from the first by removing something else",
                f"Forget one of them first: 'farshore forget {before.snapshot[:12]} --even-last'.",
            )
    return found, obsolete


def _place(commit: Commit) -> tuple[str, int, datetime, str]:
    return commit.source_id, commit.sequence, commit.committed_utc, commit.parent_commit


def _is_rest(
    repository: Repository, reader: ReplicaReader, before: Commit, after: Commit, removal: PatternRemoval | None
) -> bool:
    """Whether a snapshot is what is left of another one: any writer of its source can claim that."""
    rows = open_snapshot(repository, after, reader).rows()
    for row in open_snapshot(repository, before, reader).rows():
        entry = row.entry
        if removal is not None and removal.removes(entry.path, directory=entry.kind is EntryKind.DIRECTORY):
            continue
        if next(rows, None) != row:
            return False
    return next(rows, None) is None


def _has_paged(removed: Mapping[str, Mapping[bytes, object]]) -> bool:
    return any(getattr(row, "paged", False) for rows in removed.values() for row in rows.values())


def _touched_runs(found: Found, touched: Sequence[Commit]) -> frozenset[RunKey]:
    return frozenset(
        (ref.blake3, at == 0)
        for one in touched
        for at, ref in enumerate(one.manifest)
        if found.runs[ref.blake3].touched
    )


def _count(rows: Mapping[bytes, object]) -> tuple[int, int, int]:
    files = [row for row in rows.values() if getattr(row, "file", False)]
    return len(rows), len(files), sum(getattr(row, "size", 0) for row in files)


def _planned(commit: Commit, work: Work) -> PlannedSnapshot:
    after = work.successors.get(commit.hash)
    return PlannedSnapshot(
        commit.snapshot, commit.source, commit.source_id, commit.committed_utc,
        *work.removed.get(commit.hash, (0, 0, 0)),
        successor=after.snapshot if after is not None else "",
    )  # fmt: skip


def _sizes(index: ChunkIndex, chunks: Collection[bytes]) -> dict[bytes, int]:
    table = index.packs.chunks
    rows = index.find(sorted(chunks))
    return {one: int(table["length"][row]) for one, row in zip(sorted(chunks), rows.tolist(), strict=True) if row >= 0}


def _stays(where: Mapping[tuple[str, str], int]) -> tuple[StaysIn, ...]:
    found = [StaysIn(source, path, chunks) for (source, path), chunks in where.items()]
    return tuple(sorted(found, key=lambda one: (-one.chunks, one.source, one.path)))


def _locked(
    repository: Repository, listed: ListedCommits, dirty: frozenset[str], needs: Mapping[str, Needs]
) -> tuple[LockedPacks, ...]:
    """Return until when locks keep packs that are emptied, as the commits that need them promised."""
    now_utc = repository.clock.now_utc()
    until: dict[str, datetime] = {}
    for one, commit in listed.commits.items():
        if any(pack.pack_id in dirty for pack in needs[one].packs):
            for name in listed.holders.get(one, ()):
                lock = commit.locks.get(name)
                if lock is not None:
                    end_utc = lock.until_utc + timedelta(seconds=lock.stride_s)
                    until[name] = max(end_utc, until.get(name, end_utc))
    return tuple(LockedPacks(name, end_utc) for name, end_utc in sorted(until.items()) if end_utc > now_utc)

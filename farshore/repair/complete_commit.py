"""Complete a snapshot that too few replicas hold: bring that same commit to the others, as a heal of it alone.

A run can decide at one replica and lose the others before their turn. The snapshot exists then, below its quorum; the
next attempt at the same backup completes it and makes no second one. docs/reference/format.md, section 6;
tests/models/prune/completing.py explores it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field

from farshore import limits
from farshore.catalog.condemned import refuse_condemned
from farshore.catalog.extend_locks import lock_everything
from farshore.catalog.inventory import copy_object, reused_missing
from farshore.catalog.needs import objects_of, read_needs
from farshore.errors import READ_ERRORS, FarshoreError, ObjectCorrupt, ObjectNotFound, StateUnknown
from farshore.format import names
from farshore.format.commit import CommitHead
from farshore.format.fragments import decode_fragment
from farshore.format.names import object_bytes_max
from farshore.format.needs import Needs
from farshore.format.object_kinds import Kind
from farshore.model import dataclass
from farshore.repair.copy_lease import Permit, permit_at, refuses_commit
from farshore.replicas.reader import open_reader
from farshore.replicas.repository import Replica, Repository


@dataclass
class Completed:
    """The replicas that hold the snapshot now, and why others could not be given it."""

    holders: list[str]
    failed: dict[str, FarshoreError] = field(default_factory=dict)


def complete_commit(repository: Repository, head: CommitHead, holders: Sequence[str], run_id: str) -> Completed:
    """Bring a commit, and all that its snapshot needs, to every reachable replica that lacks it. Repeatable.

    Each replica decides by itself, under a lease of this process: one that fails keeps nothing from the others. Adds no
    signature to the commit. Memory: an object for each replica.

    Args:
        holders: The replicas that list it.

    Raises:
        FarshoreError: None of them gives its needs.
    """
    reader = open_reader(repository, only=list(holders))
    needs = read_needs(repository, reader, head)
    stored = reader.get(head.name, lambda data: _checked(head, data), size=limits.SMALL_OBJECT_BYTES_MAX)
    sources = [repository.replicas[name] for name in holders]
    copy = _Copy(head, stored, needs, sources)
    targets = [replica for name, replica in repository.replicas.items() if name not in holders]
    result = Completed(list(holders))
    with ThreadPoolExecutor(max(len(targets), 1), thread_name_prefix="complete") as pool:
        done = {one.name: pool.submit(_bring, repository, one, copy, run_id) for one in targets}
    for name, future in done.items():
        try:
            future.result()
        except FarshoreError as error:
            result.failed[name] = error
        else:
            result.holders.append(name)
    return result


@dataclass(frozen=True, slots=True)
class _Copy:
    """A snapshot to bring: its commit as it is stored, what it needs, and the replicas that have it."""

    head: CommitHead
    stored: bytes
    needs: Needs
    sources: Sequence[Replica]

    def to(self, replica: Replica, names_of: Iterable[str]) -> dict[str, None]:
        """Copy objects; return their names."""
        copied = dict.fromkeys(names_of)
        for name in copied:
            copy_object(name, self.sources, replica)
        return copied


def _bring(repository: Repository, to: Replica, copy: _Copy, run_id: str) -> None:
    """Do the steps W0 to W7 of a heal at one replica."""
    head, needs = copy.head, copy.needs
    permit = permit_at(repository, to, run_id)
    try:
        refuse_condemned((one.name for one in objects_of(head, needs)), permit.condemned)
        if head.hash in permit.forgotten:
            raise StateUnknown(f"{head.name} was forgotten")
        put = copy.to(to, _packs_lacking(to, needs.pack_sizes))
        fragments = [names.fragment(one.blake3) for one in needs.fragments]
        put |= copy.to(to, [name for name in fragments if _wants_fragment(to, copy, permit, name)])
        others = [one.name for one in objects_of(head, needs) if one.kind not in (Kind.PACK, Kind.COMMIT)]
        put |= copy.to(to, [name for name in others if _lacks(to, name)])
        refusal = refuses_commit(repository, to, head.name)  # W5, and whether it counts still
        if refusal:
            raise StateUnknown(f"{to.name} is not given {head.name}: {refusal}")
        lock_everything(to, put, to.store.now_utc)
        permit.commit(to, head.name)
        to.store.put(head.name, copy.stored)
        if to.store.get(head.name, bytes_max=object_bytes_max(head.name)) != copy.stored:
            raise StateUnknown(f"{to.name} does not return the commit as it was written")
    finally:
        permit.end()


def _wants_fragment(to: Replica, copy: _Copy, permit: Permit, name: str) -> bool:
    """Whether a replica lacks a fragment and holds all that it promises; else packs are read by their own footers."""
    if name in permit.condemned or not _lacks(to, name):
        return False
    for source in copy.sources:
        try:
            fragment = decode_fragment(source.store.get(name, bytes_max=object_bytes_max(name)))
        except READ_ERRORS:
            continue
        packs = [(one.pack_id.hex(), one.pack_bytes) for one in fragment.entries]
        return permit.condemned.isdisjoint(names.pack(one) for one, _ in packs) and not _packs_lacking(to, packs)
    return False


def _checked(head: CommitHead, stored: bytes) -> bytes:
    if names.hash_of(stored) != head.hash:
        raise ObjectCorrupt(f"the bytes of {head.name} do not hash to its name")
    return stored


def _packs_lacking(to: Replica, packs: Iterable[tuple[str, int]]) -> list[str]:
    """Return the names of packs that a replica lacks, or holds with another size."""
    return [names.pack(one) for one in sorted(reused_missing(to, list(packs)))]


def _lacks(to: Replica, name: str) -> bool:
    try:
        to.store.head(name)
    except ObjectNotFound:
        return True
    return False

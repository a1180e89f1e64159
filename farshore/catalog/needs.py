"""The objects that a snapshot needs: the one enumeration that backup, verify, heal, locks and prune all go by.

A snapshot can be restored from a replica when every object of `objects_of` is whole there, and the replica can be
opened with those of `objects_shared`. No other module may enumerate the objects of a snapshot: one that it forgot
would be left unlocked, unchecked, or deleted. Needs are not sealed, so no key is needed for any of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from farshore import limits
from farshore.catalog.data_keys import note_key_names
from farshore.catalog.fragments import open_cached
from farshore.catalog.next_needs import NeedsRun
from farshore.errors import ObjectCorrupt
from farshore.format import names
from farshore.format.commit import CommitHead, RunRef
from farshore.format.needs import Needs, decode_needs, join_needs
from farshore.format.object_kinds import Kind
from farshore.replicas.repository import ObjectSource, Replica, Repository
from farshore.sealed.data_key import DATA_KEY_BYTES

SHARED: tuple[tuple[str, Kind], ...] = (  # what all snapshots share beside the header and fragments, and what grows
    (names.LOG, Kind.LOG), (names.ACCEPTED, Kind.ACCEPTED), (names.SLOTS, Kind.SLOT), (names.NOTES, Kind.NOTE),
    (names.FORGOTTEN, Kind.TOMBSTONE), (names.UNFORGOTTEN, Kind.TOMBSTONE), (names.VERDICTS, Kind.VERDICT),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NeededObject:
    """One object that a snapshot needs. `size`: its bytes; None where nothing that is signed has them."""

    name: str
    size: int | None
    kind: Kind


def objects_of(head: CommitHead, needs: Needs) -> Iterator[NeededObject]:
    """Yield every object that a snapshot needs at each replica: packs, data keys, its runs, its commit. Each once.

    Its needs may name more than a restore reads, and what they name counts as needed.

    Index fragments are not among them, because packs can be read without any; nor are the objects that all snapshots
    of a repository share (`objects_shared`).
    """
    for pack in needs.packs:
        yield NeededObject(names.pack(pack.pack_id), pack.bytes, Kind.PACK)
    for key in needs.data_keys:
        yield NeededObject(key.name, DATA_KEY_BYTES, Kind.DATA_KEY)
    yield from own_objects(head)
    yield NeededObject(head.name, None, Kind.COMMIT)


def own_objects(head: CommitHead) -> Iterator[NeededObject]:
    """Yield the runs that a commit names: part of what its snapshot needs, known without the needs.

    Those of manifest, page map and needs that earlier snapshots wrote are among them.
    """
    for run in head.all_runs:
        yield NeededObject(run.name, run.bytes, Kind.RUN)


def objects_shared(replica: Replica, fragment_ids: Iterable[str]) -> Iterator[NeededObject]:
    """Yield the other objects of one replica by which a restore reads and a snapshot stays, shared by all of them.

    Fragments, header, and what `SHARED` names.

    Args:
        fragment_ids: The fragments of this replica that name packs of the snapshot.

    Raises:
        FarshoreError: As `Store.list` says.
    """
    for fragment_id in fragment_ids:
        yield NeededObject(names.fragment(fragment_id), None, Kind.FRAGMENT)
    yield NeededObject(names.HEADER, None, Kind.HEADER)
    for prefix, kind in SHARED:
        for info in replica.store.list(prefix):
            yield NeededObject(info.name, info.size, kind)


def read_needs(repository: Repository, source: ObjectSource, head: CommitHead) -> Needs:
    """Return what a snapshot needs by all runs of its needs, each checked against its commit.

    Notes the names of its data keys.

    Raises:
        FarshoreError: No copy of one of the runs can be had.
    """
    return join_needs(run.needs for run in read_needs_runs(repository, source, head))


def read_needs_runs(
    repository: Repository, source: ObjectSource, head: CommitHead, *, known: Collection[str] = ()
) -> list[NeedsRun]:
    """Return the runs of a snapshot's needs, oldest first. As `read_needs`.

    Args:
        known: Hashes of runs that are left out: snapshots share most of them, and a prune reads each once.
    """
    runs = [NeedsRun(ref, _read_run(repository, source, ref)) for ref in head.needs if ref.blake3 not in known]
    for run in runs:
        note_key_names(repository, run.needs)
    return runs


def _read_run(repository: Repository, source: ObjectSource, ref: RunRef) -> Needs:
    if ref.bytes > limits.NEEDS_BYTES_MAX:
        raise ObjectCorrupt(f"{ref.name} has {ref.bytes:,} bytes by its commit, more than the needs of any snapshot")

    def decode(data: bytes) -> Needs:
        if len(data) != ref.bytes or names.hash_of(data) != ref.blake3:
            raise ObjectCorrupt(f"{ref.name} is not what its commit names")
        return decode_needs(data, ref.name)

    return open_cached(repository, source, ref.name, decode, ref.bytes)

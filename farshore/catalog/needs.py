"""The objects that a snapshot needs: the one enumeration that backup, verify, heal, locks and prune all go by.

A snapshot can be restored from a replica when every object of `objects_of` is whole there, and the replica can be
opened with those of `objects_to_open`. No other module may enumerate the objects of a snapshot: one that it forgot
would be left unlocked, unchecked, or deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from blake3 import blake3

from farshore.catalog.commits import commit_name
from farshore.catalog.fragments import open_cached
from farshore.errors import ObjectCorrupt
from farshore.format import names
from farshore.format.object_kinds import Kind
from farshore.format.records import Commit, Needs, decode_needs
from farshore.replicas.repository import ObjectSource, Replica, Repository
from farshore.sealed.sealed_object import SealedKind, open_object


@dataclass(frozen=True, slots=True)
class NeededObject:
    """One object that a snapshot needs. `size`: its bytes; None where no record of the snapshot has them."""

    name: str
    size: int | None
    kind: Kind


def objects_of(commit: Commit, needs: Needs, recipient_id: str) -> Iterator[NeededObject]:
    """Yield every object that a snapshot needs at each replica: packs, data keys, its own objects, its commit record.

    Each once. Index fragments are not among them, because packs can be read without any; nor are the objects that
    all snapshots of a repository share (`objects_to_open`).

    Args:
        recipient_id: Whom the data keys are sealed to, as hex digits.
    """
    for pack_id, size in needs.packs:
        yield NeededObject(names.pack(pack_id), size, Kind.PACK)
    for key_id in needs.data_keys:
        yield NeededObject(names.data_key(key_id, recipient_id), None, Kind.DATA_KEY)
    yield from own_objects(commit)
    yield NeededObject(commit_name(commit), None, Kind.COMMIT)


def own_objects(commit: Commit) -> Iterator[NeededObject]:
    """Yield the objects that a commit record names: part of what its snapshot needs, known without the needs.

    The full page map of an earlier snapshot that its own is a difference from is one of them.
    """
    for ref in commit.objects.values():
        yield NeededObject(ref.name, ref.bytes, Kind.PART)


def objects_to_open(replica: Replica, fragment_ids: Iterable[str]) -> Iterator[NeededObject]:
    """Yield the other objects that a restore from one replica reads: fragments, header, owner log, all key slots.

    Args:
        fragment_ids: The fragments of this replica that name packs of the snapshot.

    Raises:
        FarshoreError: As `Store.list` says.
    """
    for fragment_id in fragment_ids:
        yield NeededObject(names.fragment(fragment_id), None, Kind.FRAGMENT)
    yield NeededObject(names.HEADER, None, Kind.HEADER)
    for prefix, kind in ((names.LOG, Kind.LOG), (names.ACCEPTED, Kind.ACCEPTED), (names.SLOTS, Kind.SLOT)):
        for info in replica.store.list(prefix):
            yield NeededObject(info.name, info.size, kind)


def read_needs(repository: Repository, source: ObjectSource, commit: Commit) -> Needs:
    """Return the packs and data keys that a snapshot needs, checked against its commit record."""
    keys = repository.writing_keys()
    ref = commit.objects[names.NEEDS]

    def decode(data: bytes) -> Needs:
        if len(data) != ref.bytes or blake3(data).hexdigest() != ref.blake3:
            raise ObjectCorrupt(f"{ref.name} is not what its commit record names")
        payload = open_object(
            data, secret=keys.index_key, kind=SealedKind.NEEDS, name=ref.name, repository_id=keys.repository_id
        )
        return decode_needs(payload)

    return open_cached(repository, source, ref.name, decode, ref.bytes)

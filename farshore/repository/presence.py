"""Where the packs that a new snapshot reuses are, replica by replica, and how to bring a replica up to it.

Copying is of ciphertext, whose names are hashes of their bytes, so it needs no key and cannot go wrong unnoticed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from blake3 import blake3

from farshore import limits
from farshore.errors import FarshoreError, ObjectNotFound, StateUnknown
from farshore.format import names
from farshore.format.pack import PackedFooter
from farshore.repository.holdings import Holdings, list_holdings, read_footer, read_fragment
from farshore.repository.keys import DATA_KEY_BYTES, check_data_key
from farshore.repository.repository import Replica, Repository

_THREADS = 8


@dataclass
class Presence:
    """What all replicas held when a run began. Built once; read by many threads."""

    holdings: dict[str, Holdings]
    footers: dict[str, PackedFooter] = field(default_factory=dict)  # pack id -> footer, of packs held somewhere
    fragments_of: dict[str, list[str]] = field(default_factory=dict)  # pack id -> fragments that name it
    packs_of: dict[str, list[str]] = field(default_factory=dict)  # fragment id -> packs it names
    orphans: set[str] = field(default_factory=set)  # packs that no fragment names: a killed run left them
    failed: dict[str, FarshoreError] = field(default_factory=dict)

    def holders(self, pack_id: str) -> list[str]:
        """Return the replicas that listed this pack with the size its footer gives."""
        return [name for name, held in self.holdings.items() if pack_id in held.packs]


def survey(repository: Repository, replicas: Collection[Replica]) -> Presence:
    """List every replica and read the index. A replica that cannot be listed is in `failed`, not silently empty."""
    presence = Presence({})
    with ThreadPoolExecutor(max(len(replicas), 1)) as pool:
        futures = {replica.name: pool.submit(list_holdings, replica) for replica in replicas}
        for name, future in futures.items():
            try:
                presence.holdings[name] = future.result()
            except FarshoreError as error:
                presence.failed[name] = error
    by_name = {replica.name: replica for replica in replicas}
    fragments = {fragment for held in presence.holdings.values() for fragment in held.fragments}
    held_somewhere = {pack for held in presence.holdings.values() for pack in held.packs}
    with ThreadPoolExecutor(_THREADS) as pool:
        read = pool.map(lambda one: _read_anywhere(repository, by_name, presence, one), sorted(fragments))
        for fragment_id, packs in zip(sorted(fragments), read, strict=True):
            ids = [pack.pack_id.hex() for pack in packs]
            presence.packs_of[fragment_id] = ids
            for pack_id, packed in zip(ids, packs, strict=True):
                presence.fragments_of.setdefault(pack_id, []).append(fragment_id)
                if pack_id in held_somewhere:
                    presence.footers[pack_id] = packed
    _drop_wrong_sizes(presence)
    _adopt_orphans(repository, by_name, presence, held_somewhere)
    return presence


def reused_missing(
    replica: Replica, wanted: Sequence[tuple[str, int]], checksums: dict[str, str] | None = None
) -> list[str]:
    """Return which of these packs (id, bytes) a replica lacks right now, asked of the store and not remembered.

    Args:
        checksums: Where given, takes the provider's own checksum of each object it told one of, by name.
    """
    told = {} if checksums is None else checksums
    if len(wanted) > limits.HEAD_OBJECTS_MAX:
        listed = {info.name: info for info in replica.store.list(names.PACKS)}
        told.update({name: info.checksum for name, info in listed.items() if info.checksum})
        found = {pack_id: listed.get(names.pack(pack_id)) for pack_id, _ in wanted}
        return [pack_id for pack_id, size in wanted if (info := found[pack_id]) is None or info.size != size]

    def lacks(item: tuple[str, int]) -> bool:
        try:
            info = replica.store.head(names.pack(item[0]))
        except ObjectNotFound:
            return True
        if info.checksum:
            told[info.name] = info.checksum
        return info.size != item[1]

    with ThreadPoolExecutor(_THREADS) as pool:
        return [pack_id for (pack_id, _), absent in zip(wanted, pool.map(lacks, wanted), strict=True) if absent]


def bring_up(
    replica: Replica, others: Sequence[Replica], presence: Presence, wanted: Sequence[tuple[str, int]],
    key_names: Iterable[str], checksums: dict[str, str] | None = None,
) -> int:  # fmt: skip
    """Copy to one replica the packs, data keys and index fragments that a snapshot reuses and it lacks.

    Repeatable: what is there is not sent again. Returns the bytes copied. `checksums` as in `reused_missing`.

    Raises:
        StateUnknown: No replica has a good copy of something that is needed.
        StoreUnavailable, StoreFull, StoreDenied: This replica cannot be brought up now.
    """
    copied = 0
    missing = set(reused_missing(replica, wanted, checksums))
    for pack_id in sorted(missing):
        copied += copy_object(names.pack(pack_id), others, replica, pack_id)
    if missing and reused_missing(replica, [item for item in wanted if item[0] in missing]):
        raise StateUnknown(f"{replica.name} acknowledges packs and does not keep them whole")
    held = presence.holdings[replica.name].fragments
    lacking = {
        presence.fragments_of[pack_id][0]
        for pack_id, _ in wanted
        if pack_id in presence.fragments_of and not held.intersection(presence.fragments_of[pack_id])
    }
    for fragment_id in sorted(lacking):  # a listed fragment promises all its packs, so they come first
        held_packs = presence.holdings[replica.name].packs
        for pack_id in presence.packs_of[fragment_id]:
            if pack_id not in held_packs and presence.holders(pack_id):
                copied += copy_object(names.pack(pack_id), others, replica, pack_id)
        copied += copy_object(names.fragment(fragment_id), others, replica, fragment_id)
    for name in key_names:
        try:
            size = replica.store.head(name).size
        except ObjectNotFound:
            copied += copy_object(name, others, replica, None)
            continue
        if size != DATA_KEY_BYTES:
            raise StateUnknown(f"{replica.name} holds {name} with {size} bytes, not {DATA_KEY_BYTES}")
    return copied


def copy_object(name: str, sources: Sequence[Replica], to: Replica, digest: str | None) -> int:
    """Copy one object from the first replica with a good copy; return its bytes.

    Args:
        digest: BLAKE3 of the object, which is also its name; None for a data key, which has a check of its own.
    """
    reasons: list[str] = []
    for source in sources:
        try:
            data = source.store.get(name)
            if digest is None:
                check_data_key(data, name)
        except FarshoreError as error:
            reasons.append(f"{source.name}: {error}")
            continue
        if digest is not None and blake3(data).hexdigest() != digest:
            reasons.append(f"{source.name}: its bytes do not hash to its name")
            continue
        to.store.put(name, data)
        return len(data)
    raise StateUnknown(f"{to.name} lacks {name} and no other replica has a good copy ({'; '.join(reasons)})")


def _read_anywhere(
    repository: Repository, replicas: Mapping[str, Replica], presence: Presence, fragment_id: str
) -> list[PackedFooter]:
    """Read a fragment from any replica that lists it; one that cannot be read is as if it were not there.

    What it names is then adopted from the packs, or stored once more; neither loses anything.
    """
    for name, held in presence.holdings.items():
        if fragment_id in held.fragments:
            try:
                return read_fragment(repository, replicas[name], fragment_id)
            except FarshoreError:
                continue
    return []


def _drop_wrong_sizes(presence: Presence) -> None:
    """A pack whose listed size is not the one its footer was indexed with is damaged there: treat it as missing."""
    for name, held in presence.holdings.items():
        sound = {
            pack_id: size
            for pack_id, size in held.packs.items()
            if pack_id not in presence.footers or presence.footers[pack_id].pack_bytes == size
        }
        presence.holdings[name] = Holdings(sound, held.fragments)
    for pack_id in [pack_id for pack_id in presence.footers if not presence.holders(pack_id)]:
        del presence.footers[pack_id]


def _adopt_orphans(
    repository: Repository, replicas: Mapping[str, Replica], presence: Presence, held_somewhere: Collection[str]
) -> None:
    """Read the footers of packs that no fragment names, so that a killed run's uploads are used and not sent again."""
    orphans = sorted(pack for pack in held_somewhere if pack not in presence.fragments_of)
    for pack_id in orphans[: limits.ORPHAN_PACKS_MAX]:
        holder = presence.holders(pack_id)[0]
        size = presence.holdings[holder].packs[pack_id]
        try:
            presence.footers[pack_id] = read_footer(repository.writing_keys(), replicas[holder], pack_id, size)
        except FarshoreError:
            continue
        presence.orphans.add(pack_id)

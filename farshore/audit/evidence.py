"""The files that the seals of one replica vouch for: each seal is read and verified once, and judged each time.

Anybody who may put objects can put names of seals. Those in chains of nobody who was certified are not read. Of the
others, those that turn out to be none are remembered, and a bounded number of them is read at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from farshore.audit import names
from farshore.audit.chain import Authority, Counted, SealFinding, count_seals, open_seal
from farshore.audit.names import SealName
from farshore.audit.seal_cache import SealCache, open_seal_cache
from farshore.audit.seals import Seal
from farshore.errors import FormatTooNew, ObjectCorrupt, ObjectNotFound
from farshore.format.names import hash_of, object_bytes_max
from farshore.limits import AUDIT_DOWNLOADS, AUDIT_SEALS_UNNAMED_MAX, READ_AT_ONCE_BYTES, UNKNOWN_BYTES_MAX
from farshore.stores.base import Store


@dataclass(frozen=True, slots=True)
class Evidence:
    """The seals and files that count at one replica.

    `counted`: of the seals that the replica lists. `refused`: objects of seals' names that do not count, and why.
    `damaged`: names of seals in chains of certified signers whose bytes are not those of the name, so nobody knows
    which files they named. `known`: audit files that count by seals of any replica that this host ever saw.
    `listed`: every name of a seal there. `unread`: how many names were too many to be read.
    """

    counted: Counted
    refused: Mapping[str, SealFinding]
    damaged: tuple[str, ...]
    known: frozenset[str]
    listed: frozenset[SealName]
    unread: int
    cache: SealCache

    def may_count(self, name: str) -> bool:
        """Whether a file counts, unless its rows, where this host has not read them yet, turn out to be others'."""
        one = self.counted.files.get(name)
        claims = self.cache.claims.get(name, ())
        return one is not None and claims is not None and one.may_say(names.table_of(name) or "", claims)

    @property
    def missing(self) -> int:
        """How many seals are missing before others of their chains, so that rows may be missing, too."""
        chains: dict[str, set[int]] = {}
        for seal in self.counted.seals.values():
            chains.setdefault(seal.chain, set()).add(seal.sequence)
        for chain, places in self.counted.folded.superseded.items():
            chains.setdefault(chain, set()).update(places)
        return sum(max(sequences) - len(sequences) for sequences in chains.values())


def read_evidence(
    store: Store,
    cache_dir: Path,
    repository_id: str,
    authority: Authority,
    *,
    listed: Mapping[str, int] | None = None,
) -> Evidence:
    """Return what the seals of a replica vouch for. Seals that this host does not know yet are read.

    Its cache is filled, and saved by the caller.

    Args:
        listed: Names and sizes of objects below `audit/`, where they were listed just now.

    Raises:
        StoreUnavailable, StoreDenied, BucketNotFound: As the store said.
    """
    cache = open_seal_cache(cache_dir, repository_id, authority.fingerprint)
    if listed is None:
        listed = {info.name: info.size for info in store.list(names.SEALS)}
    places = frozenset(place for name in listed if (place := names.parse_seal(name)))
    replaced = {one for seal in cache.seals.values() if seal.fold is not None for one in seal.fold.seals}
    if any(place.hash in replaced and place.hash not in cache.seals for place in places):
        cache.read_folded()
    certified = {signer[: len(signer) // 2] for signer in authority.trust.certificates}
    refused: dict[str, SealFinding] = {}
    wanted: list[SealName] = []
    for place in places:
        if place.hash in cache.seals:
            continue
        if place.name in cache.refused:
            refused[place.name] = SealFinding(cache.refused[place.name][0], place.name, cache.refused[place.name][1])
        elif place.chain[: len(place.chain) // 2] not in certified:
            refused[place.name] = SealFinding("bad-signature", place.name, "is in a chain of nobody who is certified")
        else:
            wanted.append(place)
    read, unread = _read(store, {place: listed[place.name] for place in wanted}, authority, cache)
    refused |= read
    damaged = tuple(sorted(name for name in read if name not in cache.refused and read[name].code == "bad-seal"))
    counted = count_seals(cache.seals.values(), authority.trust, at={place.hash for place in places})
    everywhere = count_seals(cache.seals.values(), authority.trust)
    known = frozenset(everywhere.files)
    cache.fold(everywhere.folded.superseded_hashes)
    for one, judgment in counted.refused.items():
        name = cache.seals[one].name
        refused[name] = SealFinding("refused-seal", name, f"counts no more: {judgment.value}")
    return Evidence(counted, refused, damaged, known, places, unread, cache)


def _read(
    store: Store, sizes: Mapping[SealName, int], authority: Authority, cache: SealCache
) -> tuple[dict[str, SealFinding], int]:
    """Read seals into the cache; return what is none, and how many names were left unread.

    Places that one name claims are read first: those are what a chain is made of, unless somebody plants more. Both how
    many and how many bytes are read of what is none has a bound.
    """
    claims = Counter((place.chain, place.sequence) for place in sizes)

    def turn(place: SealName) -> tuple[bool, int, int, str]:
        return place.name in cache.unreadable, claims[place.chain, place.sequence], place.sequence, place.name

    wanted = sorted(sizes, key=turn, reverse=True)
    refused: dict[str, SealFinding] = {}
    seals_bytes = refused_bytes = 0
    with ThreadPoolExecutor(AUDIT_DOWNLOADS, thread_name_prefix="audit") as threads:
        while wanted and len(refused) <= max(AUDIT_SEALS_UNNAMED_MAX, 2 * len(cache.seals)):
            if refused_bytes >= max(UNKNOWN_BYTES_MAX, seals_bytes):
                break
            batch = _batch(wanted, sizes)
            for place, found in zip(
                batch, threads.map(lambda one: _open(store, one, sizes[one], authority), batch), strict=True
            ):
                if isinstance(found, Seal):
                    seals_bytes += sizes[place]
                    cache.seals[found.hash] = found
                    cache.changed = True
                    continue
                finding, lasting = found
                refused_bytes += min(sizes[place], object_bytes_max(place.name))
                refused[place.name] = finding
                if lasting:
                    cache.refused[place.name] = (finding.code, finding.detail)
                else:
                    cache.unreadable.add(place.name)
                cache.changed = True
    return refused, len(wanted)


def _batch(wanted: list[SealName], sizes: Mapping[SealName, int]) -> list[SealName]:
    """Pop the seals that are read at once from the end of a list: as many as memory is for."""
    batch: list[SealName] = []
    size = 0
    while wanted and len(batch) < AUDIT_SEALS_UNNAMED_MAX and size < READ_AT_ONCE_BYTES:
        batch.append(wanted.pop())
        size += sizes[batch[-1]]
    return batch


def _open(store: Store, place: SealName, size: int, authority: Authority) -> Seal | tuple[SealFinding, bool]:
    """Return a seal, or why the object is none and whether that is so for good: its bytes are those of the name."""
    try:
        data = store.get(place.name, bytes_max=min(object_bytes_max(place.name), size))
    except (ObjectCorrupt, ObjectNotFound) as error:
        return SealFinding("bad-seal", place.name, error.message), False
    found = open_seal(place.name, data, authority)
    if isinstance(found, Seal):
        return found
    whole = hash_of(data) == place.hash
    return found, whole and found.code != FormatTooNew.code

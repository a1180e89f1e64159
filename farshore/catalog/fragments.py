"""Index fragments and the footers of packs, read from the cache, a replica, or the packs themselves."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TypeVar

from farshore.catalog.pack_trust import PackTrust
from farshore.catalog.refused import RefusedObjects
from farshore.errors import Corrupt, ObjectCorrupt, Unsupported
from farshore.format import names
from farshore.format import pack as layout
from farshore.format.fragments import Fragment, decode_fragment
from farshore.format.pack import PackedFooter
from farshore.replicas.repository import ObjectSource, Replica, Repository
from farshore.sealed import KeySet
from farshore.sealed.fragments import OpenedFragment, open_packs
from farshore.sealed.packs import open_footer

Decoded = TypeVar("Decoded")


def open_cached(
    repository: Repository,
    source: ObjectSource,
    name: str,
    decode: Callable[[bytes], Decoded],
    size: int = 0,
    keep: Callable[[Decoded], bool] = lambda _: True,
) -> Decoded:
    """Return a decoded immutable object; a damaged cache entry is dropped and the source asked again.

    Args:
        keep: Whether to keep what was read in the cache.
    """
    data = repository.cache.get(name)
    if data is not None:
        try:
            return decode(data)
        except (Corrupt, Unsupported):
            repository.cache.drop(name)
    value, data = source.get(name, lambda data: (decode(data), data), size=size)
    if keep(value):
        repository.cache.put(name, data)
    return value


def open_fragment(keys: KeySet, fragment_id: str, data: bytes) -> OpenedFragment:
    """Return an index fragment and its footers, its id checked against its bytes, its signature not."""
    fragment = decode_named(fragment_id, data)
    return open_packs(fragment.entries, keys, fragment)


def decode_named(fragment_id: str, data: bytes) -> Fragment:
    """Return an index fragment, its id checked against its bytes, its signature not. Needs no key.

    Raises:
        ObjectCorrupt: Its bytes do not hash to its name, or are no fragment.
        FormatTooNew: A later version made it.
    """
    check_named(fragment_id, data)
    return decode_fragment(data)


def check_named(fragment_id: str, data: bytes) -> None:
    """Raise `ObjectCorrupt` where the bytes of an index fragment do not hash to its name."""
    if names.hash_of(data) != fragment_id:
        raise ObjectCorrupt(f"{names.fragment(fragment_id)} is altered: its bytes do not hash to its name")


class FragmentReader:
    """Reads index fragments for one run, within bounds. Safe from many threads.

    Args:
        any_fold: Whether the word of each certified signer counts on what a fold supersedes: for readers who look for
            a pack that no fold has in what it supersedes, and then in the pack itself. Else see `PackTrust.may_hide`.
    """

    def __init__(self, repository: Repository, trust: PackTrust, *, any_fold: bool = False) -> None:
        self._repository = repository
        self._trust = trust
        self._refused = RefusedObjects(repository.cache, trust.moment)
        self._counted = 0
        self._counted_bytes = 0
        self._any_fold = any_fold
        self._folds: dict[str, set[str]] = {}  # fragment -> folds that were read and supersede it

    @property
    def refused(self) -> int:
        """How many were read that no certified signer made."""
        return self._refused.met

    def in_order(self, fragments: Mapping[str, int]) -> list[str]:
        """Return fragments (id -> bytes) in the order to read them, without those that did not count before.

        Those that did count go first, and of each the larger ones: a fold goes before what it supersedes. Those whose
        bytes were not of their name go last.
        """
        known, unknown, last = [], [], []
        for one in sorted(fragments, key=lambda one: (-fragments[one], one)):
            name = names.fragment(one)
            if self._repository.cache.path(name):
                known.append(one)
            elif self._refused.was_unreadable(name):
                last.append(one)
            elif not self._refused.remembers(name):
                unknown.append(one)
        return known + unknown + last

    def folds_of(self, fragment_id: str) -> Collection[str]:
        """Return the folds among those read so far that have all packs of a fragment, as their signers say."""
        return self._folds.get(fragment_id, ())

    def read(self, source: ObjectSource, fragment_id: str, size: int = 0) -> OpenedFragment | None:
        """Return a fragment; None where no certified signer made it, or the bound of such ones is reached.

        Raises:
            FarshoreError: It cannot be read, or is not what its name says.
        """
        name = names.fragment(fragment_id)
        known = self._repository.cache.path(name) is not None
        if not known and self._refused.exhausted(self._counted, self._counted_bytes):
            return None
        try:
            opened = open_cached(
                self._repository, source, name, partial(self._open, fragment_id), size, lambda one: one is not None
            )
        except (Corrupt, Unsupported):
            self._refused.note_unreadable(name, size)
            raise
        if opened is None:
            self._refused.note(name, size)
            return None
        self._counted += 1
        self._counted_bytes += size
        fragment = opened.fragment
        if fragment is not None and (self._any_fold or self._trust.may_hide(fragment)):
            for one in fragment.superseded:
                self._folds.setdefault(one.hex(), set()).add(fragment_id)
        return opened

    def _open(self, fragment_id: str, data: bytes) -> OpenedFragment | None:
        """Return a fragment; None where no certified signer made it, which is looked at before its tables are."""
        check_named(fragment_id, data)
        if not self._trust.made_fragment(data):
            return None
        return open_fragment(self._repository.writing_keys(), fragment_id, data)


def read_footer(keys: KeySet, replica: Replica, pack_id: str, pack_bytes: int) -> PackedFooter:
    """Return a pack's footer from the pack itself: three small ranged reads. Rebuilds the index without fragments.

    Its index key proves the footer, not its name: for that the whole pack is read.
    """
    name = names.pack(pack_id)
    if pack_bytes < layout.HEADER_BYTES + layout.TAIL_BYTES:
        raise ObjectCorrupt(f"{name} has {pack_bytes} bytes, fewer than any pack")
    tail = replica.store.get(name, pack_bytes - layout.TAIL_BYTES, layout.TAIL_BYTES)
    length = layout.decode_tail(tail, pack_bytes).footer_bytes
    header = replica.store.get(name, 0, layout.HEADER_BYTES)
    start = pack_bytes - layout.TAIL_BYTES - length
    if layout.body_bytes_of(header) != start:
        raise ObjectCorrupt(f"header and tail of {name} do not agree on where its footer is")
    plain = open_footer(keys, header, replica.store.get(name, start, length))
    return PackedFooter(bytes.fromhex(pack_id), pack_bytes, layout.decode_footer(plain, start))

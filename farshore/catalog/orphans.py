"""Packs that no index fragment names: a run of this host died before it could write one.

They are used again only where their tail shows that the own party made them, and only once they were read whole and
proved their name and their signature: an adopted pack is believed, and goes into a fragment of this host.
"""

from __future__ import annotations

from farshore.catalog.pack_trust import PackTrust
from farshore.catalog.refused import RefusedObjects
from farshore.errors import READ_ERRORS, Corrupt, ObjectCorrupt, Unsupported
from farshore.format import names
from farshore.format import pack as layout
from farshore.format.fragments import FragmentEntry, decode_fragment, encode_body, encode_fragment
from farshore.format.names import object_bytes_max
from farshore.format.pack_id import hash_pack
from farshore.replicas.repository import Replica, Repository
from farshore.sealed.packs import entry_of

_FOLDER = "orphans"


class OrphanReader:
    """Reads packs without a fragment, for one run. Proofs are kept in the cache, a few kB a pack."""

    def __init__(self, repository: Repository, trust: PackTrust) -> None:
        self._cache = repository.cache
        self._trust = trust
        self._refused = RefusedObjects(repository.cache, trust.moment)

    def exhausted(self, known: int) -> bool:
        """Whether the bound of packs that are of others is reached, so that this run looks at no more."""
        return self._refused.exhausted(known)

    def was_unreadable(self, pack_id: str) -> bool:
        """Whether a pack was not what its name says when it was last read, so that others go before it."""
        return self._refused.was_unreadable(names.pack(pack_id))

    def read(self, replica: Replica, pack_id: str, pack_bytes: int) -> FragmentEntry | None:
        """Return what a fragment has of an own pack; None where it is not one, or cannot be read now."""
        name = names.pack(pack_id)
        kept = self._kept(pack_id)
        if kept is not None:
            return kept if self._trust.is_reusable(kept) else None
        if self._refused.remembers(name):
            return None
        try:
            if not self._trust.is_own(_signer(replica, name, pack_bytes)):
                self._refused.note(name, layout.TAIL_BYTES)
                return None
            entry = entry_of(_whole(replica, name, pack_id, pack_bytes))
        except (Corrupt, Unsupported):
            self._refused.note_unreadable(name, pack_bytes)
            return None
        except READ_ERRORS:
            return None
        if not self._trust.is_reusable(entry):
            self._refused.note(name, pack_bytes)
            return None
        self._cache.put(f"{_FOLDER}/{pack_id}", encode_fragment(encode_body([entry]), entry.signature))
        return entry

    def _kept(self, pack_id: str) -> FragmentEntry | None:
        """Return what the cache has; it proves itself like any entry."""
        data = self._cache.get(f"{_FOLDER}/{pack_id}")
        if data is None:
            return None
        try:
            (entry,) = decode_fragment(data).entries
        except (Corrupt, ValueError):
            return None
        return entry if entry.pack_id.hex() == pack_id else None


def _signer(replica: Replica, name: str, pack_bytes: int) -> str:
    if pack_bytes < layout.HEADER_BYTES + layout.TAIL_BYTES:
        raise ObjectCorrupt(f"{name} has {pack_bytes} bytes, fewer than any pack")
    tail = replica.store.get(name, pack_bytes - layout.TAIL_BYTES, layout.TAIL_BYTES)
    return layout.decode_tail(tail, pack_bytes).signature.signer


def _whole(replica: Replica, name: str, pack_id: str, pack_bytes: int) -> bytes:
    data = replica.store.get(name, bytes_max=min(object_bytes_max(name), pack_bytes))
    if hash_pack(data).hex() != pack_id:
        raise ObjectCorrupt(f"the bytes of {name} do not hash to its name")
    return data

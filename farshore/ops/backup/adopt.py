"""Packs that killed runs left without an index fragment, and that a new snapshot reuses."""

from __future__ import annotations

from blake3 import blake3

from farshore.audit.rows import ObjectKind
from farshore.audit.run_rows import WrittenObject
from farshore.catalog.data_keys import check_named_key
from farshore.catalog.inventory import Inventory
from farshore.errors import READ_ERRORS
from farshore.format import names
from farshore.format.fragments import FragmentEntry
from farshore.format.names import hash_of, object_bytes_max
from farshore.format.needs import Needs
from farshore.model import dataclass
from farshore.replicas.repository import Repository
from farshore.sealed import KeySet
from farshore.sealed.fragments import make_fragment


@dataclass(frozen=True, slots=True)
class AdoptedPacks:
    """The fragment that names adopted packs from now on, and the objects that no audit row has recorded yet."""

    fragment: str
    body: bytes
    objects: list[WrittenObject]


def adopt_packs(repository: Repository, inventory: Inventory, needs: Needs) -> AdoptedPacks | None:
    """Return the orphans among the packs that a snapshot needs, with a new fragment for them."""
    keys = repository.writing_keys()
    found = {pack_id: entry for pack_id, _ in needs.pack_sizes if (entry := inventory.orphans.get(pack_id)) is not None}
    if not found:
        return None
    objects = [
        WrittenObject(names.pack(pack_id), ObjectKind.PACK, entry.pack_bytes, pack_id)
        for pack_id, entry in found.items()
    ]
    footers = [packed.footer for packed in inventory.footers(list(found)) if packed is not None]
    data_keys = {origin.key_id.hex() for footer in footers for origin in footer.origins}
    key_names = [key.name for key in needs.data_keys if key.key_id in data_keys]
    objects += filter(None, (_describe_key(repository, name) for name in key_names))
    body = _new_fragment(inventory, list(found.values()), keys)
    digest = hash_of(body)
    objects.append(WrittenObject(names.fragment(digest), ObjectKind.INDEX, len(body), digest))
    return AdoptedPacks(names.fragment(digest), body, objects)


def _new_fragment(inventory: Inventory, entries: list[FragmentEntry], keys: KeySet) -> bytes:
    """Return a fragment that no replica lists: one of these packs that is listed could not be read, or was refused."""
    superseded: list[bytes] = []
    while True:
        body = make_fragment(entries, keys, superseded)
        if hash_of(body) not in inventory.fragment_ids:
            return body
        superseded.append(blake3(body).digest())


def _describe_key(repository: Repository, key_name: str) -> WrittenObject | None:
    """Return a data key by its first whole copy; None where none can be read now."""
    for replica in repository.replicas.values():
        try:
            data = replica.store.get(key_name, bytes_max=object_bytes_max(key_name))
            check_named_key(key_name, data)
        except READ_ERRORS:
            continue
        return WrittenObject(key_name, ObjectKind.DATA_KEY, len(data), hash_of(data))
    return None

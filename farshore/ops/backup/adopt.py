"""Packs that killed runs left without an index fragment, and that a new snapshot reuses."""

from __future__ import annotations

from dataclasses import dataclass

from blake3 import blake3

from farshore.audit.rows import ObjectKind
from farshore.audit.run_rows import WrittenObject
from farshore.catalog.inventory import Inventory
from farshore.clock import Clock
from farshore.errors import READ_ERRORS
from farshore.format import names
from farshore.format.names import object_bytes_max
from farshore.format.pack import encode_footer
from farshore.format.records import Needs
from farshore.ops.backup.publish import seal_fragment
from farshore.replicas.repository import Repository
from farshore.sealed.data_key import check_data_key


@dataclass(frozen=True, slots=True)
class AdoptedPacks:
    """The fragment that names adopted packs from now on, and the objects that no audit row has recorded yet."""

    fragment: str
    body: bytes
    objects: list[WrittenObject]


def adopt_packs(repository: Repository, inventory: Inventory, needs: Needs, clock: Clock) -> AdoptedPacks | None:
    """Return the orphans among the packs that a snapshot needs, with a new fragment for them."""
    keys = repository.writing_keys()
    orphans = [pack_id for pack_id, _ in needs.packs if pack_id in inventory.orphans]
    found = [packed for packed in inventory.footers(orphans) if packed is not None]
    packs = [(packed.pack_id, packed.pack_bytes, encode_footer(packed.footer)) for packed in found]
    if not packs:
        return None
    objects = [
        WrittenObject(names.pack(one.pack_id.hex()), ObjectKind.PACK, one.pack_bytes, one.pack_id.hex())
        for one in found
    ]
    data_keys = {origin.key_id.hex() for one in found for origin in one.footer.origins}
    key_names = [names.data_key(key, keys.recipient_id.hex()) for key in sorted(data_keys)]
    objects += filter(None, (_describe_key(repository, name) for name in key_names))
    body = seal_fragment(packs, keys, clock)
    digest = blake3(body).hexdigest()
    objects.append(WrittenObject(names.fragment(digest), ObjectKind.INDEX, len(body), digest))
    return AdoptedPacks(names.fragment(digest), body, objects)


def _describe_key(repository: Repository, key_name: str) -> WrittenObject | None:
    """Return a data key by its first whole copy; None where none can be read now."""
    for replica in repository.replicas.values():
        try:
            data = replica.store.get(key_name, bytes_max=object_bytes_max(key_name))
            check_data_key(data, key_name)
        except READ_ERRORS:
            continue
        return WrittenObject(key_name, ObjectKind.DATA_KEY, len(data), blake3(data).hexdigest())
    return None

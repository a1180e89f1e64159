"""The full page map that this run's map can be stored as a difference from.

A run needs it as a file on this host: when a snapshot that names it commits, replicas that lack it get a copy from
there (`kept_runs`). In case of doubt the run writes a full map, which is larger and needs no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from farshore import limits
from farshore.catalog.data_keys import check_named_key
from farshore.catalog.kept_runs import may_be_kept
from farshore.errors import READ_ERRORS, ObjectNotFound
from farshore.format.commit import RunRef
from farshore.format.names import object_bytes_max
from farshore.format.needs import NeededKey
from farshore.format.page_maps import PageMap
from farshore.replicas.repository import Replica, Repository
from farshore.sealed.data_key import DATA_KEY_BYTES
from farshore.sealed.sealed_object import ObjectKey


@dataclass(frozen=True, slots=True)
class FullPageMap:
    """A full page map: the object, its own key, the object of its run's data key, and its sealed bytes here."""

    ref: RunRef
    key: ObjectKey
    key_object: NeededKey
    file: Path
    pages: PageMap


def choose_pages_base(repository: Repository, previous: PageMap | None, base: FullPageMap | None) -> FullPageMap | None:
    """Return the full map to store this run's as a difference from, or None where a full one is due or safer.

    Asks each replica for two objects; one that cannot be asked decides nothing.
    """
    if previous is None or base is None or base.pages.bytes < limits.PAGE_MAP_BASE_BYTES_MIN:
        return None
    if previous.spent_with_it >= limits.PAGE_MAP_DIFFERENCES_MAX * base.pages.bytes:
        return None
    key_name = base.key_object.name
    key_is_whole = False
    for replica in repository.replicas.values():
        try:
            sealed = _read_if_there(replica, key_name)
            if (
                not may_be_kept([replica], [base.ref], files={base.ref.name: base.file})
                or len(sealed or bytes(DATA_KEY_BYTES)) != DATA_KEY_BYTES
            ):
                return None  # objects are never overwritten, so it cannot be put right there
            if sealed is not None:
                check_named_key(key_name, sealed)
                key_is_whole = True
        except READ_ERRORS:
            continue
    return base if key_is_whole else None


def _read_if_there(replica: Replica, name: str) -> bytes | None:
    try:
        return replica.store.get(name, bytes_max=object_bytes_max(name))
    except ObjectNotFound:
        return None

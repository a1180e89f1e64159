"""Objects that plans to delete condemn count as absent (step W3 of a writer): not reused, not copied, not missed.

docs/reference/format.md, section 6.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

import numpy as np

from farshore.catalog.listings import PackListing
from farshore.errors import StateUnknown
from farshore.format import names
from farshore.replicas.listing_check import Lacking


def leave_out(listing: PackListing, condemned: Collection[str]) -> PackListing:
    """Return a listing without the packs and fragments that are condemned."""
    if not condemned:
        return listing
    ids = [bytes.fromhex(pack_id) for name in condemned if (pack_id := names.parse_pack(name))]
    kept = ~np.isin(listing.pack_ids, np.array(ids, listing.pack_ids.dtype))
    fragments = {one: size for one, size in listing.fragments.items() if names.fragment(one) not in condemned}
    return replace(
        listing, pack_ids=listing.pack_ids[kept], pack_bytes=listing.pack_bytes[kept], fragments=fragments
    )  # fmt: skip


def not_condemned(lacking: Lacking, condemned: Collection[str]) -> Lacking:
    """Return the packs among those that a replica lacks which nobody has condemned: only they are a loss."""
    return Lacking({one: size for one, size in lacking.packs.items() if names.pack(one) not in condemned})


def refuse_condemned(needed: Iterable[str], condemned: Collection[str]) -> None:
    """Raise `StateUnknown` where a snapshot needs what a plan condemns."""
    found = next((name for name in needed if name in condemned), None) if condemned else None
    if found is not None:
        raise StateUnknown(
            f"a plan to delete condemns {found}, which the snapshot needs, so it is not committed",
            "Run it again: it stores anew what a plan condemns.",
        )

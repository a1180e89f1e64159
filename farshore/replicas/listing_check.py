"""Is a listing whole? What a replica's own snapshots and fragments promise against what its listing shows.

A snapshot listed at a replica needs its packs there, and a listed fragment promises the packs that it names. A listing
that lacks some of them is either cut off or out of date, or shows a real loss. Asking for a few of them by name
distinguishes the two. A replica without snapshots and fragments promises nothing: it is new, or empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from farshore.errors import FarshoreError, ListingShrunken, ObjectNotFound, ObjectsLost
from farshore.format import names
from farshore.limits import LACKING_KEPT_MAX, LISTING_PROBES
from farshore.plural import count_of
from farshore.replicas.repository import Replica


@dataclass(slots=True)
class Lacking:
    """Packs (id -> bytes) that are promised at a replica and not listed there; the first `LACKING_KEPT_MAX`."""

    packs: dict[str, int] = field(default_factory=dict)

    def add(self, packs: Iterable[tuple[str, int]]) -> None:
        """Add more."""
        for pack_id, size in packs:
            if len(self.packs) >= LACKING_KEPT_MAX:
                return
            self.packs[pack_id] = size

    @property
    def count_text(self) -> str:
        """How many, for a message."""
        count = len(self.packs)
        return f"{'at least ' if count >= LACKING_KEPT_MAX else ''}{count_of(count, 'pack')}"


def judge_listing(replica: Replica, lacking: Lacking) -> FarshoreError | None:
    """Return what is wrong at a replica whose listing lacks these packs; None when it lacks none.

    Asks for a few of them by name, and for nothing where nothing is lacking.

    Returns:
        ListingShrunken: Some are there, so its listing is not to be believed now.
        ObjectsLost: They are gone, or have another size.
        Another error: It could not be asked.
    """
    if not lacking.packs:
        return None
    try:
        present, asked = probe(replica, lacking.packs)
    except FarshoreError as error:
        return error
    if present:
        return ListingShrunken(
            f"{replica.name} does not list {lacking.count_text} that its own snapshots need, and has {present} of the "
            f"{asked} that were asked for by name"
        )
    return ObjectsLost(
        f"{replica.name} lost {lacking.count_text} that its own snapshots need, or holds them cut short; "
        "'farshore heal' copies them back from another replica"
    )


def probe(replica: Replica, packs: Mapping[str, int]) -> tuple[int, int]:
    """Ask by name for up to `LISTING_PROBES` of these packs (id -> bytes), from all over; return (present, asked)."""
    ordered = sorted(packs)
    step = max(len(ordered) // LISTING_PROBES, 1)
    asked = ordered[::step][:LISTING_PROBES]
    present = 0
    for pack_id in asked:
        try:
            present += replica.store.head(names.pack(pack_id)).size == packs[pack_id]
        except ObjectNotFound:
            continue
    return present, len(asked)

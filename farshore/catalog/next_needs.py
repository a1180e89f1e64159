"""The needs of a new snapshot, as runs: those of the snapshot before, and one more for what they lack. Pure.

Runs that name more than the snapshot needs keep packs from being deleted, so that is bounded here; see
docs/reference/format.md, section 5.
"""

from __future__ import annotations

from collections.abc import Sequence

from farshore import limits
from farshore.catalog.merge_policy import runs_to_merge
from farshore.format.commit import RunRef
from farshore.format.needs import NeededPack, Needs, encode_needs, join_needs
from farshore.model import dataclass


@dataclass(frozen=True, slots=True)
class NeedsRun:
    """One run of the needs of an earlier snapshot."""

    ref: RunRef
    needs: Needs


@dataclass(frozen=True, slots=True)
class NextNeeds:
    """The runs that stay, and the bytes of the new one, empty where there is none. `all`: their union."""

    kept: tuple[RunRef, ...]
    body: bytes
    all: Needs


def plan_needs(exact: Needs, earlier: Sequence[NeedsRun]) -> NextNeeds:
    """Return the runs that together name all that is needed, and little else.

    Args:
        exact: All that the snapshot needs.
        earlier: The runs of the snapshot before, oldest first; none for one run of exactly what is needed.
    """
    lacking = lacking_needs(exact, join_needs(run.needs for run in earlier))
    body = b"" if lacking == Needs() else encode_needs(lacking)
    merged = runs_to_merge([run.ref.bytes for run in earlier], len(body), len(encode_needs(exact)))
    if not earlier or merged == len(earlier) or _is_loose(exact, earlier):
        return NextNeeds((), encode_needs(exact), exact)
    kept, gone = earlier[: len(earlier) - merged], earlier[len(earlier) - merged :]
    new = lacking
    if gone:
        new = _within(exact, join_needs([*(run.needs for run in gone), lacking]))
        body = encode_needs(new)
    together = join_needs([*(run.needs for run in kept), new])
    return NextNeeds(tuple(run.ref for run in kept), body, together)


def lacking_needs(exact: Needs, have: Needs) -> Needs:
    """Return what is needed and not in `have`; a pack of which a segment is not in it, with all that are needed."""
    packs = {pack.pack_id: pack for pack in have.packs}
    return Needs(
        tuple(pack for pack in exact.packs if not _covered(pack, packs.get(pack.pack_id))),
        tuple(sorted(set(exact.data_keys) - set(have.data_keys))),
        tuple(sorted(set(exact.fragments) - set(have.fragments))),
    )


def superfluous_bytes(exact: Needs, earlier: Sequence[NeedsRun]) -> int:
    """Return about the bytes that the runs name and the snapshot does not use."""
    return join_needs([exact, *(run.needs for run in earlier)]).used_bytes - exact.used_bytes


def _is_loose(exact: Needs, earlier: Sequence[NeedsRun]) -> bool:
    return superfluous_bytes(exact, earlier) > limits.NEEDS_SUPERFLUOUS_MAX * exact.used_bytes


def _within(exact: Needs, named: Needs) -> Needs:
    """Return those of the objects needed that are named, as they are needed."""
    packs = {pack.pack_id for pack in named.packs}
    return Needs(
        tuple(pack for pack in exact.packs if pack.pack_id in packs),
        tuple(sorted(set(exact.data_keys) & set(named.data_keys))),
        tuple(sorted(set(exact.fragments) & set(named.fragments))),
    )


def _covered(pack: NeededPack, by: NeededPack | None) -> bool:
    return by is not None and by.bytes == pack.bytes and by.covers(pack)

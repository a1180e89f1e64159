"""The kind of an object by its name. Pure."""

from __future__ import annotations

from collections.abc import Callable

from farshore.audit import names as audit_names
from farshore.format import names
from farshore.format.object_kinds import Kind


def _parse_forgotten(name: str) -> object:
    return names.parse_tombstone(name) or names.parse_tombstone_set(name)


_KINDS: dict[str, tuple[Kind, Callable[[str], object]]] = {
    "packs": (Kind.PACK, names.parse_pack),
    "index": (Kind.FRAGMENT, names.parse_fragment),
    "snapshots": (Kind.COMMIT, names.parse_commit),
    "runs": (Kind.RUN, names.parse_run),
    "forgotten": (Kind.TOMBSTONE, _parse_forgotten),
    "unforgotten": (Kind.TOMBSTONE, names.parse_tombstone),
    "verdicts": (Kind.VERDICT, names.parse_verdict),
    "notes": (Kind.NOTE, names.parse_note),
    "approvals": (Kind.APPROVAL, names.parse_approval),
}
_KEY_KINDS: tuple[tuple[Kind, Callable[[str], object]], ...] = (
    (Kind.DATA_KEY, names.parse_data_key),
    (Kind.SLOT, names.parse_slot),
    (Kind.LOG, names.parse_log_entry),
    (Kind.ACCEPTED, names.parse_accepted),
)
IGNORED = (names.LEASES, "probe/")  # of one replica alone: writers at work there, and what a probe could not remove


def kind_of(name: str) -> Kind | None:
    """Return the kind, or None for an object that is foreign or ignored."""
    folder = name.partition("/")[0]
    if folder in _KINDS:
        kind, parse = _KINDS[folder]
        return kind if parse(name) else None
    match folder:
        case "audit":
            is_seal = audit_names.parse_seal(name) is not None
            return Kind.SEAL if is_seal else Kind.AUDIT_FILE if audit_names.is_file(name) else None
        case "keys":
            return next((kind for kind, parse in _KEY_KINDS if parse(name)), None)
        case _:
            return Kind.HEADER if name == names.HEADER else None


def is_reserved(name: str) -> bool:
    """Return whether an object has a name by which something is decided; heal leaves it where it is if it is void."""
    decides = (names.PLANS, names.FORGOTTEN, names.UNFORGOTTEN, names.VERDICTS, names.NOTES, names.APPROVALS)
    return name.startswith((*decides, *names.LATER))


def is_ignored(name: str) -> bool:
    """Return whether heal ignores an object: it is of one replica alone. So is a Delta log, which is made there."""
    return name.startswith(IGNORED) or audit_names.parse_delta(name) is not None

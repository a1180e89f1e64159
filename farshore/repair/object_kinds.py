"""The kind of an object by its name. Pure."""

from __future__ import annotations

from collections.abc import Callable

from farshore.audit import names as audit_names
from farshore.format import names
from farshore.format.object_kinds import Kind

_KEY_KINDS: tuple[tuple[Kind, Callable[[str], object]], ...] = (
    (Kind.DATA_KEY, names.parse_data_key),
    (Kind.SLOT, names.parse_slot),
    (Kind.LOG, names.parse_log_entry),
    (Kind.ACCEPTED, names.parse_accepted),
)
IGNORED = (names.LEASES, "probe/")  # of one replica alone: writers at work there, and what a probe could not remove


def kind_of(name: str) -> Kind | None:
    """Return the kind, or None for an object that is foreign or ignored."""
    match name.partition("/")[0]:
        case "packs":
            return Kind.PACK if names.parse_pack(name) else None
        case "snapshots":
            return Kind.COMMIT if names.parse_commit(name) else None
        case "forgotten" | "unforgotten":
            return Kind.TOMBSTONE if names.parse_tombstone(name) else None
        case "runs":
            return Kind.RUN if names.parse_run(name) else None
        case "audit":
            is_seal = audit_names.parse_seal(name) is not None
            return Kind.SEAL if is_seal else Kind.AUDIT_FILE if audit_names.is_file(name) else None
        case "index":
            return Kind.FRAGMENT if names.parse_fragment(name) else None
        case "keys":
            return next((kind for kind, parse in _KEY_KINDS if parse(name)), None)
        case _:
            return Kind.HEADER if name == names.HEADER else None


def is_reserved(name: str) -> bool:
    """Return whether an object has a name by which replicas decide on deletion, which heal leaves where it is."""
    return name.startswith((names.PLANS, names.FORGOTTEN, names.UNFORGOTTEN, *names.LATER))


def is_ignored(name: str) -> bool:
    """Return whether heal ignores an object."""
    return name.startswith(IGNORED)

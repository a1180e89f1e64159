"""Remarks about a cluster that every backup repeats, though nothing is wrong with the snapshot. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from farshore.model import DATA_AS_OF, UNKNOWN_MOMENT


def plan_notes(facts: Mapping[str, str]) -> list[str]:
    """Return sentences about the facts of a snapshot that matter for its restore."""
    notes = []
    as_of = facts.get(DATA_AS_OF)
    if as_of == UNKNOWN_MOMENT:
        notes.append("taken from a standby whose data is of unknown age: this role may not read it")
    elif as_of:
        notes.append(f"taken from a standby, whose data is of {as_of} or later")
    if outside := facts.get("config_files_outside"):
        notes.append(f"configuration outside the data directory: {outside}; docs/sources/postgres.md says what is kept")
    if facts.get("data_checksums") == "off":
        notes.append(
            "data checksums are off, so a byte that flips on the server's disk is backed up as it is; pg_checksums "
            "--enable turns them on"
        )
    return notes

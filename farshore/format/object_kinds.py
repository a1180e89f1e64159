"""The kinds of objects in a repository. Pure; docs/reference/format.md, the table at its head."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """The kinds of objects, in the order in which a replica gets them: each one after all that it names."""

    PACK = "pack"
    FRAGMENT = "index"
    DATA_KEY = "data-key"
    ACCEPTED = "accepted"  # of a revocation in the owner log
    LOG = "log"
    SLOT = "slot"
    HEADER = "header"
    NOTE = "note"  # what keeps a snapshot, before what forgets one
    APPROVAL = "approval"  # of what was asked for, or a request for it
    TOMBSTONE = "tombstone"  # or what takes one back: a forgotten snapshot is nowhere listed after it is known
    VERDICT = "verdict"  # on packs: proved, or lying
    RUN = "run"  # manifest, pages or needs of a snapshot
    COMMIT = "commit"
    AUDIT_FILE = "audit-file"
    SEAL = "audit-seal"

"""How many bytes an object may have, by its name alone. Pure; docs/reference/format.md, section 8.

A read of a whole object gives its store this limit, so that no replica can fill the memory of a reader. Names of
no known form have the smallest limit: nothing reads them but what looks for foreign objects.
"""

from __future__ import annotations

import re

from farshore import limits
from farshore.limits import GIB, KIB, MIB

_FOREIGN_BYTES_MAX = 64 * KIB

# The first form that a name matches decides. Objects of snapshots that are larger are read by ranges.
OBJECT_BYTES_MAX: tuple[tuple[str, re.Pattern[str], int], ...] = tuple(
    (kind, re.compile(form), size)
    for kind, form, size in (
        ("header", r"farshore\.json", 64 * KIB),
        ("slot", r"keys/slots/.+", 64 * KIB),
        ("owner log", r"keys/log/.+", MIB),
        ("data key", r"keys/data/.+", 4 * KIB),
        ("pack", r"packs/.+", limits.PACK_BYTES_MAX),
        ("fragment", r"index/.+", 64 * MIB),
        ("commit", r"snapshots/.+/commit", MIB),
        ("manifest, pages, needs", r"snapshots/.+", 2 * GIB),
        ("end of a lease", r"leases/.+/end(/.+)?", MIB),
        ("beat of a lease", r"leases/.+", 64 * KIB),
        ("audit seal", r"audit/_seals/.+", 16 * MIB),
        ("audit file", r"audit/.+", limits.AUDIT_FILE_BYTES_MAX),
    )
)


def object_bytes_max(name: str) -> int:
    """Return how many bytes an object of this name has at most."""
    return next((size for _, form, size in OBJECT_BYTES_MAX if form.fullmatch(name)), _FOREIGN_BYTES_MAX)

"""Claims: objects that a certified signer names, that no replica has, and that nothing needs.

No snapshot lacks anything by them, and no copy mends them: a certified thief makes one with a few bytes. So they are
shown with their signer and are no damage, or one thief kept every check of a healthy repository red.
"""

from __future__ import annotations

from collections.abc import Sequence

from farshore.ops.verify.findings import ReplicaCheck

CLAIMED = "claimed"  # a reason for which an object is refused


def settle_claims(checks: Sequence[ReplicaCheck]) -> None:
    """Call what was only claimed missing where another replica has it, and a claim where none has."""
    listed = {name for check in checks for name in check.sizes}
    for check in checks:
        for name, (state, detail) in check.claims.items():
            if name in check.damaged:
                continue  # something needs it
            if name in listed:
                check.blame(name, state, detail)
            else:
                check.note_refused({name: CLAIMED})
                check.details[name] = detail
        for name in check.claimed_evidence & check.damaged.keys():
            if name not in listed or name in check.sizes:  # nowhere, or here and not to be mended by any copy
                check.note_refused({name: CLAIMED})
                check.details[name] = check.damaged.pop(name).detail

"""Replicas that could not be asked: one error for all of them, each named with its own reason. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from farshore.errors import FarshoreError, RepositoryMissing, StoreUnavailable

_HINT = (
    "Each replica has a reason of its own; docs/reference/errors.md explains the codes. "
    "Retry what may pass, mend the rest."
)


def unasked_error(failed: Mapping[str, FarshoreError]) -> FarshoreError:
    """Return the error of an operation for which no replica could be asked.

    Of one replica it is the replica's own error. Of several it has the kind of the first, where a missing repository
    counts only when every replica says so.
    """
    if not failed:
        return StoreUnavailable("no replica is configured")
    if len(failed) == 1:
        return next(iter(failed.values()))
    first = next((one for one in failed.values() if not isinstance(one, RepositoryMissing)), None)
    kind = type(first or next(iter(failed.values())))
    hints = {error.hint for error in failed.values()}
    reasons = "".join(f"\n  {name}: {error.code}: {error.message}" for name, error in failed.items())
    message = f"none of {len(failed)} replicas could be asked{reasons}"
    joined = kind(message, hints.pop() if len(hints) == 1 else _HINT)
    joined.replicas = dict(failed)
    return joined

"""The recipients of data keys by the owner log, and runs that were sealed to another one. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from farshore import limits
from farshore.trust import Recipient

_SKEW = timedelta(seconds=limits.CLOCK_SKEW_S_MAX)


def sealed_to_wrong(recipients: Iterable[Recipient], chosen: str, *, log_number: int, started_utc: datetime) -> str:
    """Return why a run should not have been sealed to a recipient; empty where it is in order.

    A run of before the rotation stays as it is. One whose maker knew the rotation, or that began after it, was sealed
    to a retired recipient: its host was shown an old log, or somebody else made it.

    Args:
        chosen: The id of the recipient.
        log_number: The number of the newest entry of the log that its maker knew.
        started_utc: When the run began.
    """
    known = list(recipients)
    places = [at for at, one in enumerate(known) if one.id == chosen]
    if not places:
        return "it is sealed to a recipient that the owner log never had"
    if places[-1] == len(known) - 1:
        return ""
    successor = known[places[-1] + 1]
    if log_number >= successor.entry.number or started_utc > successor.made_utc + _SKEW:
        since = f"{successor.made_utc:%Y-%m-%d %H:%M} UTC"
        return f"it is sealed to a recipient that entry {successor.entry.number} of the owner log retired, {since}"
    return ""

"""Store calls that only the probe makes.

Deliberately invalid puts, abandoned uploads, unconditional overwrites, permanent deletes.

Nothing here is part of the contract of stores, and no backup, restore or verify uses it. A bare store has
`probe_capability()`, a wrapper has not, so a probe works on bare stores. Errors are those of the contract.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable

from farshore.model import dataclass
from farshore.stores.base import PutOutcome


class Effect(StrEnum):
    """The effect of a rule on objects."""

    DELETES = "deletes"  # or hides, where the bucket keeps versions
    DELETES_HIDDEN = "deletes-hidden"  # versions that were deleted or overwritten before
    ARCHIVES = "archives"  # to a class that must be warmed before it is read
    MOVES = "moves"  # to another class that is read at once


@dataclass(frozen=True, slots=True)
class LifecycleRule:
    """One effect of one rule. `when` in words; `rule` is its name, or its place in the list where it has none."""

    rule: str
    effect: Effect
    when: str
    storage_class: str = ""


def overlaps(rule_prefix: str, prefix: str) -> bool:
    """Return whether a rule for one prefix concerns objects below another."""
    return rule_prefix.startswith(prefix) or prefix.startswith(rule_prefix)


class Setting(StrEnum):
    """Whether something is switched on at the bucket or container."""

    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"  # the credential may not look, or the service does not say


@dataclass(frozen=True, slots=True)
class BucketSettings:
    """The settings of the bucket or container, as far as they can be read.

    `lock`: whether objects can be locked one by one. `retention`: the default retention of every object, in words,
    or empty. `testable`: whether `put_locked` works here. `lifecycle`: rules that concern the prefix and do more
    than end unfinished uploads; None where they cannot be read.
    """

    versioning: Setting = Setting.UNKNOWN
    lock: Setting = Setting.UNKNOWN
    retention: str = ""
    testable: bool = False
    lifecycle: tuple[LifecycleRule, ...] | None = None


class Upload(Protocol):
    """An object on its way in parts."""

    def send(self, piece: bytes) -> None:
        """Send the next part; all but the last have at least `part_bytes_min`."""
        ...

    def finish(self) -> PutOutcome:
        """Make the object of its parts, on the condition that its name is free.

        Raises:
            StoreConflict: The name exists.
        """
        ...

    def abandon(self) -> None:
        """Give the upload up. Does nothing where the service forgets such uploads by itself."""
        ...


class ProbeCapability(Protocol):
    """The calls of one store that only a probe makes."""

    part_bytes_min: int  # of every part but the last

    def put_mislabeled(self, name: str, body: bytes) -> None:
        """Put a new object with the checksum of other bytes. Returns only if the service accepted it.

        Raises:
            FarshoreError: The service refused it, which is right.
        """
        ...

    def replace(self, name: str, body: bytes) -> None:
        """Put without a condition, over what is there.

        Raises:
            StoreDenied: The credential or a lock does not allow it.
        """
        ...

    def begin_upload(self, name: str) -> Upload:
        """Begin an object in parts."""
        ...

    def uploads_begun(self, prefix: str) -> int | None:
        """Return how many uploads below a prefix were begun and not ended; None where the service does not say."""
        ...

    def settings(self) -> BucketSettings:
        """Return the settings of the bucket or container. A setting that cannot be read is no error."""
        ...

    def put_locked(self, name: str, body: bytes, until_utc: datetime) -> None:
        """Put a new object locked until a moment, in the mode that an administrator can lift (governance)."""
        ...

    def relock(self, name: str, until_utc: datetime) -> None:
        """Set the end of a lock anew, also an earlier one, as a writer could ask it. Where `put_locked` works.

        Raises:
            LockDenied: The service refuses to shorten, which is right.
        """
        ...

    def erase(self, name: str, *, bypass: bool = False) -> None:
        """Remove every version of an object for good; do nothing if there is none.

        Args:
            bypass: Ask for what a credential that may lift locks can ask for.
        Raises:
            StoreDenied: The credential or a lock does not allow it.
        """
        ...


@runtime_checkable
class HasProbeCapability(Protocol):
    """A store that a probe can make such calls of."""

    def probe_capability(self) -> ProbeCapability:
        """Return the calls that only a probe makes; they use the connections of this store."""
        ...

"""Whether a bucket is set up for what the configuration asks of it: locks that hold, and no rule that deletes objects.

Looked at once, when a repository is made, and by `farshore replica probe` whenever somebody asks. No backup looks: it
would need rights over the bucket, and asking every night for what an administrator changes once a year proves little.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from farshore.access.open_replica import open_bare_store
from farshore.clock import Clock
from farshore.config import Config, ReplicaConfig
from farshore.errors import FarshoreError, LifecycleDeletes, LockUnsupported
from farshore.model import dataclass
from farshore.stores.base import Capabilities
from farshore.stores.object_retention import LockMode
from farshore.stores.probe_capability import BucketSettings, Effect, HasProbeCapability, Setting


class BucketCheck(StrEnum):
    """The settings of a bucket that are judged."""

    LOCK = "lock"
    LIFECYCLE = "lifecycle"


@dataclass(frozen=True, slots=True)
class BucketFinding:
    """One thing to know of a bucket. With `refusal` no repository may be made in it; `hint` makes it a warning."""

    check: BucketCheck
    said: str
    hint: str = ""
    refusal: FarshoreError | None = None


def check_bucket(config: Config, replica: ReplicaConfig, clock: Clock) -> list[BucketFinding]:
    """Ask a replica's bucket how it is set up, and judge it. Sends a few requests; changes nothing."""
    store = open_bare_store(config, replica, clock)
    try:
        settings = store.probe_capability().settings() if isinstance(store, HasProbeCapability) else BucketSettings()
        return list(judge_bucket(replica.name, replica.lock, store.capabilities, settings))
    finally:
        store.close()


def judge_bucket(
    replica: str, lock: LockMode | None, capabilities: Capabilities, settings: BucketSettings
) -> Iterator[BucketFinding]:
    """Yield what a person should know of a bucket. Pure.

    Args:
        lock: The mode that the configuration asks for, if any.
    """
    if lock:
        yield from _judge_lock(replica, lock, capabilities, settings)
    if settings.lifecycle is None and capabilities.kind in ("s3", "gcs", "azure"):
        yield BucketFinding(BucketCheck.LIFECYCLE, _UNREADABLE[capabilities.kind])
    for rule in settings.lifecycle or ():
        said = f"the lifecycle rule {rule.rule} {_DOES[rule.effect]} {rule.when}"
        match rule.effect:
            case Effect.DELETES:
                refusal = LifecycleDeletes(f"{replica}: {said}: snapshots there would be lost")
                yield BucketFinding(BucketCheck.LIFECYCLE, said, LifecycleDeletes.default_hint, refusal)
            case Effect.DELETES_HIDDEN:
                hint = "A thief's deletes can be undone only until then, unless the objects are locked."
                yield BucketFinding(BucketCheck.LIFECYCLE, said, hint)
            case Effect.ARCHIVES:
                hint = "A restore from there waits: hours for GLACIER, up to two days for DEEP_ARCHIVE (farshore warm)."
                yield BucketFinding(BucketCheck.LIFECYCLE, f"{said}, to {rule.storage_class}, small objects too", hint)
            case Effect.MOVES:
                yield BucketFinding(BucketCheck.LIFECYCLE, f"{said}, to {rule.storage_class}, which is read at once")


_DOES = {
    Effect.DELETES: "deletes objects of this replica",
    Effect.DELETES_HIDDEN: "ends what was deleted or overwritten here",
    Effect.ARCHIVES: "archives objects of this replica",
    Effect.MOVES: "moves objects of this replica",
}
_UNREADABLE = {
    "s3": "this credential may not read the bucket's lifecycle rules (s3:GetLifecycleConfiguration): look yourself "
    "that none expires these objects",
    "gcs": "this credential may not read the bucket's lifecycle rules (storage.buckets.get): look yourself that none "
    "deletes these objects",
    "azure": "lifecycle rules of Azure belong to the account and cannot be read by a login for blobs: look yourself "
    "that none deletes these blobs",
}


def _judge_lock(
    replica: str, lock: LockMode, capabilities: Capabilities, settings: BucketSettings
) -> Iterator[BucketFinding]:
    if lock not in capabilities.lock_modes:
        said = f"a {capabilities.kind} cannot lock objects"
        yield BucketFinding(BucketCheck.LOCK, said, refusal=LockUnsupported(f"{replica}: {said}"))
    elif settings.lock is Setting.OFF:
        said = "objects cannot be locked in this bucket"
        if settings.versioning is Setting.OFF:
            said += ", which does not even keep versions"
        yield BucketFinding(BucketCheck.LOCK, said, LockUnsupported.default_hint, LockUnsupported(f"{replica}: {said}"))
    elif settings.lock is Setting.UNKNOWN and capabilities.kind != "memory":
        said = "this credential may not read whether objects can be locked here; the first object will show it"
        yield BucketFinding(BucketCheck.LOCK, said)

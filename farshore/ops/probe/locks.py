"""Versions and locks: settings of the bucket, and whether a lock holds where one can be tried."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from farshore.access.bucket_checks import BucketCheck, judge_bucket
from farshore.errors import STORE_ERRORS, Denied, FarshoreError, StoreConflict
from farshore.ops.probe.prefix import ProbePrefix
from farshore.ops.probe.verdicts import Finding, Verdict
from farshore.stores.probe_capability import ProbeCapability, Setting

LOCK_S = 4.0  # long enough for a few requests over a slow line, short enough to wait for
_SLACK_S = 2.0  # a service may compare whole seconds


def versions_and_locks(scope: ProbePrefix) -> Iterator[Finding]:
    """Read what is configured; where objects can be locked one by one, lock two for seconds and try to remove them."""
    if scope.capability is None:
        yield Finding("lock", Verdict.NOTE, f"a {scope.store.capabilities.kind} has no locks")
        return
    settings = scope.settings
    said = {
        Setting.ON: "earlier versions are kept",
        Setting.OFF: "not enabled",
        Setting.UNKNOWN: "the service does not say, or this credential may not look",
    }
    yield Finding("versions", Verdict.NOTE, said[settings.versioning])
    if settings.retention:
        yield Finding("retention", Verdict.OK, f"every object is held by {settings.retention}")
    if settings.lock is Setting.OFF:
        yield Finding("lock", Verdict.NOTE, "not enabled")
    elif settings.lock is Setting.UNKNOWN:
        yield Finding("lock", Verdict.NOTE, said[Setting.UNKNOWN])
    elif not settings.testable:
        yield Finding("lock", Verdict.NOTE, "enabled; locks of single objects are not tried on this kind of store")
    else:
        yield from _tried(scope, scope.capability)


def place(scope: ProbePrefix) -> Iterator[Finding]:
    """Judge how the bucket is set up for what the configuration asks of it: see `farshore.access.bucket_checks`."""
    marks = list(judge_bucket(scope.replica, scope.lock, scope.store.capabilities, scope.settings))
    for mark in marks:
        verdict = Verdict.FAILED if mark.refusal else Verdict.WARNING if mark.hint else Verdict.NOTE
        yield Finding("lock-asked" if mark.check is BucketCheck.LOCK else mark.check, verdict, mark.said, mark.hint)
    if not any(mark.check is BucketCheck.LIFECYCLE for mark in marks):
        yield Finding("lifecycle", Verdict.OK, "no rule concerns these objects")


def _tried(scope: ProbePrefix, capability: ProbeCapability) -> Iterator[Finding]:
    """Lock two objects; remove one as a writer would, the other as one who may lift locks would."""
    until_utc = scope.store.now_utc() + timedelta(seconds=LOCK_S)
    plain, lifted = scope.name("locked"), scope.name("locked-lifted")
    try:
        capability.put_locked(plain, b"locked", until_utc)
        capability.put_locked(lifted, b"locked", until_utc)
    except (Denied, StoreConflict) as error:
        hint = "Allow the writer s3:PutObjectRetention, or rely on the bucket's default retention."
        yield Finding("lock", Verdict.NOTE, f"enabled; this credential may not lock objects: {error.message}", hint)
        return
    yield _shortened(capability, plain, until_utc)
    if _erased(capability, plain, bypass=False):
        if scope.store.now_utc() >= until_utc:
            yield Finding("lock", Verdict.SKIPPED, f"the service took longer than the lock of {LOCK_S:.0f} s")
            return
        hint = "The service acknowledged a lock and does not keep it: do not count this replica as immutable."
        yield Finding("lock", Verdict.FAILED, "a locked object was removed before its time", hint)
        return
    if _erased(capability, lifted, bypass=True):
        hint = "Remove s3:BypassGovernanceRetention from this credential, or use compliance mode."
        yield Finding("lock-bypass", Verdict.WARNING, "too wide: this credential may lift locks (governance)", hint)
    else:
        yield Finding("lock-bypass", Verdict.OK, "this credential cannot lift a lock")
    wait_s = (until_utc - scope.store.now_utc()).total_seconds() + _SLACK_S
    scope.clock.wait_s(max(wait_s, 0.0))
    freed = _erased(capability, plain, bypass=False)
    said = f"held for its {LOCK_S:.0f} s" + (" and free afterwards" if freed else "; this credential may not delete")
    yield Finding("lock", Verdict.OK, said)


def _shortened(capability: ProbeCapability, name: str, until_utc: datetime) -> Finding:
    """Try to shorten a lock: that a service refuses it is what keeps locks, because no extension looks first."""
    try:
        capability.relock(name, until_utc - timedelta(seconds=LOCK_S / 2))
    except Denied:
        return Finding("lock-shorten", Verdict.OK, "a lock cannot be shortened by this credential")
    except FarshoreError as error:
        return Finding("lock-shorten", Verdict.SKIPPED, f"{error.code}: {error.message}")
    hint = "Any two writers may shorten each other's locks there: do not count this replica as immutable."
    return Finding("lock-shorten", Verdict.FAILED, "a lock was shortened without the right to lift one", hint)


def _erased(capability: ProbeCapability, name: str, *, bypass: bool) -> bool:
    try:
        capability.erase(name, bypass=bypass)
    except STORE_ERRORS:
        return False
    return True

"""`farshore replica probe`: try one replica in a private prefix, and say what holds. docs/stores/probe.md."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from farshore.clock import Clock
from farshore.config import Config
from farshore.errors import FarshoreError, StoreDenied
from farshore.format import names
from farshore.limits import PROBE_TIDY_S
from farshore.ops.probe import listings, locks, objects, parts, race, speeds
from farshore.ops.probe.permissions import may_write, permissions
from farshore.ops.probe.prefix import LEFT_NAMED_MAX, Connect, ProbePrefix
from farshore.ops.probe.verdicts import Figure, Finding, ProbeResult, Role, Verdict
from farshore.replicas.repository import no_such_replica
from farshore.results import Progress, ProgressCallback, no_progress
from farshore.stores import open_store
from farshore.stores.base import Store
from farshore.stores.object_retention import LockMode

PERMISSIONS = "permissions"
CLOCK = "clock"
SPEED = "speed"
Check = Callable[[ProbePrefix], Iterator[Finding]]

# In the order they are made; one may report several findings.
CHECKS: Mapping[str, Check] = {
    CLOCK: speeds.clock_skew,
    "conditional-put": race.conditional_put,
    "overwrite-refusal": objects.overwrite_refusal,
    "read-after-write": objects.read_after_write,
    "objects": objects.small_objects,
    "ranges": objects.ranges,
    "listing": listings.completeness,
    "listing-prefixes": listings.prefixes,
    "listing-order": listings.order,
    "checksums": objects.checksums,
    "multipart": parts.parts,
    "conditional-parts": race.conditional_parts,
    "large-object": objects.large_object,
    "delete": objects.deletes,
    "locks": locks.versions_and_locks,
    "place": locks.place,
}
CHOICES = (PERMISSIONS, *CHECKS, SPEED)  # for tests: the command line has the list without loading checks


def probe_replica(
    config: Config,
    replica: str,
    *,
    role: Role = Role.WRITER,
    only: Collection[str] = (),
    keep: bool = False,
    progress: ProgressCallback = no_progress,
    clock: Clock,
) -> ProbeResult:
    """Try a configured replica. Needs no key and no repository; changes nothing outside `probe/<id>/` below it.

    Raises:
        ConfigInvalid, SecretUnavailable: Its URL or credentials cannot be used.
        StoreUnavailable, BucketNotFound: It cannot be reached, or is not there.
    """
    if replica not in config.replicas:
        raise no_such_replica(replica, config.replicas)
    chosen = config.replicas[replica]
    opening: dict[str, Any] = {
        "url": chosen.url,
        "endpoint": chosen.endpoint,
        "region": chosen.region,
        "credentials": {key: config.reveal(secret) for key, secret in chosen.credentials.items()},
    }

    def connect(page_objects: int) -> Store:
        return open_store(**opening, page_objects=page_objects, clock=clock)

    second = None if chosen.url.startswith("memory:") else opening
    return probe_store(
        connect,
        second=second,
        replica=replica,
        lock=chosen.lock,
        role=role,
        only=only,
        keep=keep,
        progress=progress,
        clock=clock,
    )


def probe_store(
    connect: Connect,
    *,
    second: dict[str, Any] | None = None,
    replica: str = "",
    lock: LockMode | None = None,
    role: Role = Role.WRITER,
    only: Collection[str] = (),
    keep: bool = False,
    progress: ProgressCallback = no_progress,
    clock: Clock,
) -> ProbeResult:
    """Try the store that `connect` opens; see `probe_replica`.

    Args:
        connect: Opens a bare store with connections of its own; the argument is the objects in a page of a listing.
        lock: The mode in which the configuration has objects locked, if any.
        second: Keywords of `open_store` for writers in a second process; None where no other process can see the store.
    """
    started_utc = clock.now_utc()
    scope = ProbePrefix(
        connect=connect,
        prefix=f"probe/{clock.random_bytes(8).hex()}/",
        clock=clock,
        second=second,
        replica=replica,
        lock=lock,
    )
    findings: list[Finding] = []
    figures: tuple[Figure, ...] = ()
    left: tuple[str, ...] = ()
    try:
        with contextlib.suppress(StoreDenied):  # which the first check reports
            next(iter(scope.store.list(scope.prefix)), None)
        try:
            progress(Progress("probe", detail=PERMISSIONS))
            writes = _check_permissions(scope, role, findings)
            _run_checks(scope, only, findings, progress, writes=writes)
            if not only or SPEED in only:
                progress(Progress("probe", detail=SPEED))
                figures = _measure(scope, findings, writes=writes)
        except KeyboardInterrupt:
            if not keep:
                scope.tidy(PROBE_TIDY_S)
            raise
        except BaseException:
            if not keep:
                scope.clean()
            raise
        left = tuple(sorted(scope.names)) if keep else scope.clean()
        return ProbeResult(
            replica=replica,
            url=scope.store.url,
            kind=scope.store.capabilities.kind,
            role=role,
            prefix=scope.prefix,
            started_utc=started_utc,
            finished_utc=clock.now_utc(),
            findings=tuple(findings),
            figures=figures,
            objects_left=len(left),
            left=left[:LEFT_NAMED_MAX],
        )
    finally:
        scope.close()


def _measure(scope: ProbePrefix, findings: list[Finding], *, writes: bool) -> tuple[Figure, ...]:
    try:
        return speeds.figures(scope) if writes else speeds.read_latency(scope, names.HEADER)
    except FarshoreError as error:
        findings.append(Finding(SPEED, Verdict.FAILED, f"{error.code}: {error.message}", error.hint))
        return ()


def _check_permissions(scope: ProbePrefix, role: Role, findings: list[Finding]) -> bool:
    """Make the first check, which says what the others can do; return whether they can write."""
    found = list(permissions(scope, role))
    findings += found
    return may_write(found)


def _run_checks(
    scope: ProbePrefix, only: Collection[str], findings: list[Finding], progress: ProgressCallback, *, writes: bool
) -> None:
    for name, check in CHECKS.items():
        if only and name not in only:
            continue
        progress(Progress("probe", detail=name))
        if not writes and name != CLOCK:
            findings.append(Finding(name, Verdict.SKIPPED, "needs to write, read and list"))
            continue
        try:
            findings.extend(check(scope))
        except FarshoreError as error:
            findings.append(Finding(name, Verdict.FAILED, f"{error.code}: {error.message}", error.hint))

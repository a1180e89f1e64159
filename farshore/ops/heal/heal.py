"""Heal: bring replicas in sync by copying ciphertext, and mend damaged objects. docs/operate/heal.md.

State is what the replicas hold: a heal that was killed is run again, and one that finds nothing to do says so.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from farshore import limits
from farshore.audit.rows import RepairMethod
from farshore.catalog.finish_commits import FinishedCommits, finish_commits
from farshore.errors import FarshoreError, ReplicaEmpty
from farshore.format import names
from farshore.format.object_kinds import Kind
from farshore.host_resources import temporary_directory
from farshore.model import dataclass
from farshore.ops.heal.audit_rows import known_damage, record_heal
from farshore.ops.heal.context import HealContext
from farshore.ops.heal.good_copy import Transfer
from farshore.ops.heal.heal_lease import HealLease, leased
from farshore.ops.heal.plan import HealPlan, plan_heal
from farshore.ops.heal.sync_replica import CopyWithin, ReplicaSync
from farshore.repair.needed_objects import NeededObjects
from farshore.repair.object_checks import digest_in_name
from farshore.repair.object_kinds import is_reserved, kind_of
from farshore.repair.outcome import HealedReplica, HealedState, HealResult, Repair, shown_repairs
from farshore.repair.replica_listing import Listing, Union, list_replicas
from farshore.replicas.repository import Repository
from farshore.results import Found, ProgressCallback, RepairAction
from farshore.run import Run
from farshore.stores.token_bucket import TokenBucket

_PASSES_MAX = 3  # a commit that is finished late is spread by the next; another one after that is for the next heal


@dataclass(frozen=True, slots=True)
class HealOptions:
    """The options of a heal.

    `replica`: bring this one in sync, else all. `new`: replicas that are known to be empty, and may be filled.
    `bandwidth`: bytes per second through this host; 0 does not limit it. `read_data`: read every object at the
    replicas that are healed, and hash it.
    """

    replica: str | None = None
    new: Collection[str] = ()
    read_data: bool = False
    bandwidth: int = 0
    dry_run: bool = False


def heal_repository(
    context: HealContext,
    options: HealOptions,
    *,
    copy_within: CopyWithin = lambda *_: False,
    planned: Callable[[Collection[HealedReplica]], None] = lambda _: None,
    run: Run,
) -> HealResult:
    """Bring one replica in sync with the others, or all; write audit rows where a key can sign them.

    Repeatable, and safe to kill at any moment. Damage that cannot be mended is a result. Memory grows with what is
    missing, by about 500 bytes an object; for each replica that is healed at most `HEAL_THREADS` objects are in memory
    besides.

    Args:
        copy_within: Has a provider copy a pack by itself, where it can.
        planned: Called once, with the objects missing at each replica, before anything is copied.

    Raises:
        StoreUnavailable, StoreDenied: The replica that was asked for cannot be opened or listed.
        ReplicaEmpty: It is empty and was not said to be new.
    """
    repository = context.repository
    passes = [_pass(context, options, copy_within, planned, run)]
    while passes[-1].again and len(passes) < _PASSES_MAX:
        repository.lost.clear()  # a commit that was finished is not
        passes.append(_pass(context, options, copy_within, lambda _: None, run))
    healed, repairs = _joined(passes)
    result = HealResult(
        run_id=run.run_id,
        keyless=context.keyless,
        dry_run=options.dry_run,
        started_utc=run.started_utc,
        finished_utc=run.clock.now_utc(),
        replicas=_in_order(repository, healed),
        repairs=shown_repairs(repairs, limits.PROBLEMS_KEPT_MAX),
        repairs_total=len(repairs),
        snapshots=passes[-1].snapshots,
        lost=tuple(repository.lost.values()),
    )
    if not options.dry_run:
        record_heal(context, result, repairs, run)
    return replace(result, requests=repository.drain_requests())


@dataclass(frozen=True)
class _Pass:
    """The work under one lease. `again`: a commit was finished once its objects were there, and is not spread yet."""

    healed: list[HealedReplica]
    repairs: list[Repair]
    snapshots: int
    again: bool


def _pass(
    context: HealContext,
    options: HealOptions,
    copy_within: CopyWithin,
    planned: Callable[[Collection[HealedReplica]], None],
    run: Run,
) -> _Pass:
    """Look at all replicas, and bring those of the options in sync under one lease."""
    repository = context.repository
    targets = [options.replica] if options.replica else list(repository.configured)
    repairs: list[Repair] = []
    late = FinishedCommits()
    with ExitStack() as stack:
        lease = HealLease() if options.dry_run else stack.enter_context(leased(context, list(options.new), run))
        finished = FinishedCommits() if options.dry_run else finish_commits(repository)
        listings, failed = list_replicas(repository, context.replicas)
        failed.update({**lease.failed, **lease.refused(context, {} if options.dry_run else listings)})
        failed.update({n: e for n, e in repository.unreachable.items() if n not in context.replicas})
        failed.update(_empty(context, listings, options))
        if options.replica in failed:
            raise failed[options.replica]
        listings = {name: one for name, one in listings.items() if name not in failed}
        union = Union(listings)
        needed = NeededObjects(repository, union, {name: context.replicas[name] for name in listings})
        plan = plan_heal(
            listings, union, needed.expected(union), targets=[name for name in targets if name in listings],
            known_damage=known_damage(repository, context.missing_header), read_data=options.read_data,
        )  # fmt: skip
        planned(_planned_outcomes(plan))
        if options.dry_run:
            healed = _planned_outcomes(plan)
        else:
            work = _Work(context, union, needed, copy_within, lease, run.progress)
            with temporary_directory("farshore-heal-") as scratch:
                healed, repairs = work.apply(plan, TokenBucket(bytes_per_s=options.bandwidth, clock=run.clock), scratch)
            if finished.left and any(one.mended for one in repairs):
                late = finish_commits(repository)
    beside = [*_logged(repository, lease), *_finished(finished), *_finished(late)]
    put = Counter(one.replica for one in beside)
    healed = [replace(one, copied=one.copied + put[one.replica]) for one in healed]
    healed += [
        HealedReplica(n, HealedState.FAILED, error_code=failed[n].code, error=str(failed[n]))
        for n in targets
        if n in failed
    ]
    commits = sum(kind_of(name) is Kind.COMMIT for name in union.others)
    return _Pass(healed, [*_with_snapshots(needed, repairs), *beside], commits, bool(late.put))


def _joined(passes: Sequence[_Pass]) -> tuple[list[HealedReplica], list[Repair]]:
    """Return the state after the last pass, and all that was done in any."""
    *before, last = passes
    healed = []
    for one in last.healed:
        former = [each for done in before for each in done.healed if each.replica == one.replica]
        healed.append(
            replace(
                one,
                missing=one.missing + sum(each.missing for each in former),
                bytes_missing=one.bytes_missing + sum(each.bytes_missing for each in former),
                copied=one.copied + sum(each.copied for each in former),
                replaced=one.replaced + sum(each.replaced for each in former),
                snapshots_added=one.snapshots_added + sum(each.snapshots_added for each in former),
                bytes_copied=one.bytes_copied + sum(each.bytes_copied for each in former),
            )
        )
    return healed, [repair for done in before for repair in done.repairs if repair.mended] + last.repairs


@dataclass(frozen=True)
class _Work:
    """The state that the replicas of one heal share."""

    context: HealContext
    union: Union
    needed: NeededObjects
    copy_within: CopyWithin
    lease: HealLease
    progress: ProgressCallback

    def apply(self, plan: HealPlan, pace: TokenBucket, scratch: Path) -> tuple[list[HealedReplica], list[Repair]]:
        """Sync all replicas of the plan at once; then mend objects found damaged at one while copied to another."""
        lock = threading.Lock()
        discovered: dict[str, set[str]] = defaultdict(set)

        def damaged(replica: str, name: str) -> None:
            with lock:
                discovered[replica].add(name)

        transfer = Transfer(repository=self.context.repository, pace=pace, scratch=scratch, damaged=damaged)
        syncs = {name: self._sync_of(name, transfer) for name in plan.replicas}
        _at_once(syncs, lambda name: syncs[name].apply(plan.replicas[name]))
        found = {name: frozenset(names_of) for name, names_of in discovered.items()}
        _at_once([name for name in found if name in syncs], lambda name: syncs[name].mend_more(found[name]))
        repairs = [repair for one in syncs.values() for repair in one.repairs]
        repairs += _untouched(plan, found)
        repairs += [
            Repair(
                name, commit, Found.MISSING, RepairAction.LEFT, detail="misdated: not copied, or it would look sound"
            )
            for name in plan.replicas
            for commit in self.needed.lacking(self.union, name)
        ]
        for one in plan.replicas.values():
            repairs += [_foreign(one.replica, name) for name in one.foreign]
        return [one.outcome(plan.replicas[name]) for name, one in syncs.items()], repairs

    def _sync_of(self, name: str, transfer: Transfer) -> ReplicaSync:
        replicas = self.context.replicas
        return ReplicaSync(
            replica=replicas[name],
            sources=[replicas[other] for other in self.context.order[name] if other in self.union.replicas],
            union=self.union,
            needed=self.needed,
            transfer=transfer,
            copy_within=self.copy_within,
            lease=self.lease,
            progress=self.progress,
        )


def _untouched(plan: HealPlan, found: Mapping[str, Collection[str]]) -> Iterator[Repair]:
    """Damage at replicas that were only copied from."""
    for replica, damaged in found.items():
        if replica not in plan.replicas:
            detail = "found while it was copied from; heal this replica as well"
            yield from (
                Repair(replica, name, Found.ALTERED, RepairAction.LEFT, detail=detail) for name in sorted(damaged)
            )


def _foreign(replica: str, name: str) -> Repair:
    detail = "reserved for a later version, or signed by nobody who may" if is_reserved(name) else ""
    return Repair(replica, name, Found.FOREIGN, RepairAction.LEFT, detail=detail)


def _logged(repository: Repository, lease: HealLease) -> Iterator[Repair]:
    """Entries of the owner log that replicas lacked: they are put before anything is signed there."""
    objects = repository.log.objects if repository.log is not None else {}
    for replica, logged in lease.logged.items():
        for name in logged:
            yield Repair(
                replica, name, Found.MISSING, RepairAction.COPIED, method=RepairMethod.PUT, bytes=len(objects[name]),
                blake3=digest_in_name(name),
            )  # fmt: skip


def _finished(finished: FinishedCommits) -> Iterator[Repair]:
    """Commits that were put because a lease had decided them and its writer had died."""
    for replica, name in finished.put:
        yield Repair(
            replica, name.name, Found.MISSING, RepairAction.COPIED, source=replica, method=RepairMethod.PUT,
            blake3=name.hash, snapshots=(name.snapshot_id,), detail="finished: the end of its lease holds it",
        )  # fmt: skip


def _in_order(repository: Repository, healed: Iterable[HealedReplica]) -> tuple[HealedReplica, ...]:
    """Return the outcomes in the order of the configuration; none is in sync while a snapshot is gone from all."""
    by_name = {one.replica: one for one in healed}
    found = [by_name[name] for name in repository.configured if name in by_name]
    if not repository.lost:
        return tuple(found)
    return tuple(replace(one, state=HealedState.BEHIND) if one.state is HealedState.IN_SYNC else one for one in found)


def _empty(context: HealContext, listings: Mapping[str, Listing], options: HealOptions) -> dict[str, FarshoreError]:
    """Return an error for each replica that lists nothing although it should, and was not said to be new."""
    found: dict[str, FarshoreError] = {}
    for name, listing in listings.items():
        expects = name in context.missing_header or any(one.holds_data for one in listings.values())
        if listing.holds_data or not expects or name in options.new:
            continue
        found[name] = ReplicaEmpty(f"{name} ({context.replicas[name].url}) lists nothing of this repository")
    return found


def _planned_outcomes(plan: HealPlan) -> list[HealedReplica]:
    return [
        HealedReplica(
            replica=one.replica, state=HealedState.BEHIND if one.missing else HealedState.IN_SYNC, missing=one.missing,
            bytes_missing=one.bytes_missing, foreign=one.foreign_total,
        )
        for one in plan.replicas.values()
    ]  # fmt: skip


def _with_snapshots(needed: NeededObjects, repairs: list[Repair]) -> list[Repair]:
    """Name the snapshots that damage touches; of objects that were merely missing the tables say so already."""
    damaged = {one.object for one in repairs if one.found in (Found.TRUNCATED, Found.ALTERED) or one.open}
    touched = needed.touched(damaged) if damaged else {}
    return [
        replace(one, snapshots=touched.get(one.object) or _own_snapshot(one.object)) if one.object in damaged else one
        for one in repairs
    ]


def _own_snapshot(name: str) -> tuple[str, ...]:
    parsed = names.parse_commit(name)
    return (parsed.snapshot_id,) if parsed else ()


def _at_once(items: Iterable[str], call: Callable[[str], None]) -> None:
    """Work on replicas at the same time, and end when all have ended, without a limit.

    No question for `ask_all`: a replica is given gigabytes, perhaps at a bandwidth that keeps it quiet for minutes, and
    work that was given up would go on beside the report of it. The time-outs of each request bound the silence.
    """
    chosen = list(items)
    with ThreadPoolExecutor(max(len(chosen), 1), thread_name_prefix="heal") as pool:
        list(pool.map(call, chosen))

"""Prune one replica, from its own objects alone, while writers write: the protocol of decision 0048, P0 to P8.

docs/operate/prune.md describes it; tests/models/prune explores it. A crash after any step leaves every snapshot whole,
and the next prune finishes the plan that is open.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from farshore import limits
from farshore.errors import ApprovalMissing, FarshoreError, PruneRefused
from farshore.format import names
from farshore.format.footers import PACK_ID_DTYPE
from farshore.format.plan import PlanPart, PlanState
from farshore.ops.prune.fragments import FragmentPlan, plan_fragments, supersede, supersede_locked
from farshore.ops.prune.garbage import NO_PRICES, Garbage, find_garbage, keep_keys_in_use, list_planned
from farshore.ops.prune.id_set import Table
from farshore.ops.prune.leases import settle_leases, young_after
from farshore.ops.prune.locked import are_locked, leave_locked
from farshore.ops.prune.outcome import Amount, PrunedReplica, PruneOptions, PruneState, WaitedLease
from farshore.ops.prune.plans import PlanBook, ReplicaPlans, may_plan
from farshore.ops.prune.refusals import (
    approvals_in_force,
    check_amount,
    check_contained,
    check_history,
    check_kept,
    check_rights,
    check_whole,
    try_store,
)
from farshore.ops.prune.roots import RootReader
from farshore.ops.prune.settled import settled_leases, settled_plans
from farshore.ops.prune.sweep import Deletions, Sweeper, SweepStopped
from farshore.plural import count_of
from farshore.replicas.leases import ListedLease, read_every_lease
from farshore.replicas.owner_log import put_log
from farshore.replicas.repository import Replica, Repository
from farshore.results import Progress
from farshore.run import Run
from farshore.stores.base import ObjectInfo, Trash

_LEASES_KEPT = 16  # that a plan would settle; fewer are not worth a plan with nothing else in it


class ReplicaPrune:
    """The prune of one replica. One thread; `deletions` is what was deleted so far, whatever ends it."""

    def __init__(self, repository: Repository, replica: Replica, options: PruneOptions, run: Run) -> None:
        self._repository = repository
        self._replica = replica
        self._options = options
        self._run = run
        self._book = PlanBook(repository, replica)
        self._reader = RootReader(repository, replica, options.grace, writes=not options.dry_run)
        self._leases: list[ListedLease] = []
        self._distinguishes = True
        self._number = 0
        self._unneeded: Table = np.zeros(0, PACK_ID_DTYPE)  # packs, those included that a lock lets stay
        self._ends_s = (
            run.clock.monotonic_s() + options.max_time.total_seconds() if options.max_time is not None else None
        )
        self.deletions = Deletions()
        self.outcome = PrunedReplica(replica.name, PruneState.CLEAN, rule="")

    def apply(self) -> PrunedReplica:
        """Prune; return what became of it. Refusals and failures are results.

        Repeatable, and safe to kill at any moment.
        """
        try:
            self._apply()
        except (PruneRefused, ApprovalMissing) as error:
            self._end(PruneState.REFUSED, error)
        except FarshoreError as error:
            self._end(PruneState.FAILED, error)
        freed, failed = self.deletions.freed, len(self.deletions.failed)
        self.outcome = replace(
            self.outcome, freed=freed, failed=failed, foreign=self._reader.reader.found.strange
        )  # fmt: skip
        return self.outcome

    # --- the steps ----------------------------------------------------------------------------------------------------

    def _apply(self) -> None:
        wrong = check_rights(self._repository)
        if wrong is not None:
            raise wrong
        plans = self._book.read()
        if not self._options.dry_run:
            if self._repository.log is not None:
                failed = put_log(self._repository, self._repository.log, only=self._replica.name)
                if self._replica.name in failed:
                    raise failed[self._replica.name]
            self._distinguishes = try_store(self._repository, self._replica)
            if not self._finish_open(plans):
                return
            plans = self._book.read()
        self._leases = read_every_lease(self._repository, self._replica, self._leases)
        garbage, fragments = self._plan(plans)
        if self._options.dry_run:
            self.outcome = replace(self.outcome, state=PruneState.PLANNED)
            return
        self._unneeded = fragments.unneeded
        supersede_locked(self._repository, self._replica, fragments)
        if not garbage.amount.objects and not fragments.going and self._settles_little():
            self._close_abandoned(plans)
            return
        part = self._publish(plans, garbage, fragments)
        if part is None:
            return
        self._finish(part, garbage if part.number == self._number else None, plans)

    def _plan(self, plans: ReplicaPlans) -> tuple[Garbage, FragmentPlan]:
        """Find what is to go, and refuse where it must not: steps P0, P2 and P3."""
        roots = self._reader.read(self._leases)
        check_history(self._repository)
        last = plans.last(may_plan(self._repository))
        check_contained(last, roots.commits, self._reader.tombstones)
        begun_utc = young_after(self._repository, self._replica, self._leases, self._options.grace)
        prices = self._options.early_prices.get(self._replica.name, NO_PRICES)
        garbage = find_garbage(self._replica, roots, begun_utc, prices)
        check_whole(self._replica, garbage)
        check_kept(self._repository, self._reader, self._options)
        leave_locked(self._replica, garbage)
        if len(garbage.packs) > limits.PLAN_PACKS_MAX:  # the next plan has the others
            garbage.keep(_beyond(garbage))
        fragments = plan_fragments(self._repository, self._replica, garbage)
        keep_keys_in_use(self._replica, garbage)
        garbage.others = garbage.others[: limits.PLAN_NAMES_MAX]
        self.outcome = replace(
            self.outcome,
            forgotten=tuple(sorted({head.snapshot for head in roots.going.values()})),
            in_grace=len(self._reader.in_grace.keys() & roots.commits),
            grace_until_utc=min(self._reader.in_grace.values(), default=None),
            garbage=garbage.amount + Amount(len(fragments.going), sum(one.size for one in fragments.going)),
            locked=garbage.locked,
            locked_until_utc=garbage.locked_until_utc,
            young=garbage.young,
            early=garbage.packs.deleted_early(prices.currency),
            rule=self._rule(),
        )  # fmt: skip
        asks = not self._options.dry_run
        approvals = check_amount(self._repository, self._replica, garbage, self._options.delete_max, asks=asks)
        self._note_approvals(approvals)
        self._note_early()
        return garbage, fragments

    def _publish(self, plans: ReplicaPlans, garbage: Garbage, fragments: FragmentPlan) -> PlanPart | None:
        """Publish what is to go: steps P1 and P4. From here on new writers keep off."""
        others = tuple(sorted(one.name for one in (*garbage.others, *fragments.going)))
        roots = tuple(sorted(self._reader.roots.commits))
        garbage.others += fragments.going
        for _ in range(limits.LISTING_PROBES):
            number = self._book.open(plans)
            part = self._book.condemn(number, roots, others, garbage.packs.ids.tobytes())
            if part is not None:
                own = part.names == others and part.packs == garbage.packs.ids.tobytes()
                self._number = number if own else 0
                return part
            plans.used.add(number)
            plans.parts.pop(number, None)
        raise PruneRefused(
            "somebody without the right to maintain keeps the names of plans",
            "Look who writes below plans/ there, and take that credential back.",
        )

    def _finish_open(self, plans: ReplicaPlans) -> bool:
        """Finish the plans that are open; abandon those whose maker may not maintain any more. Whether it goes on."""
        may = may_plan(self._repository)
        for number in plans.unclosed:
            part = plans.part(number, PlanState.CONDEMNED)
            if part is None or PlanState.ABANDONED in plans.parts[number]:
                continue
            if plans.signer(number) not in may:
                self._book.abandon(number)
                continue
            if not self._finish(part, None, plans):
                return False
        return True

    def _finish(self, part: PlanPart, garbage: Garbage | None, plans: ReplicaPlans) -> bool:
        """Carry out a plan: steps P5 to P8. Whether it is closed.

        Args:
            garbage: Its objects that are there, where this prune has just listed it.
        """
        self.outcome = replace(self.outcome, plan=part.number)
        self._leases, waits = settle_leases(
            self._repository, self._replica, self._leases, over=self.is_over, waiting=self._note_waits
        )
        if waits:
            self.outcome = replace(self.outcome, state=PruneState.WAITING, waits_for=waits)
            return False
        if garbage is None:
            self._reader = RootReader(self._repository, self._replica, self._options.grace)
            roots = self._reader.read(self._leases)
            check_contained(part, roots.commits, self._reader.tombstones)
            garbage = list_planned(self._replica, part.packs, part.names)
            self.outcome = replace(self.outcome, rule=self._rule())
            self._note_approvals(approvals_in_force(self._repository, self._replica, garbage, part.made_utc))
        else:
            self._reader.read_again(self._leases)
        try:
            self._sweep(part, garbage)
            self._settle(part, plans)
        except SweepStopped:
            if not self._is_settled(part.number):
                self.outcome = replace(self.outcome, state=PruneState.STOPPED)
                return False
        self._book.close(part.number, 0 if self._distinguishes else limits.PLAN_QUIET_S)
        self._close_abandoned(plans)
        self.outcome = replace(self.outcome, state=PruneState.PRUNED)
        return True

    def _sweep(self, part: PlanPart, garbage: Garbage) -> None:
        """Delete in this order: commits, fragments after what supersedes them, packs, and then what opens them."""
        roots = self._reader.roots
        rescued = roots.needs_packs(garbage.packs.ids)
        packs = garbage.packs.only(~rescued)
        others = [one for one in garbage.others if _is_fragment(one) or not roots.needs(one.name)]
        spared = int(rescued.sum()) + len(garbage.others) - len(others)
        self.outcome = replace(self.outcome, rescued=spared)
        sweeper = self._sweeper(part.number)
        sweeper.delete(_below(others, names.SNAPSHOTS))
        unneeded = self._unneeded[~roots.needs_packs(self._unneeded)]
        fragments = _below(others, names.FRAGMENTS)
        sweeper.delete(list(supersede(self._repository, self._replica, fragments, packs.ids, unneeded)))
        sweeper.delete(packs.infos())
        sweeper.delete(_below(others, names.DATA_KEYS, names.RUNS))

    def _settle(self, part: PlanPart, plans: ReplicaPlans) -> None:
        """Delete leases and plans that decide nothing any more."""
        kept = self._reader.reader.found.heads.keys() & set(part.roots)
        gone = self._reader.tombstones
        countered = self._reader.countered()
        ordered = [
            *settled_leases(self._leases, kept=kept, gone=gone, countered=countered),
            *settled_plans(plans, self._repository.clock.now_utc()),
        ]
        prefixes = (names.LEASES, names.PLANS) if ordered else ()
        listed = {info.name: info for prefix in prefixes for info in self._replica.store.list(prefix)}
        doomed = [listed[name] for name in ordered if name in listed]
        locked = are_locked(self._replica, _below(doomed, names.PLANS))
        stays = {one.name for one, is_locked in zip(_below(doomed, names.PLANS), locked, strict=True) if is_locked}
        self._sweeper(part.number).delete([one for one in doomed if one.name not in stays])

    def _close_abandoned(self, plans: ReplicaPlans) -> None:
        """Close abandoned plans of which nothing is there that nobody needs."""
        for number in plans.unclosed:
            part = plans.part(number, PlanState.CONDEMNED)
            if part is None or PlanState.ABANDONED not in plans.parts[number]:
                continue
            there = list_planned(self._replica, part.packs, part.names)
            roots = self._reader.roots
            if roots.needs_packs(there.packs.ids).all() and all(
                _is_fragment(one) or roots.needs(one.name) for one in there.others
            ):
                self._book.close(number, 0 if self._distinguishes else limits.PLAN_QUIET_S)

    # --- helpers ------------------------------------------------------------------------------------------------------

    def _sweeper(self, number: int) -> Sweeper:
        sweeper = Sweeper(
            self._replica,
            may_go_on=lambda: not self.is_over() and not self._is_settled(number),
            distinguishes=self._distinguishes,
            on_batch=self._note_batch,
        )
        sweeper.done = self.deletions
        return sweeper

    def is_over(self) -> bool:
        """Whether no time is left."""
        return self._ends_s is not None and self._run.clock.monotonic_s() >= self._ends_s

    def _is_settled(self, number: int) -> bool:
        return self._book.is_settled(number)

    def _settles_little(self) -> bool:
        return sum(one.decision is not None for one in self._leases) < _LEASES_KEPT

    def _rule(self) -> str:
        """Return the rules by which snapshots were forgotten, as their tombstones say."""
        going = self._reader.roots.going
        rules = {stone.rule or stone.reason for one in going for stone in self._reader.tombstones.get(one, {}).values()}
        return "; ".join(sorted(rules))

    def _note_early(self) -> None:
        """Show what is billed for packs that go early, before anything goes."""
        early = self.outcome.early
        if early.objects:
            detail = f"{count_of(early.objects, 'pack')} before the shortest time of their class: {early.price}"
            self._run.progress(Progress(f"prune:{self._replica.name}", detail=detail))

    def _note_approvals(self, of_amount: Iterable[str]) -> None:
        approvals = {*self.outcome.approvals, *self._reader.approvals(), *of_amount}
        self.outcome = replace(self.outcome, approvals=tuple(sorted(approvals)))

    def _note_batch(self, freed: Amount) -> None:
        self._run.progress(
            Progress(f"prune:{self._replica.name}", freed.objects, freed.bytes, self.outcome.garbage.bytes)
        )

    def _note_waits(self, waits: Sequence[WaitedLease]) -> None:
        first = waits[0]
        self._run.progress(
            Progress(
                f"prune:{self._replica.name}",
                detail=f"waits for {count_of(len(waits), 'writer')}, such as lease {first.lease[:12]}",
            )
        )

    def _end(self, state: PruneState, error: FarshoreError) -> None:
        self.outcome = replace(self.outcome, state=state, error_code=error.code, error=error.message, hint=error.hint)


def prune_replica(repository: Repository, replica: Replica, options: PruneOptions, run: Run) -> PrunedReplica:
    """Prune one replica; return what became of it. See `ReplicaPrune`."""
    return ReplicaPrune(repository, replica, options, run).apply()


def empty_trash(replica: Replica, options: PruneOptions) -> tuple[Trash, Amount]:
    """Delete for good what a directory has kept for long enough; return what it keeps still, and what was deleted."""
    before = replica.store.trash()
    if options.dry_run or not before.objects:
        return before, Amount()
    age = timedelta(0) if options.empty_trash else timedelta(seconds=limits.TRASH_S)
    until_utc: datetime = replica.store.now_utc() - age
    left = replica.store.empty_trash(until_utc)
    emptied = Amount(before.objects - left.objects, before.bytes - left.bytes)
    return left, emptied


def _beyond(garbage: Garbage) -> Table:
    return np.arange(len(garbage.packs)) >= limits.PLAN_PACKS_MAX


def _below(infos: Iterable[ObjectInfo], *prefixes: str) -> list[ObjectInfo]:
    return [info for prefix in prefixes for info in infos if info.name.startswith(prefix)]


def _is_fragment(info: ObjectInfo) -> bool:
    return info.name.startswith(names.FRAGMENTS)

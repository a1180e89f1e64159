"""`farshore cost`: put facts, schedules and prices together into an estimate per replica. docs/operate/cost.md."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from farshore.clock import Clock
from farshore.config import Config
from farshore.errors import FarshoreError
from farshore.model import dataclass
from farshore.ops.cost.estimate import Estimate, Usage, estimate
from farshore.ops.cost.facts import BackupRuns, Facts, ReplicaFacts, read_facts
from farshore.plan.prices import PriceTable, Quote, place_of, quote
from farshore.plan.schedules import MONTH_DAYS, runs_per_month
from farshore.replicas import OnWait, wait_quietly

LISTS_PER_RUN = 5  # docs/stores/requests.md: listings of a backup of any size; a page more for every thousand packs


@dataclass(frozen=True, slots=True)
class ReplicaCost:
    """One replica: its price, what it holds and does, and what that costs."""

    replica: str
    provider: str
    region: str
    quote: Quote
    usage: Usage
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class CostResult:
    """All replicas of the configuration, in order."""

    as_of: date
    currency: str
    read_from: str  # the replica whose audit tables were asked
    window_days: float
    replicas: tuple[ReplicaCost, ...]


def repository_cost(
    config: Config,
    table: PriceTable,
    *,
    replica: str | None = None,
    unasked: dict[str, FarshoreError] | None = None,
    on_wait: OnWait = wait_quietly,
    clock: Clock,
) -> CostResult:
    """Return what each configured replica costs. Needs no key.

    Args:
        replica: Its audit tables are asked; they cover all replicas.
        unasked, on_wait: As in `run_query`.
    Raises:
        ConfigInvalid: The price table names a class that a provider does not have.
        FarshoreError: No audit tables could be read.
    """
    facts = read_facts(config, replica=replica, unasked=unasked, on_wait=on_wait, clock=clock)
    costs: list[ReplicaCost] = []
    schedules = {name: runs_per_month(source.schedule) for name, source in config.sources.items()}
    for name, one in config.replicas.items():
        provider, region = place_of(one.url, one.region, one.endpoint)
        quoted = quote(table, name, provider, region)
        usage = plan_usage(name, facts, schedules)
        costs.append(ReplicaCost(name, provider, region, quoted, usage, estimate(quoted.price, usage)))
    return CostResult(table.as_of, table.currency, facts.read_from, facts.days, tuple(costs))


def plan_usage(replica: str, facts: Facts, schedules: Mapping[str, float | None]) -> Usage:
    """Return what is done at a replica in a month: as scheduled where a source has a schedule, else as it was done.

    Args:
        schedules: Runs a month by source; None where there is no schedule, or none that can be counted.
    """
    facts_of_replica = facts.replicas.get(replica, ReplicaFacts())
    months = facts.days / MONTH_DAYS
    puts = lists = gets = 0.0
    for source, backups in facts_of_replica.backups.items():
        planned = schedules.get(source)
        runs = backups.runs / months if planned is None else planned
        per_run = _per_run(backups)
        puts, lists, gets = puts + runs * per_run[0], lists + runs * per_run[1], gets + runs * per_run[2]
    return Usage(
        replica=replica,
        objects=facts_of_replica.objects,
        bytes_stored=facts_of_replica.bytes_stored,
        bytes_grown=facts_of_replica.bytes_grown / months,
        puts=puts,
        lists=lists,
        gets=gets + facts_of_replica.objects_checked / months,
        bytes_out=(facts_of_replica.bytes_checked + facts_of_replica.bytes_restored) / months,
        restore_bytes=facts_of_replica.needed_bytes,
        restore_objects=facts_of_replica.needed_objects,
    )


def _per_run(backups: BackupRuns) -> tuple[float, float, float]:
    """Return puts, lists and gets of one run: each object sent is a put, and the rest are a few lists and gets."""
    requests, objects = backups.requests / backups.runs, backups.objects / backups.runs
    lists = min(float(LISTS_PER_RUN), max(requests - objects, 0.0))
    return objects, lists, max(requests - objects - lists, 0.0)

"""The placement policy, rule by rule: required value, found value, suggested change. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from farshore.config import Config, format_duration
from farshore.errors import ConfigInvalid
from farshore.model import dataclass
from farshore.plan.regions import distance_km
from farshore.plan.replicas import PlacedReplica, place_replicas
from farshore.plan.schedules import longest_gap


@dataclass(frozen=True, slots=True)
class RuleVerdict:
    """One rule. Figures are texts with their unit, made for people; `is_met` is for programs."""

    rule: str  # copies | providers | jurisdictions | distance_km | immutable | offline | quorum | rpo:<source>
    wanted: str
    found: str
    is_met: bool
    change: str = ""  # the suggested change; empty when the rule is met


Violation = RuleVerdict  # one whose `is_met` is false


def plan_rules(config: Config, *, without: Collection[str] = ()) -> tuple[RuleVerdict, ...]:
    """Return a verdict for each rule that the policy has, and for what every plan must keep: its quorum and its RPOs.

    Args:
        without: Replicas that count as gone.

    Raises:
        ConfigInvalid: `without` names a replica that is not configured.
    """
    return (*_placement(config, without), *_rpos(config))


def placement_allows(config: Config, without: Collection[str] = ()) -> list[Violation]:
    """Return the rules of the placement policy, and the quorum, that would break without some replicas; empty if none.

    Rules that are broken already are included: compare with `placement_allows(config)`.

    Raises:
        ConfigInvalid: `without` names a replica that is not configured.
    """
    return [one for one in _placement(config, without) if not one.is_met]


def _placement(config: Config, without: Collection[str]) -> list[RuleVerdict]:
    unknown = sorted(set(without) - config.replicas.keys())
    if unknown:
        raise ConfigInvalid(f"no replica is called {unknown[0]!r}", f"Configured are: {', '.join(config.replicas)}.")
    placed = place_replicas(config, without=without)
    policy = config.placement
    rules: list[RuleVerdict] = []
    if policy.copies:
        rules.append(_count("copies", policy.copies, [one.replica for one in placed], "add {0}"))
    if policy.providers:
        found = sorted({one.provider for one in placed})
        rules.append(_count("providers", policy.providers, found, "put a replica at {0}", "provider"))
    if policy.jurisdictions:
        rules.append(_jurisdictions(policy.jurisdictions, placed))
    if policy.distance_km:
        rules.append(_distance(policy.distance_km, max(policy.copies, 2), placed))
    if policy.immutable:
        found = [one.replica for one in placed if one.immutable]
        change = "lock objects at {0}, and say so by immutable and immutable_days"
        rules.append(_count("immutable", policy.immutable, found, change))
    if policy.offline:
        found = [one.replica for one in placed if one.offline]
        change = "keep {0} disconnected between runs, and say so by offline and synced_every"
        rules.append(_count("offline", policy.offline, found, change))
    rules.append(_quorum(config.repository.quorum, placed))
    return rules


def _count(rule: str, wanted: int, found: Sequence[str], change: str, noun: str = "replica") -> RuleVerdict:
    said = f"{len(found)}: {', '.join(found)}" if found else "0"
    missing = wanted - len(found)
    more = f"{missing} more {noun}{'s' if missing > 1 else ''}"
    return RuleVerdict(rule, str(wanted), said, missing <= 0, change.format(more) if missing > 0 else "")


def _jurisdictions(wanted: int, placed: Sequence[PlacedReplica]) -> RuleVerdict:
    known = sorted({one.jurisdiction for one in placed if one.jurisdiction})
    untold = [one.replica for one in placed if not one.jurisdiction]
    verdict = _count("jurisdictions", wanted, known, "put a replica under {0}", "jurisdiction")
    if not untold:
        return verdict
    said = f"{verdict.found}; not known of {', '.join(untold)}"
    change = f"{verdict.change}, or set region or jurisdiction of {', '.join(untold)}" if verdict.change else ""
    return RuleVerdict("jurisdictions", verdict.wanted, said, verdict.is_met, change)


def _distance(wanted_km: int, copies: int, placed: Sequence[PlacedReplica]) -> RuleVerdict:
    """Judge by the largest set of copies that are all that far apart: a further copy close by does no harm."""
    apart = spread_apart(placed, wanted_km, copies)
    names = ", ".join(one.replica for one in apart)
    said = f"{len(apart)} so far apart: {names}" if len(apart) > 1 else "no two so far apart"
    untold = [one.replica for one in placed if one.place is None]
    said = f"{said}; place not known of {', '.join(untold)}" if untold else said
    change = ""
    if len(apart) < copies:
        change = f"put a replica at least {wanted_km} km from {names}" if apart else f"place {copies} replicas"
        change = f"{change}, or set latitude and longitude of {', '.join(untold)}" if untold else change
    return RuleVerdict("distance_km", f"{copies} copies {wanted_km} km apart", said, len(apart) >= copies, change)


def spread_apart(placed: Sequence[PlacedReplica], least_km: float, enough: int) -> list[PlacedReplica]:
    """Return the largest set of replicas that are pairwise at least `least_km` apart, or the first with `enough`."""
    best: list[PlacedReplica] = []

    def grow(chosen: list[PlacedReplica], rest: list[PlacedReplica]) -> None:
        nonlocal best
        if len(chosen) > len(best):
            best = chosen
        for number, one in enumerate(rest):
            if len(best) >= enough or len(chosen) + len(rest) - number <= len(best):
                return
            grow([*chosen, one], [other for other in rest[number + 1 :] if _are_apart(one, other, least_km)])

    grow([], [one for one in placed if one.place is not None])
    return best


def _are_apart(one: PlacedReplica, other: PlacedReplica, least_km: float) -> bool:
    return one.place is not None and other.place is not None and distance_km(one.place, other.place) >= least_km


def _quorum(quorum: int, placed: Sequence[PlacedReplica]) -> RuleVerdict:
    """A nightly run finds the offline copies away, so the others must make the quorum by themselves."""
    online = [one.replica for one in placed if not one.offline]
    lower = f"lower repository.quorum to {len(online)}, or " if online else ""
    change = f"{lower}add {{0}} that is always connected"
    return _count("quorum", quorum, online, change)


def _rpos(config: Config) -> list[RuleVerdict]:
    found: list[RuleVerdict] = []
    for source in config.sources.values():
        if source.rpo is None:
            continue
        gap = longest_gap(source.schedule) if source.schedule else None
        wanted = format_duration(source.rpo)
        if gap is None:
            said = "no schedule" if not source.schedule else "a schedule that only the scheduler can read"
            found.append(RuleVerdict(f"rpo:{source.name}", wanted, said, is_met=True))
            continue
        change = f"schedule {source.name} more often, or allow it an rpo of {format_duration(gap)}"
        is_met = gap <= source.rpo
        said = f"{format_duration(gap)} between runs"
        found.append(RuleVerdict(f"rpo:{source.name}", wanted, said, is_met, "" if is_met else change))
    return found


def interval_of(schedule: str, rpo: timedelta | None) -> timedelta | None:
    """Return how old the newest snapshot of a source can be by plan: by its schedule, else by its rpo."""
    return (longest_gap(schedule) if schedule else None) or rpo

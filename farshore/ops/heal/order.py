"""From which replica to copy: the nearest first, by provider, region and the table of regions. Pure."""

from __future__ import annotations

from farshore.config import Config
from farshore.plan.regions import distance_km
from farshore.plan.replicas import PlacedReplica, place_replicas

_UNKNOWN_KM = 20_000.0  # nothing is farther away on Earth


def nearest_first(config: Config, replica: str) -> tuple[str, ...]:
    """Return the other replicas: those of the same provider and region, then by distance, then as configured."""
    placed = {one.replica: one for one in place_replicas(config)}
    here = placed[replica]
    others = [one for one in placed.values() if one.replica != replica]
    return tuple(one.replica for one in sorted(others, key=lambda one: _distance(here, one)))


def _distance(here: PlacedReplica, other: PlacedReplica) -> tuple[bool, float]:
    same = bool(here.region) and (here.provider, here.region) == (other.provider, other.region)
    if here.place is None or other.place is None:
        return not same, _UNKNOWN_KM
    return not same, distance_km(here.place, other.place)

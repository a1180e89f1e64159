"""The regions of AWS, Azure and Google Cloud, and how far apart two places are. README.md lists the sources."""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

from farshore.model import dataclass

EARTH_RADIUS_KM = 6371.0  # mean: a sphere is half a percent off at most, far less than the size of a city's region
CLOUDS = ("aws", "azure", "gcp")


@dataclass(frozen=True, slots=True)
class Place:
    """A point on the Earth, in degrees."""

    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class Region:
    """One region of a provider."""

    region: str  # provider:place
    country: str  # ISO 3166, two letters
    jurisdiction: str  # the country, but EU for its members, and UK
    place: Place
    area: str  # for people who read the table; no plan reads it


@cache
def known_regions() -> Mapping[str, Region]:
    """Return the regions of the table that ships with the package, by name. Reads the table once a process."""
    text = resources.files("farshore.plan").joinpath("regions.csv").read_text("utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return MappingProxyType(
        {
            row["region"]: Region(
                region=row["region"],
                country=row["country"],
                jurisdiction=row["jurisdiction"],
                place=Place(float(row["latitude"]), float(row["longitude"])),
                area=row["area"],
            )
            for row in rows
        }
    )


def nearest_region(name: str) -> str | None:
    """Return the known region that `name` was probably meant to be: of its provider first."""
    provider = f"{name.partition(':')[0]}:"
    own = [region for region in known_regions() if region.startswith(provider)]
    close = difflib.get_close_matches(name, own or list(known_regions()), n=1, cutoff=0.0 if own else 0.5)
    return close[0] if close else None


def distance_km(one: Place, other: Place) -> float:
    """Return the great-circle distance, by the haversine formula, which is exact also for places close by."""
    north, other_north = math.radians(one.latitude), math.radians(other.latitude)
    half_north = (other_north - north) / 2
    half_east = math.radians(other.longitude - one.longitude) / 2
    chord = math.sin(half_north) ** 2 + math.cos(north) * math.cos(other_north) * math.sin(half_east) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, chord)))

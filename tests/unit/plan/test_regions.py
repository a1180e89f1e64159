"""The table of regions is sane, row by row, and distances are those of an atlas."""

from __future__ import annotations

import re
from importlib import resources

import botocore.session
import pytest

from farshore.plan.regions import CLOUDS, Place, distance_km, known_regions, nearest_region

UNION = {"AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU",
         "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"}  # fmt: skip
OTHERS = {"AE", "AU", "BH", "BR", "CA", "CH", "CL", "CN", "HK", "ID", "IL", "IN", "JP", "KR", "MX", "MY", "NO", "NZ",
          "QA", "SA", "SG", "TH", "TW", "US", "ZA"}  # fmt: skip
BOXES = {  # south, north, west, east: wide enough for islands, far too narrow for a sign that is wrong
    "EU": (34, 71, -11, 35), "US": (24, 49, -125, -66), "UK": (49, 61, -9, 2), "CA": (42, 60, -125, -52),
    "AU": (-44, -10, 112, 154), "BR": (-34, 6, -74, -34), "IN": (6, 36, 68, 98), "JP": (30, 46, 128, 146),
    "CN": (18, 54, 73, 135), "ZA": (-35, -22, 16, 33), "KR": (33, 39, 125, 130), "CH": (45.8, 47.9, 5.9, 10.5),
    "NO": (57, 72, 4, 32), "SG": (1.1, 1.5, 103.5, 104.1), "ID": (-11, 6, 95, 141), "MX": (14, 33, -118, -86),
    "CL": (-56, -17, -76, -66), "NZ": (-48, -34, 166, 179), "AE": (22, 27, 51, 57), "IL": (29, 34, 34, 36),
    "QA": (24, 27, 50, 52), "SA": (16, 33, 34, 56), "BH": (25, 27, 50, 51), "HK": (22, 23, 113, 115),
    "TW": (21, 26, 119, 123), "TH": (5, 21, 97, 106), "MY": (0, 8, 99, 120),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(known_regions()))
def test_each_region_is_sane(name: str) -> None:
    region = known_regions()[name]

    assert re.fullmatch(r"(aws|azure|gcp):[a-z0-9-]+", name)
    assert region.area.strip()
    expected = "EU" if region.country in UNION else "UK" if region.country == "GB" else region.country
    assert region.jurisdiction == expected
    assert region.country in UNION | OTHERS | {"GB"}
    south, north, west, east = BOXES[region.jurisdiction]
    assert south <= region.place.latitude <= north
    assert west <= region.place.longitude <= east


def test_ids_are_unique_and_sorted() -> None:
    lines = resources.files("farshore.plan").joinpath("regions.csv").read_text("utf-8").splitlines()
    rows = [line.split(",") for line in lines if not line.startswith("#")][1:]

    assert [row[0] for row in rows] == sorted({row[0] for row in rows})
    assert {len(row) for row in rows} == {6}
    assert all(re.fullmatch(r"-?\d+\.\d", degrees) for row in rows for degrees in row[3:5])


def test_the_clouds_are_covered() -> None:
    counts = {cloud: sum(name.startswith(f"{cloud}:") for name in known_regions()) for cloud in CLOUDS}

    assert counts["aws"] >= 34
    assert counts["gcp"] >= 42
    assert counts["azure"] >= 60


def test_every_open_region_that_the_sdk_of_aws_knows_is_there() -> None:
    session = botocore.session.get_session()
    partitions = ("aws", "aws-cn", "aws-us-gov", "aws-eusc")
    names = {
        region for one in partitions for region in session.get_available_regions("ec2", one, allow_non_regional=False)
    }

    assert names
    assert not {name for name in names if f"aws:{name}" not in known_regions()}


@pytest.mark.parametrize(
    ("one", "other", "km"),
    [
        ("aws:eu-central-1", "gcp:us-central1", 7_500),
        ("aws:eu-west-2", "aws:eu-west-3", 344),
        ("azure:australiaeast", "azure:australiasoutheast", 714),
        ("aws:us-east-1", "gcp:us-east4", 0),
    ],
)
def test_distances_are_those_of_an_atlas(one: str, other: str, km: float) -> None:
    found = distance_km(known_regions()[one].place, known_regions()[other].place)

    assert found == pytest.approx(km, rel=0.02, abs=1)


def test_opposite_ends_and_the_date_line() -> None:
    assert distance_km(Place(90, 0), Place(-90, 0)) == pytest.approx(20_015, abs=1)
    assert distance_km(Place(0, 179.5), Place(0, -179.5)) == pytest.approx(111.2, abs=0.1)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("aws:eu-centrl-1", "aws:eu-central-1"),
        ("azure:east-us", "azure:eastus"),
        ("gcp:us-central-1", "gcp:us-central1"),
        ("asw:eu-west-1", "aws:eu-west-1"),
        ("elsewhere:moon", None),
    ],
)
def test_the_nearest_region_is_of_the_same_provider_where_there_is_one(name: str, nearest: str | None) -> None:
    assert nearest_region(name) == nearest

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.packaging.conftest import ROOT

LOCKS = {
    "dev": 50,
    "runtime": 50,
    "cli": 25,
    "core": 12,
    "peers": 8,
}  # fewer packages than these, and it is not the whole lock
EXTRAS = {  # of the project, in each lock
    "dev": {"azure", "gcs", "postgres", "prefect", "s3", "shares", "sql"},
    "runtime": {"azure", "gcs", "postgres", "prefect", "s3", "shares", "sql"},
    "cli": {"azure", "gcs", "postgres", "s3", "shares", "sql"},
    "core": set[str](),
}
PYTHONS = ("3.11", "3.12", "3.13")


def read_lock(name: str) -> dict[tuple[str, str], list[str]]:
    """Return the hashes of every locked requirement, by its name and its line without them."""
    text = (ROOT / "requirements" / f"{name}.lock").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    locked: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        requirement, *hashes = line.split(" --hash=")
        locked[canonicalize_name(Requirement(requirement).name), requirement.strip()] = [
            each.strip() for each in hashes
        ]
    return locked


def wanted(name: str) -> list[Requirement]:
    """Return what pyproject.toml asks for, with the groups that the development lock holds."""
    settings: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = settings["dependency-groups"]

    def members(group: str) -> list[str]:
        return [
            each
            for entry in groups[group]
            for each in ([entry] if isinstance(entry, str) else members(entry["include-group"]))
        ]

    if name == "peers":
        return [Requirement(text) for text in members("peers")]
    texts = [*settings["project"]["dependencies"], *(members("dev") if name == "dev" else [])]
    for extra in EXTRAS[name]:
        texts += settings["project"]["optional-dependencies"][extra]
    return [Requirement(text) for text in texts]


def test_the_extra_all_is_all_of_them() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (everything,) = extras.pop("all")
    assert Requirement(everything).extras == extras.keys() == EXTRAS["dev"]


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_exact_versions_and_hashes(name: str) -> None:
    locked = read_lock(name)
    assert len(locked) > LOCKS[name]
    for (_, requirement), hashes in locked.items():
        assert re.fullmatch(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==[^ ;]+( ; .+)?", requirement), requirement
        assert hashes, f"{requirement} has no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), requirement


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_no_address(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.lock").read_text()
    assert not re.findall(r"^\s*--(?!hash=)|://|@ ", text, re.MULTILINE)


@pytest.mark.parametrize("name", LOCKS)
@pytest.mark.parametrize("python", PYTHONS)
def test_a_lock_satisfies_the_project(name: str, python: str) -> None:
    environment = {"python_version": python, "python_full_version": f"{python}.9"}
    versions: dict[str, Version] = {}
    for canonical, text in read_lock(name):
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            assert canonical not in versions, f"{canonical} is locked twice for Python {python}"
            versions[canonical] = Version(next(iter(requirement.specifier)).version)
    for requirement in wanted(name):
        found = versions.get(canonicalize_name(requirement.name))
        assert found is not None, f"{requirement} is not locked; run 'make lock'"
        assert requirement.specifier.contains(found), f"{requirement} but {found} is locked; run 'make lock'"


def test_what_runs_is_what_was_tested() -> None:
    assert set(read_lock("runtime")) - set(read_lock("dev")) == set()

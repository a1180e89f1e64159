from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.utils import canonicalize_name

import farshore
from tests.packaging.conftest import ROOT, Installed
from tests.packaging.test_locks import read_lock

OURS = {"farshore", "flows", "tasks"}

_IMPORT_ALL = """
import importlib, json, pkgutil, sys
files = {}
for top in sys.argv[1:]:
    package = importlib.import_module(top)
    files[top] = package.__file__
    for module in pkgutil.walk_packages(package.__path__, f"{top}."):
        if not module.name.endswith(".__main__"):
            files[module.name] = importlib.import_module(module.name).__file__
print(json.dumps(files))
"""

_LACKING = """
import sys
class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in sys.argv[1:]:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Lacking())
"""

_LOAD_FLOWS = """
import json, sys
from prefect import Flow
from prefect.flows import load_flow_from_entrypoint
found = {}
for entrypoint in sys.argv[1:]:
    flow = load_flow_from_entrypoint(entrypoint)
    assert isinstance(flow, Flow), entrypoint
    found[entrypoint] = flow.name
print(json.dumps(found))
"""


def project() -> dict[str, str]:
    metadata: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return metadata


def entrypoints() -> set[str]:
    declared = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text())
    return {deployment["entrypoint"] for deployment in declared["deployments"]}


def test_it_holds_our_packages_and_nothing_else(wheel: Path) -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "check-wheel-contents", "--toplevel", ",".join(sorted(OURS)), wheel],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/", 1)[0] for name in names} == {*OURS, f"farshore-{project()['version']}.dist-info"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "farshore/py.typed" in names


def test_every_module_in_the_tree_is_in_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tracked = {path.relative_to(ROOT).as_posix() for top in OURS for path in (ROOT / top).rglob("*.py")}
    assert tracked - names == set()


@pytest.mark.parametrize("table", ["farshore/plan/regions.csv", "farshore/plan/prices.toml"])
def test_the_tables_that_ship_are_in_it(wheel: Path, table: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(table) == (ROOT / table).read_bytes()


def test_every_module_imports_from_it(installed: Installed) -> None:
    files = json.loads(installed.run("python", "-W", "error::SyntaxWarning", "-c", _IMPORT_ALL, *sorted(OURS)))
    assert {"farshore.errors", "farshore.cli.main", "flows.backup"} <= files.keys()
    assert {name for name, file in files.items() if not Path(file).is_relative_to(installed.site)} == set()


def test_the_engine_alone_loads_no_orchestrator(installed: Installed) -> None:
    loaded = installed.run(
        "python", "-c", _IMPORT_ALL.replace("print(json.dumps(files))", "print('\\n'.join(sys.modules))"), "farshore"
    )
    assert "farshore.ops" in loaded.split()
    assert not {name for name in loaded.split() if name.split(".", 1)[0] in {"prefect", "flows", "tasks"}}


def test_the_engine_needs_nothing_that_the_lock_of_the_command_line_lacks(installed: Installed) -> None:
    """Trial N8: a machine that only restores needs no Prefect, and a third of the packages."""
    core = {name for name, _ in read_lock("cli")} | {"farshore"}
    lacking = sorted(
        top
        for top, owners in packages_distributions().items()
        if not core & {canonicalize_name(owner) for owner in owners}
    )
    assert {"prefect", "fastapi", "sqlalchemy"} <= set(lacking)
    script = _LACKING + _IMPORT_ALL.replace("sys.argv[1:]", "['farshore']")
    assert "farshore.cli.restore" in json.loads(installed.run("python", "-c", script, *lacking))


def test_the_command_line_runs_from_it(installed: Installed) -> None:
    assert project()["version"] == farshore.__version__
    assert f"farshore {farshore.__version__}" in installed.run("farshore", "version").splitlines()[0]
    usage = installed.run("farshore", "--help")
    assert {"init", "backup", "restore", "verify"} <= set(usage.replace(",", " ").split())


def test_deployments_name_flows_of_the_checkout() -> None:
    found = subprocess.run(
        [sys.executable, "-c", _LOAD_FLOWS, *sorted(entrypoints())],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout).keys() == entrypoints()


def test_deployments_name_flows_of_the_wheel(installed: Installed) -> None:
    dotted = sorted(entry.replace("/", ".").replace(".py:", ".") for entry in entrypoints())
    assert json.loads(installed.run("python", "-c", _LOAD_FLOWS, *dotted)).keys() == set(dotted)

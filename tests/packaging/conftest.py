from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Installed:
    """A virtual environment that holds the wheel, and an empty folder to run it from."""

    programs: Path
    site: Path
    folder: Path

    def run(self, program: str, *arguments: str) -> str:
        """Run a program of the environment as a stranger would, and return what it printed."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "FARSHORE"))}
        environment |= {"DO_NOT_TRACK": "1", "PREFECT_HOME": str(self.folder.parent / "prefect")}
        done = subprocess.run(
            [self.programs / program, *arguments],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{program} {arguments} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    place = tmp_path_factory.mktemp("clean")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place / "venv"], check=True)
    programs = place / "venv" / "bin"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(programs / "python")]
    done = subprocess.run(
        [*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (site,) = (place / "venv" / "lib").glob("python3.*/site-packages")
    # The dependencies come from this environment. Its own .pth files are not read from there, so the checkout that is
    # installed here in editable form stays out of sight.
    (site / "dependencies.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n")
    (place / "empty").mkdir()
    return Installed(programs=programs, site=site, folder=place / "empty")


@pytest.fixture(scope="session")
def core_alone(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel without any extra, with copies of the distributions that it then needs and nothing else."""
    place = tmp_path_factory.mktemp("core")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place / "venv"], check=True)
    programs = place / "venv" / "bin"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(programs / "python")]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], check=True)
    (site,) = (place / "venv" / "lib").glob("python3.*/site-packages")
    (ours,) = metadata.distributions(name="farshore", path=[str(site)])
    for distribution in _needed_by(ours):
        for file in distribution.files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                copy = site / file
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(distribution.locate_file(file)), copy)
    checked = subprocess.run([*pip, "check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    (place / "empty").mkdir()
    return Installed(programs=programs, site=site, folder=place / "empty")


def _needed_by(distribution: metadata.Distribution) -> list[metadata.Distribution]:
    """Return what a distribution needs without any extra of it, directly or not, as it is installed here."""
    found: dict[str, metadata.Distribution] = {}
    left = [(distribution, {""})]
    while left:
        wanting, extras = left.pop()
        for requirement in map(Requirement, wanting.requires or ()):
            if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
                continue
            needed = metadata.distribution(requirement.name)
            if requirement.name not in found or requirement.extras:
                found[requirement.name] = needed
                left.append((needed, {"", *requirement.extras}))
    return list(found.values())

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

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

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.packaging.conftest import ROOT


def shell_blocks(page: str) -> list[str]:
    return re.findall(r"^```(?:sh|bash)?\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def test_the_first_backup_and_restore_work_as_written(tmp_path: Path) -> None:
    (script,) = [block for block in shell_blocks("README.md") if "farshore init" in block]
    trial = tmp_path / "trial"
    for written, here in (("/tmp/farshore-trial", str(trial)), ("/usr/share/doc", str(ROOT / "docs"))):
        assert written in script
        script = script.replace(written, here)
    script = script.replace("make environment\n", "")
    script = script.replace("source .venv/bin/activate", f"export PATH='{Path(sys.executable).parent}':$PATH")
    done = run_script(script, home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (trial / "back/reference/format.md").read_bytes() == (ROOT / "docs/reference/format.md").read_bytes()
    assert "clean" in done.stdout
    assert "papers" in done.stdout.splitlines()[-1] + done.stdout.splitlines()[-2]
    assert "`cd / && rm -r /tmp/farshore-trial` removes the trial" in (ROOT / "README.md").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["trial"], "the trial leaves something elsewhere"


def run_script(script: str, *, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("FARSHORE", "XDG_"))}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=home,
        env=environment | {"HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_recipes_it_names_exist() -> None:
    recipes = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    named = {name for page in pages for name in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE)}
    assert {"demo", "test"} <= named
    assert named - recipes == set()

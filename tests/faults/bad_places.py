"""Run by test_bad_places.py in a mount namespace of its own: every command while one directory of this host is bad.

    bad_places.py ROOT VARIABLE STATE

VARIABLE is FARSHORE_CACHE, FARSHORE_STATE_DIR, XDG_STATE_HOME or TMPDIR; STATE is what the directory that it names is.
Runs without the right to ignore permissions, and prints one line of JSON: by command, its exit code and what it said.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from farshore.cli.main import main
from farshore.cli.output import Outlet
from farshore.cli.process import configure_logs
from farshore.clock import SystemClock
from farshore.config import load_config
from farshore.ops.setup.initialize import initialize
from tests.doubles.keys import CHEAP

REPLICAS = ("one", "two")
RUNS = "sql 'SELECT DISTINCT operation FROM runs ORDER BY 1' --format csv"
COMMANDS = (
    "config check --secrets",
    "init",
    "backup home ledger",
    "snapshots",
    "snapshots --replica one",
    "ls home",
    "diff home home",
    "find letter.txt",
    "restore home --target {out}",
    "restore ledger --target {out}",
    "warm home",
    "verify",
    "verify --read-data",
    "verify --remote",
    "heal",
    "heal --read-data",
    "heal --dry-run",
    "status",
    "status --max-age 1h",
    "plan check",
    "cost",
    "lock check home",
    "replica probe one --only permissions",
    "replica add two",
    "key list",
    "key generate {out}",
    "key recipient add {recipient}",
    "key passphrase add",
    "key enroll",
    "version",
    RUNS,
)


def _mount(place: Path, options: str) -> None:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)


def _fill(place: Path) -> None:
    _mount(place, "size=64k")
    with contextlib.suppress(OSError), (place / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass


def _make_file(place: Path) -> None:
    place.write_text("no directory")


def _make_file_above(place: Path) -> None:
    place.parent.rmdir()
    place.parent.write_text("no directory")


def _deny(place: Path) -> None:
    place.mkdir(mode=0)


def _deny_inside(place: Path) -> None:
    """What a run as another user leaves behind."""
    for name in ("objects", "audit", "spool", "credentials"):
        (place / "cache" / name).mkdir(parents=True)
        (place / name).mkdir()
        (place / name).chmod(0)
        (place / "cache" / name).chmod(0)


def _nowhere(place: Path) -> None:
    """Have every place for temporary files take nothing, and this script's own folder go on."""
    root = str(place.parents[1])
    for other in ("/tmp", "/var/tmp", "/usr/tmp"):
        if Path(other).is_dir():
            subprocess.run(["mount", "--bind", other, other], check=True)
            subprocess.run(["mount", "-o", "remount,bind,ro", other], check=True)
    subprocess.run(["mount", "--bind", root, root], check=True)
    subprocess.run(["mount", "-o", "remount,bind,rw", root], check=True)
    os.chdir("/proc")


STATES: Mapping[str, Callable[[Path], object]] = {
    "missing": lambda _: None,
    "file": _make_file,
    "below-a-file": _make_file_above,
    "dangling": lambda place: place.symlink_to(place.parent / "nowhere"),
    "read-only": lambda place: _mount(place, "ro"),
    "full": _fill,
    "nearly-full": lambda place: _mount(place, "size=24k"),
    "denied": _deny,
    "denied-inside": _deny_inside,
    "nowhere": _nowhere,
}


def call(words: list[str], environment: Mapping[str, str]) -> dict[str, object]:
    """Run one command line in this process, as a new one would."""
    out, err = Outlet(io.BytesIO(), encoding="utf-8"), io.StringIO()
    tempfile.tempdir = None
    configure_logs(environment, err)
    code = main(words, environment, out, err, SystemClock())
    out.flush()
    return {"code": code, "said": err.getvalue(), "printed": out.buffer.getvalue().decode()}  # type: ignore[attr-defined]


def prepare(root: Path) -> dict[str, str]:
    """Make a repository with a snapshot of each source, and leave nothing of it on the host; return variables."""
    (root / "home").mkdir()
    (root / "home/letter.txt").write_text("dear reader\n")
    (root / "home/blob").write_bytes(os.urandom(300_000))
    with contextlib.closing(sqlite3.connect(root / "ledger.db")) as connection:
        connection.execute("CREATE TABLE entry (amount INTEGER)")
        connection.commit()
    for prefix in ("", "new/"):
        text = f'[repository]\nquorum = 1\n[sources.home]\ntype = "directory"\npath = "{root}/home"\n'
        text += f'[sources.ledger]\ntype = "sqlite"\npath = "{root}/ledger.db"\n'
        for name in REPLICAS:
            (root / prefix / name).mkdir(parents=True)
            text += f'[replicas.{name}]\nurl = "file://{root}/{prefix}{name}"\nregion = "site:{name}"\n'
        (root / f"{prefix.strip('/') or 'farshore'}.toml").write_text(text)
    variables = {
        "HOME": str(root),
        "PATH": os.environ["PATH"],
        "FARSHORE_CONFIG": str(root / "farshore.toml"),
        "FARSHORE_PASSPHRASE": "correct horse battery staple",
        "FARSHORE_NEW_PASSPHRASE": "battery staple correct horse",
        "FARSHORE_STATE_DIR": str(root / "state"),
    }
    config = load_config(root / "farshore.toml", variables)
    initialize(config, passphrase_cost=CHEAP, clock=SystemClock())
    for words in (["backup", "home", "ledger"], ["key", "generate", str(root / "identity")]):
        done = call(words, variables)
        assert done["code"] == 0, done
    shutil.rmtree(root / "state")
    return variables


def survey(root: Path, variable: str, state: str) -> dict[str, dict[str, object]]:
    """Run every command while the directory that a variable names is as `state` says."""
    variables = prepare(root)
    recipient = json.loads((root / "identity").read_text())["recipient"]
    place = root / "bad" / "place"
    place.parent.mkdir()
    STATES[state](place)
    if variable == "XDG_STATE_HOME":
        del variables["FARSHORE_STATE_DIR"]
    if variable == "TMPDIR":
        os.environ["TMPDIR"] = str(place)
    variables[variable] = str(place)
    seen: dict[str, dict[str, object]] = {}
    for number, command in enumerate(COMMANDS):
        words = shlex.split(command.format(out=root / f"out{number}", recipient=recipient))
        elsewhere = ["--config", str(root / "new.toml")] if command == "init" else []
        seen[command] = call([*elsewhere, *words], variables)
    return seen


if __name__ == "__main__":
    print(json.dumps(survey(Path(sys.argv[1]), sys.argv[2], sys.argv[3])))

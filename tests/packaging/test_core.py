"""The core alone, without any extra: what it can do, and what it says of the rest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.packaging.conftest import Installed

DISTRIBUTIONS_MAX = 15
HOST = """[repository]
quorum = 1
passphrase = { env = "FARSHORE_PASSPHRASE" }

[sources.home]
type = "directory"
path = "home"
"""
URLS = {"s3": "s3://bucket/prefix", "gcs": "gs://bucket/prefix", "azure": "az://container"}


@dataclass(frozen=True)
class Host:
    installed: Installed
    folder: Path

    def configure(self, *replicas: str, more: str = "") -> None:
        tables = [f'[replicas.r{number}]\nurl = "{url}"' for number, url in enumerate(replicas)]
        keys = 'credentials = { account = { env = "ACCOUNT" }, key = { env = "KEY" } }'
        text = "\n".join([HOST, *(f"{one}\n{keys}" if "az:" in one else one for one in tables), more])
        (self.folder / "farshore.toml").write_text(text)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {"FARSHORE_PASSPHRASE": "correct horse battery staple", "HOME": str(self.folder), "PATH": ""}
        environment |= {name: str(self.folder / name) for name in ("FARSHORE_STATE_DIR", "FARSHORE_CACHE")}
        return subprocess.run(
            [self.installed.programs / "farshore", *words],
            cwd=self.folder, env=environment | {"ACCOUNT": "account", "KEY": "a2V5"}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def succeed(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, f"{words} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def lack(self, extra: str, *words: str) -> str:
        """Run a command that must end for want of an extra, and return what it said."""
        done = self.run(*words)
        assert done.returncode == 78, f"{words} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        assert f"pip install 'farshore[{extra}]'" in done.stderr, done.stderr
        assert "error[extra-missing]" in done.stderr
        return done.stderr


@pytest.fixture
def host(core_alone: Installed, tmp_path: Path) -> Host:
    made = Host(core_alone, tmp_path)
    (tmp_path / "home" / "deep").mkdir(parents=True)
    (tmp_path / "home" / "deep" / "file").write_bytes(os.urandom(3_000_000))
    (tmp_path / "home" / "link").symlink_to("deep/file")
    (tmp_path / "replica").mkdir()
    made.configure(f"file://{tmp_path}/replica")
    made.succeed("init")
    made.succeed("backup", "home")
    return made


def test_few_distributions_are_installed(core_alone: Installed) -> None:
    pip = [sys.executable, "-m", "pip", "--python", str(core_alone.programs / "python")]
    done = subprocess.run([*pip, "list", "--format=json"], capture_output=True, text=True, check=True)
    names = {one["name"] for one in json.loads(done.stdout)} - {"pip", "setuptools"}
    assert "farshore" in names
    assert len(names) <= DISTRIBUTIONS_MAX, names


def test_it_restores_from_a_directory(host: Host) -> None:
    assert "clean" in host.succeed("verify", "--read-data")
    host.succeed("restore", "home", "--target", "back")
    done = subprocess.run(["diff", "-r", "--no-dereference", "home", "back"], cwd=host.folder, check=False)
    assert done.returncode == 0
    assert "home" in host.succeed("snapshots")
    assert "deep/file" in host.succeed("ls", "home", "--recursive")


@pytest.mark.parametrize("extra", URLS)
def test_a_store_that_is_not_installed_is_named_with_the_command(host: Host, extra: str) -> None:
    host.configure(URLS[extra])
    host.lack(extra, "config", "check")
    host.lack(extra, "init")
    host.lack(extra, "snapshots")
    said = host.lack(extra, "restore", "home", "--target", "back")
    assert "network" not in said
    assert "unreachable" not in said
    assert not (host.folder / "back").exists()


def test_the_configuration_check_names_all_that_is_lacking(host: Host) -> None:
    more = '[sources.shop]\ntype = "postgres"\ndsn = { env = "DSN" }'
    host.configure(f"file://{host.folder}/replica", *URLS.values(), more=more)
    said = host.lack("azure,gcs,postgres,s3", "config", "check")
    assert all(name in said for name in ("replica r1", "replica r2", "replica r3", "source shop"))
    assert "r0" not in said


def test_a_replica_without_its_sdk_does_not_keep_others_from_serving(host: Host) -> None:
    host.configure("s3://bucket/prefix", f"file://{host.folder}/replica")
    done = host.run("restore", "home", "--target", "back")
    assert (host.folder / "back" / "deep" / "file").exists(), done.stderr
    assert "pip install 'farshore[s3]'" in done.stderr
    status = host.run("status", "--json")
    replicas = {one["replica"]: one["state"] for one in map(json.loads, status.stdout.splitlines()) if "state" in one}
    assert replicas == {"r0": "unsupported", "r1": "level"}
    assert status.returncode == 78


def test_a_database_without_its_driver_is_named_with_the_command(host: Host) -> None:
    host.configure(f"file://{host.folder}/replica", more='[sources.shop]\ntype = "postgres"\ndsn = { env = "KEY" }')
    host.lack("postgres", "backup", "shop")


def test_what_asks_the_audit_tables_names_the_command(host: Host) -> None:
    host.lack("sql", "sql", "SELECT count(*) FROM runs")
    host.lack("sql", "cost")
    host.lack("sql", "verify", "--remote")
    host.lack("sql", "verify", "--read-data", "10")
    status = host.run("status")
    assert status.returncode == 0
    assert "pip install 'farshore[sql]'" in status.stderr

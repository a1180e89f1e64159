"""A program that knows docs/reference/format.md alone opens and restores every golden repository as Farshore does."""

from __future__ import annotations

import ast
import json
import os
import random
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature, InvalidTag

from farshore.access import open_repository
from farshore.access.unlock import Need
from farshore.catalog.snapshots import list_snapshots
from farshore.model import Entry, EntryKind
from farshore.ops.restore.restore import restore_snapshot
from farshore.run import Run
from farshore.trust.actions import Right
from tests.golden import second_reader
from tests.golden.regenerate import STARTED_UTC, configure
from tests.golden.second_reader import DamagedError, Reader
from tests.unit.ops.domain_hosts import add, backup
from tests.unit.ops.engine import Engine
from tests.unit.ops.owners import lose_owner, new_owner, under
from tests.unit.ops.tree_source import TreeSource
from tests.unit.replicas.clocks import StillClock

HERE = Path(__file__).parent
VERSIONS = sorted(path for path in HERE.iterdir() if (path / "expected.json").exists())
LIBRARIES = {"blake3", "cryptography", "pyarrow", "zstandard"}
ERRORS = (DamagedError, InvalidTag, InvalidSignature, OSError, ValueError, KeyError, TypeError, AttributeError)
by_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)


def expected_of(version: Path) -> dict[str, Any]:
    expected: dict[str, Any] = json.loads((version / "expected.json").read_text(encoding="ascii"))
    return expected


def open_as(version: Path, way: str) -> Reader:
    """Open a golden repository by its passphrase or its identity."""
    if way == "passphrase":
        passphrase = second_reader.passphrase_bytes(expected_of(version)["passphrase"].encode() + b"\r\n")
        return second_reader.open_repository(version / "replica", passphrase=passphrase)
    private_key = second_reader.read_identity((version / "identity.json").read_bytes())
    return second_reader.open_repository(version / "replica", private_key=private_key)


def described(top: Path) -> dict[bytes, dict[str, object]]:
    """Return everything that a restore puts back, by path; names of one file by the first of them."""
    first_names: dict[int, bytes] = {}
    found = {}
    paths = [
        os.path.join(above, name) for above, below, names in os.walk(os.fsencode(top)) for name in [*below, *names]
    ]
    for path in sorted(paths):
        status = os.lstat(path)
        name = os.path.relpath(path, os.fsencode(top))
        regular, link = stat.S_ISREG(status.st_mode), stat.S_ISLNK(status.st_mode)
        found[name] = {
            "mode": status.st_mode,
            "owner": (status.st_uid, status.st_gid),
            "size": status.st_size if regular or link else 0,
            "rdev": status.st_rdev,
            "mtime_ns": status.st_mtime_ns,
            "first_name": first_names.setdefault(status.st_ino, name),
            "xattrs": {one: os.getxattr(path, one, follow_symlinks=False) for one in listed_xattrs(path)},
            "target": os.readlink(path) if link else b"",
            "content": Path(os.fsdecode(path)).read_bytes() if regular else b"",
            "sparse": regular and status.st_blocks * 512 + 65_536 < status.st_size,
        }
    return found


def listed_xattrs(path: bytes) -> list[str]:
    return os.listxattr(path, follow_symlinks=False)


PARTS = ("second_trust.py", "second_commits.py", "second_manifest.py", "second_prune.py")  # of the program


def test_it_was_written_from_the_page() -> None:
    """It imports nothing of ours, by no way, and no library that the page does not need."""
    parts = [Path(second_reader.__file__), *(Path(second_reader.__file__).with_name(name) for name in PARTS)]
    nodes = [node for part in parts for node in ast.walk(ast.parse(part.read_text()))]
    imported = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add((node.module or "").split(".")[0])
    assert "farshore" not in imported
    assert imported - LIBRARIES - {Path(name).stem for name in PARTS} <= sys.stdlib_module_names - {
        "importlib",
        "runpy",
        "subprocess",
    }
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    assert not names & {"__import__", "exec", "eval", "compile"}


@by_version
@pytest.mark.parametrize("way", ["passphrase", "identity"])
def test_it_lists_what_is_there(version: Path, way: str) -> None:
    reader = open_as(version, way)
    expected = expected_of(version)["snapshots"]
    commits = {commit["snapshot"]: commit for commit in reader.commits()}
    assert list(commits) == [one["snapshot"] for one in sorted(expected, key=lambda one: one["source"])]
    for one in expected:
        commit = commits[one["snapshot"]]
        assert [commit[name] for name in ("source", "kind", "state", "sequence", "parent")] == [
            one[name] for name in ("source", "kind", "state", "sequence", "parent")
        ]
    assert reader.check_audit() == sum("/date=" in name for name in expected_of(version)["objects"])


@by_version
def test_it_restores_what_farshore_restores(version: Path, tmp_path: Path) -> None:
    reader = open_as(version, "identity")
    shutil.copytree(version, tmp_path / "copy")
    (tmp_path / "copy/identity.json").chmod(0o600)
    config = configure(tmp_path / "copy", state_dir=tmp_path / "state")
    fingerprint = reader.trust.fingerprint.hex()
    config = replace(config, repository=replace(config.repository, fingerprint=fingerprint))
    clock = StillClock(moment_utc=STARTED_UTC + timedelta(days=365))
    with open_repository(config, need=Need.READ, clock=clock) as repository:
        for snapshot in list_snapshots(repository):
            restore_snapshot(repository, snapshot, tmp_path / "ours" / snapshot.snapshot_id, run=Run.start(clock))
    for commit in reader.commits():
        reader.restore(commit, tmp_path / "theirs" / commit["snapshot"])
    ours, theirs = described(tmp_path / "ours"), described(tmp_path / "theirs")
    tops = {commit["snapshot"].encode() for commit in reader.commits()}
    without_root = {commit["snapshot"].encode() for commit in reader.commits() if commit["kind"] == "sqlite"}
    for top in without_root:  # a source of a single file has no directory whose time could be put back
        del ours[top]["mtime_ns"], theirs[top]["mtime_ns"]
    assert tops <= theirs.keys()
    assert len(theirs) > 20
    assert theirs == ours


@by_version
def test_it_is_a_program(version: Path, tmp_path: Path) -> None:
    """It runs by itself, where no farshore can be imported."""
    (tmp_path / "passphrase").write_text(expected_of(version)["passphrase"] + "\n", encoding="utf-8")
    shutil.copy(second_reader.__file__, tmp_path / "reader.py")
    for name in PARTS:
        shutil.copy(Path(second_reader.__file__).with_name(name), tmp_path)
    snapshot = expected_of(version)["snapshots"][0]["snapshot"]
    alone = "import sys, runpy; sys.modules['farshore'] = None; runpy.run_path('reader.py', run_name='__main__')"
    command = [sys.executable, "-I", "-c", alone, str(version / "replica"), "--passphrase-file", "passphrase"]

    def output_of(*more: str) -> str:
        return subprocess.run([*command, *more], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    assert snapshot in output_of()
    output_of("--restore", snapshot, "restored")
    assert (tmp_path / "restored/documents").is_dir()


READ_BY_NAME = (
    "farshore.json",
    "keys/log/",
    "keys/slots/",
    "index/",
    "snapshots/",
    "forgotten/",
    "unforgotten/",
    "notes/",
    "approvals/",
    "verdicts/",
    "audit/",
)


def objects_read(version: Path) -> Iterator[str]:
    """Yield the names of all objects that a reader with the identity reads: what it lists, and what snapshots need."""
    reader = open_as(version, "identity")
    needed = {name for commit in reader.commits() for name in objects_of(reader, commit)}
    for name in expected_of(version)["objects"]:
        slot = name.startswith("keys/slots/") and '"kind":"passphrase"' in (version / "replica" / name).read_text()
        if (name.startswith(READ_BY_NAME) or name in needed) and not slot:
            yield name


def objects_of(reader: Reader, commit: dict[str, Any]) -> list[str]:
    """Return the names of all objects that a snapshot needs, and its commit record."""
    needs = reader.needs(commit)
    own = [f"runs/{run['blake3']}" for runs in commit["runs"].values() for run in runs]
    record = f"snapshots/{commit['source_id']}/{commit['snapshot']}-{commit['hash']}"
    keys = [f"keys/data/{key_id}/{recipient}-{digest}" for key_id, recipient, digest in needs.data_keys]
    return [record, *own, *keys, *(f"packs/{one[:2]}/{one}" for one, _, _ in needs.packs)]


@pytest.mark.parametrize("version", ["v1", "v1-special"])
def test_it_reads_all_there_is_but_leases_and_slots_of_the_passphrase(version: str) -> None:
    unread = expected_of(HERE / version)["objects"].keys() - set(objects_read(HERE / version))
    assert {name.partition("/")[0] for name in unread} == {"leases", "keys"}
    assert sum(name.startswith("keys/") for name in unread) == 2  # the owner's and the reader's


@by_version
def test_a_flipped_bit_in_any_object_is_noticed(version: Path, tmp_path: Path) -> None:
    """No byte that it reads is believed: each is covered by a hash or a tag that is checked."""
    refused = reads_everything(version, tmp_path / "whole")
    assert refused is not None
    seed = random.randrange(1 << 32)
    print("seed", seed)
    chance = random.Random(seed)
    for number, name in enumerate(objects_read(version)):
        shutil.copytree(version, tmp_path / "copy")
        path = tmp_path / "copy/replica" / name
        data = bytearray(path.read_bytes())
        at = chance.randrange(len(data))
        data[at] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        found = reads_everything(tmp_path / "copy", tmp_path / str(number))
        assert found is None or found != refused, f"byte {at} of {name} is flipped"
        shutil.rmtree(tmp_path / "copy")


def reads_everything(version: Path, target: Path) -> list[str] | None:
    """Return the commits refused by a reader of all snapshots and audit files, with reasons; None after an error."""
    try:
        reader = open_as(version, "identity")
        reader.check_audit()
        reader.keeping()  # approvals among it
        reader.verdicts()
        for commit in reader.commits():
            reader.restore(commit, target / commit["snapshot"])
    except ERRORS:
        return None
    return reader.refused


def test_it_reads_page_maps_in_runs(tmp_path: Path) -> None:
    """As Farshore makes them today; `v1-special` has those of its day."""
    chance = random.Random(5)
    engine = Engine(tmp_path / "engine").initialize()
    source = TreeSource(clock=engine.clock)
    source.file(b"db", chance.randbytes(3 << 20), 1 << 20, chance.randbytes(4 << 20), page_bytes=4096)
    source.file(b"small", chance.randbytes(1 << 20), page_bytes=4096)
    source.file(b"still", chance.randbytes(1 << 20), page_bytes=4096)
    source.put(Entry(b"socket", EntryKind.SOCKET, mode=0o640))
    engine.backup(source)
    content = bytearray(chance.randbytes(100))
    source.write(
        b"db", source.content(b"db")[: 3 << 20], 1 << 20, bytes(content) + source.content(b"db")[(4 << 20) + 100 :]
    )
    source.remove(b"small")
    engine.backup(source)
    for name, (data, _) in engine.shelf("a").objects.items():
        path = tmp_path / "replica" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    private_key = second_reader.read_identity(engine.identity.read_bytes())
    reader = second_reader.open_repository(tmp_path / "replica", private_key=private_key)
    first, second = reader.commits()
    assert second["runs"]["pages"][:-1] == first["runs"]["pages"]
    second_needs = reader.needs(second)
    assert reader.needs(first).data_keys[0] in second_needs.data_keys
    assert len(reader.pages(second)[b"db"][1]) == 7 << 8, "pages of the hole are left out, all others are there"
    assert set(reader.pages(first)) == {b"db", b"small", b"still"}
    assert set(reader.pages(second)) == {b"db", b"still"}, "the other file is gone"
    assert reader.pages(second)[b"still"] == reader.pages(first)[b"still"], "a path without a row is as before"
    reader.restore(second, tmp_path / "restored")
    assert (tmp_path / "restored/db").read_bytes() == source.content(b"db")
    assert (tmp_path / "restored/socket").is_socket()


def test_it_reads_by_the_header_of_a_new_owner(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "engine").initialize()
    source = TreeSource(clock=engine.clock)
    source.file(b"a", b"from before")
    engine.backup(source)
    lose_owner(engine, Right.BACKUP)
    for sequence in (2, 3):
        engine = under(engine, new_owner(engine).fingerprint)
        engine.backup(source, need=Need.READ)
        assert len(engine.snapshots()) == sequence
    for name, (data, _) in engine.shelf("a").objects.items():
        path = tmp_path / "replica" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    private_key = second_reader.read_identity(engine.identity.read_bytes())

    pinned = bytes.fromhex(engine.repository_config.fingerprint)
    reader = second_reader.open_repository(tmp_path / "replica", private_key=private_key, fingerprint=pinned)

    for commit in reader.commits():
        reader.restore(commit, tmp_path / commit["snapshot"])
        assert (tmp_path / commit["snapshot"] / "a").read_bytes() == b"from before"
    assert len(reader.commits()) == 3
    before = second_reader.open_repository(tmp_path / "replica", private_key=private_key)
    assert len(before.commits()) == 1


def test_it_reads_as_one_who_reads_some_domains_alone(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "engine").initialize()
    backup(engine, "db1")
    add(engine, "orders")
    backup(engine, "db2")
    mine = backup(engine, "db1")
    for name, (data, _) in engine.shelf("a").objects.items():
        path = tmp_path / "replica" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    private_key = second_reader.read_identity((engine.root / "friend").read_bytes())

    reader = second_reader.open_repository(tmp_path / "replica", private_key=private_key)

    (commit,) = reader.commits()
    assert commit["snapshot"] == mine
    reader.restore(commit, tmp_path / "out")
    assert (tmp_path / "out/own").read_bytes() == b"db1" * 3000

"""Days that come: a disk that fills, credentials that are revoked, a server that dies in mid-upload."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from farshore.access import open_repository
from farshore.access.open_source import open_source
from farshore.access.unlock import Need
from farshore.config import load_config
from farshore.errors import QuorumNotReached
from farshore.ops.backup.backup import run_backup
from farshore.run import Run
from infra.local.seaweedfs import SeaweedServer
from tests.conftest import FreshPlace
from tests.end_to_end.setting import Place, Setting
from tests.faults.world import fingerprint


@contextmanager
def _small_disk(path: Path, megabytes: int) -> Iterator[None]:
    """A real file system of a few MiB. CI runs as root; elsewhere this fails rather than pass untested."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def _place(path: Path) -> Place:
    path.mkdir(exist_ok=True)
    return {"url": path.as_uri(), "endpoint": None, "credentials": {}}


def _source(root: Path, megabytes: int) -> str:
    home = root / "home"
    home.mkdir()
    for number in range(megabytes):
        (home / f"file-{number}").write_bytes(os.urandom(1 << 20))
    return f'type = "directory"\npath = "{home}"'


def test_a_disk_that_fills_leaves_its_replica_behind_and_room_brings_it_back(tmp_path: Path) -> None:
    with _small_disk(tmp_path / "small", 24):
        places = {"small": _place(tmp_path / "small"), **{n: _place(tmp_path / n) for n in ("one", "two")}}
        setting = Setting(tmp_path, places, {"home": _source(tmp_path, 48)})
        setting.initialize()
        result = setting.backup("home")
        outcomes = {outcome.replica: outcome for outcome in result.replicas}
        assert outcomes["one"].committed
        assert outcomes["two"].committed
        assert not outcomes["small"].committed
        assert outcomes["small"].error_code == "store-full"
        subprocess.run(["mount", "-o", "remount,size=200m", str(tmp_path / "small")], check=True)
        result = setting.backup("home")
        assert all(outcome.committed for outcome in result.replicas), result.replicas
        assert result.counts.bytes_new == 0
        setting.restore("home", tmp_path / "back", replica="small")
        assert fingerprint(tmp_path / "back") == fingerprint(tmp_path / "home")


def test_a_full_disk_under_the_quorum_fails_and_loses_nothing(tmp_path: Path) -> None:
    with _small_disk(tmp_path / "small", 16):
        places = {"small": _place(tmp_path / "small"), "one": _place(tmp_path / "one")}
        setting = Setting(tmp_path, places, {"home": _source(tmp_path, 30)}, quorum=2)
        setting.initialize()
        with pytest.raises(QuorumNotReached, match="small"):
            setting.backup("home")
        assert setting.snapshots() == []
        subprocess.run(["mount", "-o", "remount,size=200m", str(tmp_path / "small")], check=True)
        result = setting.backup("home")
        assert result.counts.bytes_stored < 20 << 20, "what was uploaded is not sent twice"
        setting.restore("home", tmp_path / "back", replica="small")
        assert fingerprint(tmp_path / "back") == fingerprint(tmp_path / "home")


def test_revoked_credentials_are_reported_from_trouble_that_passes(tmp_path: Path, fresh_place: FreshPlace) -> None:
    places = {"frankfurt": fresh_place("s3"), **{n: _place(tmp_path / n) for n in ("one", "two")}}
    setting = Setting(tmp_path, places, {"home": _source(tmp_path, 2)})
    setting.initialize()
    setting.backup("home")
    revoked = {**setting.environment, "FRANKFURT_SECRET_KEY": "no longer this one"}
    setting.config = load_config(setting.path, revoked)
    (tmp_path / "home" / "more").write_bytes(os.urandom(1000))
    result = setting.backup("home")
    outcome = next(outcome for outcome in result.replicas if outcome.replica == "frankfurt")
    assert not outcome.committed
    assert outcome.error_code == "store-denied"
    assert result.warned
    setting.config = load_config(setting.path, setting.environment)
    assert all(outcome.committed for outcome in setting.backup("home").replicas)


def test_a_server_killed_in_mid_upload_is_left_behind_and_comes_back(tmp_path: Path) -> None:
    with SeaweedServer() as server:
        server.create_bucket("copies")
        s3: Place = {
            "url": server.url("copies", "farshore"),
            "endpoint": server.address,
            "credentials": server.credentials,
        }
        places: dict[str, Place] = {"frankfurt": s3, **{n: _place(tmp_path / n) for n in ("one", "two")}}
        setting = Setting(tmp_path, places, {"home": _source(tmp_path, 150)})
        setting.initialize()
        with open_repository(setting.config, need=Need.WRITE, clock=setting.clock) as repository:
            meter = repository.replicas["frankfurt"].meter
            killer = threading.Thread(target=_kill_after_first_pack, args=(server, meter))
            killer.start()
            source = open_source(setting.config, "home", clock=setting.clock)
            result = run_backup(repository, source, run=Run.start(setting.clock))
            killer.join()
        outcomes = {outcome.replica: outcome for outcome in result.replicas}
        assert outcomes["one"].committed
        assert not outcomes["frankfurt"].committed
        assert outcomes["frankfurt"].error_code in ("store-unavailable", "store-paused")
        server.start()
        result = setting.backup("home")
        assert all(outcome.committed for outcome in result.replicas), result.replicas
        assert result.counts.bytes_new == 0
        setting.restore("home", tmp_path / "back", replica="frankfurt")
        assert fingerprint(tmp_path / "back") == fingerprint(tmp_path / "home")


def _kill_after_first_pack(server: SeaweedServer, meter: object) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and meter.snapshot().bytes_out < 20 << 20:  # type: ignore[attr-defined]
        time.sleep(0.005)
    server.kill()


def test_a_replica_swapped_for_another_repository_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first = Setting(tmp_path / "a", {n: _place(tmp_path / f"a-{n}") for n in ("one", "two")}, {})
    second = Setting(tmp_path / "b", {n: _place(tmp_path / f"b-{n}") for n in ("one", "two")}, {})
    first.initialize()
    second.initialize()
    mixed = dataclasses.replace(
        first.config, replicas={"one": first.config.replicas["one"], "two": second.config.replicas["two"]}
    )
    with open_repository(mixed, need=Need.WRITE, clock=first.clock) as repository:  # this host knows its own
        assert list(repository.replicas) == ["one"]
        assert repository.unreachable["two"].code == "repository-mismatch"
    stranger = dataclasses.replace(mixed, state_dir=tmp_path / "nothing")
    with pytest.raises(Exception, match="different repositories") as refused:
        open_repository(stranger, need=Need.WRITE, clock=first.clock)
    assert getattr(refused.value, "code", "") == "repository-mismatch"

"""Slow, stormy, dying and refusing replicas in a whole backup, on real servers where the trouble is a server's.

Each case ends alike: the quorum's truth is right, and every listed snapshot restores from every replica that lists it.
"""

from __future__ import annotations

import dataclasses
import http.client
import itertools
import os
import shutil
import threading
import time
from pathlib import Path

from farshore.access import open_repository
from farshore.access.open_source import open_source
from farshore.access.unlock import Need
from farshore.catalog.snapshots import list_snapshots
from farshore.config import load_config
from farshore.errors import StoreDenied
from farshore.ops.backup.backup import run_backup
from farshore.ops.restore.restore import restore_snapshot
from farshore.results import BackupResult, ReplicaOutcome
from farshore.run import Run
from farshore.stores.wrappers.retrying import BreakerStore, RetryingStore
from infra.local.seaweedfs import SeaweedServer
from tests.conftest import FreshPlace, PlaceUrl
from tests.contract.network import Answer, Asked, answering
from tests.doubles.faulty import Fault, FaultKind, FaultyStore
from tests.end_to_end.setting import Place, Setting
from tests.faults.world import fingerprint

SLOW_DOWN = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your rate.</Message></Error>"


def _place(path: Path) -> Place:
    path.mkdir(exist_ok=True)
    return {"url": path.as_uri(), "endpoint": None, "credentials": {}}


def _setting(root: Path, third: Place, *, megabytes: int, quorum: int = 2) -> Setting:
    home = root / "home"
    home.mkdir()
    for number in range(megabytes):
        (home / f"file-{number}").write_bytes(os.urandom(1 << 20))
    places = {"one": _place(root / "one"), "two": _place(root / "two"), "third": third}
    setting = Setting(root, places, {"home": f'type = "directory"\npath = "{home}"'}, quorum=quorum)
    setting.initialize()
    return setting


def _outcome(result: BackupResult) -> ReplicaOutcome:
    (third,) = (one for one in result.replicas if one.replica == "third")
    assert all(one.committed for one in result.replicas if one.replica != "third")
    return third


def _check_everything(setting: Setting) -> None:
    """Every listed snapshot restores from every replica that lists it; here all are of the same tree."""
    with open_repository(setting.config, need=Need.READ, clock=setting.clock) as repository:
        snapshots = list_snapshots(repository)
        assert snapshots
        for snapshot, replica in ((one, name) for one in snapshots for name in one.replicas):
            target = setting.root / "restored"
            restore_snapshot(repository, snapshot, target, replica=replica, run=Run.start(setting.clock))
            assert fingerprint(target) == fingerprint(setting.root / "home"), replica
            shutil.rmtree(target)


def test_one_replica_at_a_megabyte_a_second_holds_nobody_up(tmp_path: Path, fresh_place: FreshPlace) -> None:
    setting = _setting(tmp_path, fresh_place("s3"), megabytes=150)
    text = setting.path.read_text()
    setting.path.write_text(text.replace("[replicas.third]\n", '[replicas.third]\nbandwidth_up = "1 MB/s"\n'))
    setting.config = load_config(setting.path, setting.environment)
    started_s = time.monotonic()
    result = setting.backup("home")
    assert time.monotonic() - started_s < 100, "at a megabyte a second it takes 150 s alone"
    third = _outcome(result)
    assert (third.committed, third.error_code) == (False, "replica-too-slow")
    assert [one.code for one in result.warnings] == ["replica-left-behind"]
    assert list((tmp_path / "state" / "cache" / "spool").glob("run-*")) == []
    setting.path.write_text(text)
    setting.config = load_config(setting.path, setting.environment)
    again = setting.backup("home")
    assert _outcome(again).committed
    assert again.counts.bytes_new == 0
    _check_everything(setting)


def test_a_server_that_is_killed_and_comes_back_in_the_same_run_is_ridden_out(tmp_path: Path) -> None:
    """All three are the quorum, so the run waits for the one that is away, and goes on where it stopped."""
    with SeaweedServer() as server:
        server.create_bucket("copies")
        third = {"url": server.url("copies", "x"), "endpoint": server.address, "credentials": server.credentials}
        setting = _setting(tmp_path, third, megabytes=120, quorum=3)
        with open_repository(setting.config, need=Need.WRITE, clock=setting.clock) as repository:
            meter = repository.replicas["third"].meter

            def restart() -> None:
                deadline_s = time.monotonic() + 60
                while time.monotonic() < deadline_s and meter.snapshot().bytes_out < 20 << 20:
                    time.sleep(0.005)
                server.kill()
                time.sleep(1.0)
                server.start()

            restarting = threading.Thread(target=restart)
            restarting.start()
            result = run_backup(
                repository, open_source(setting.config, "home", clock=setting.clock), run=Run.start(setting.clock)
            )
            restarting.join()
            assert sum(meter.snapshot().failures.values()) > 0
        assert _outcome(result).committed
        assert result.warnings == ()
        _check_everything(setting)


def test_a_storm_of_503_is_ridden_out(tmp_path: Path, fresh_place: FreshPlace) -> None:
    """Every third request is told to slow down, in front of a real server."""
    place = fresh_place("s3")
    numbers, refused = itertools.count(1), []
    host = str(place["endpoint"]).removeprefix("http://")

    def script(asked: Asked) -> Answer:
        if next(numbers) % 3 == 0:
            refused.append(asked.path)
            return Answer(503, SLOW_DOWN, (("Content-Type", "application/xml"),))
        connection = http.client.HTTPConnection(host, timeout=30)
        headers = {name: value for name, value in asked.headers.items() if name not in ("expect", "connection")}
        connection.putrequest(asked.method, asked.path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(asked.body)
        answer = connection.getresponse()
        body = answer.read()
        kept = tuple(one for one in answer.getheaders() if one[0].lower() not in ("content-length", "connection"))
        connection.close()
        if asked.method == "HEAD":
            body = bytes(int(answer.getheader("Content-Length") or 0))
        return Answer(answer.status, body, kept)

    with answering(script) as address:
        third = PlaceUrl(url=place["url"], endpoint=address, credentials=place["credentials"])
        setting = _setting(tmp_path, third, megabytes=20)
        result = setting.backup("home")
        assert _outcome(result).committed
        assert len(refused) > 3
        _check_everything(setting)


def test_credentials_that_expire_in_the_run_leave_their_replica_behind_at_once(tmp_path: Path) -> None:
    setting = _setting(tmp_path, _place(tmp_path / "third"), megabytes=60)
    with open_repository(setting.config, need=Need.WRITE, clock=setting.clock) as repository:
        good = repository.replicas["third"]
        expired = threading.Event()

        def plan(verb: str, name: str, _number: int) -> Fault | None:
            if verb == "put" and name.startswith("packs/"):
                expired.set()
            return Fault(FaultKind.FAIL, StoreDenied) if expired.is_set() else None

        faulty = FaultyStore(good.meter, clock=setting.clock, plan=plan)
        store = RetryingStore(BreakerStore(faulty, clock=setting.clock), clock=setting.clock)
        repository.replicas = {**repository.replicas, "third": dataclasses.replace(good, store=store)}
        result = run_backup(
            repository, open_source(setting.config, "home", clock=setting.clock), run=Run.start(setting.clock)
        )
        refused = [one.name for one in faulty.calls if one.fault and one.name.startswith("packs/")]
    third = _outcome(result)
    assert (third.committed, third.error_code) == (False, "store-denied")
    assert store.retries == 0
    assert len(refused) == len(set(refused)) <= good.uploads, "none is tried twice, and none begun afterwards"
    assert _outcome(setting.backup("home")).committed
    _check_everything(setting)

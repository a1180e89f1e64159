"""One replica of three fails in every way that is known; each time the others carry on and heal makes it whole.

Every case ends alike: the outcome told is what the stores hold, every listed snapshot restores from every replica that
lists it, heal brings all replicas in sync, and a second heal finds nothing to do.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from farshore.access import open_repository
from farshore.access.open_source import open_source
from farshore.access.unlock import Need
from farshore.catalog import list_commit_names
from farshore.catalog.snapshots import list_snapshots
from farshore.clock import SystemClock
from farshore.config import load_config
from farshore.errors import ClockWrong
from farshore.ops.backup.backup import run_backup
from farshore.ops.heal.context import open_context
from farshore.ops.heal.heal import HealOptions, heal_repository
from farshore.ops.restore.restore import restore_snapshot
from farshore.ops.verify.verify import verify_repository
from farshore.repair.outcome import HealResult
from farshore.results import BackupResult, ReplicaOutcome
from farshore.run import Run
from farshore.stores.base import Store
from farshore.stores.wrappers.retrying import RetryingStore
from infra.local.seaweedfs import SeaweedServer
from tests.conftest import FreshPlace
from tests.doubles.faulty import CORRUPT, DENY, FAIL, FULL, LOSE_REPLY, STALE, TRUNCATE, VANISH, FaultyStore, Plan
from tests.end_to_end.setting import Place, Setting
from tests.faults.world import fingerprint

ROUND = "round.txt"
Wrap = Callable[[Store], Store]


@dataclass
class Shores:
    """A repository on an S3 server, a GCS server and a directory, with a source that changes by rounds."""

    root: Path
    setting: Setting
    expected: dict[str, dict[str, str]] = field(default_factory=dict)

    def change(self, megabytes: float = 1.0) -> None:
        """Add files to the source, and change one; remember all of it."""
        home = self.root / "home"
        home.mkdir(exist_ok=True)
        name = str(len(self.expected) + 1)
        for number in range(4):
            (home / f"{name}-{number}").write_bytes(os.urandom(int(megabytes * 250_000)))
        (home / ROUND).write_text(name)
        self.expected[name] = fingerprint(home)

    def backup(self, wrap: Wrap = lambda store: store) -> BackupResult:
        """Back up with the S3 replica behind a wrapper."""
        clock = self.setting.clock
        with open_repository(self.setting.config, need=Need.WRITE, clock=clock) as repository:
            if "frankfurt" in repository.replicas:
                hurt = repository.replicas["frankfurt"]
                wrapped = {"frankfurt": replace(hurt, store=wrap(hurt.store))}
                repository.replicas = {**repository.replicas, **wrapped}
            return run_backup(repository, open_source(self.setting.config, "home", clock=clock), run=Run.start(clock))

    def committed_at(self) -> dict[str, set[str]]:
        """Return, replica by replica, the snapshots whose commit records lie there, asked of the stores themselves."""
        with open_repository(self.setting.config, need=Need.WRITE, clock=self.setting.clock) as repository:
            return {
                name: {listed.snapshot_id for listed in list_commit_names(replica)}
                for name, replica in repository.replicas.items()
            }

    def heal(self, *, read_data: bool) -> HealResult:
        with open_context(self.setting.config, clock=self.setting.clock) as context:
            return heal_repository(context, HealOptions(read_data=read_data), run=Run.start(self.setting.clock))

    def conclude(self, result: BackupResult | None = None, *, read_data: bool = False) -> None:
        """Check how every case must end."""
        if result is not None:
            reported = {outcome.replica: outcome.committed for outcome in result.replicas}
            held = {name: result.snapshot_id in snapshots for name, snapshots in self.committed_at().items()}
            assert {name: reported[name] for name in held} == held, "what was told is not what the stores hold"
        if not read_data:
            self.restore_everything()
        assert self.heal(read_data=read_data).in_sync
        second = self.heal(read_data=read_data)
        assert (second.in_sync, second.changed) == (True, False)
        alike = self.committed_at()
        assert len({frozenset(snapshots) for snapshots in alike.values()}) == 1, alike
        assert self.restore_everything() == len(self.setting.places) * len(alike["vault"])
        with open_repository(self.setting.config, need=Need.READ, clock=self.setting.clock) as repository:
            verified = verify_repository(repository, read_data_percent=100.0, run=Run.start(self.setting.clock))
            assert verified.clean, [(one.replica, one.name, one.code) for one in verified.damaged]

    def restore_everything(self) -> int:
        """Restore every snapshot from every replica that lists it, alone, and compare; return how often."""
        count = 0
        shutil.rmtree(self.root / "state" / "cache", ignore_errors=True)
        with open_repository(self.setting.config, need=Need.READ, clock=self.setting.clock) as repository:
            for snapshot in list_snapshots(repository):
                for name in snapshot.replicas:
                    target = self.root / "restored"
                    restore_snapshot(repository, snapshot, target, replica=name, run=Run.start(self.setting.clock))
                    held = fingerprint(target)
                    assert held == self.expected[(target / ROUND).read_text()], (snapshot.snapshot_id, name)
                    shutil.rmtree(target)
                    count += 1
        return count


@pytest.fixture
def shores(tmp_path: Path, fresh_place: FreshPlace) -> Shores:
    return make_shores(tmp_path, fresh_place("s3"), fresh_place)


def make_shores(root: Path, frankfurt: Place, fresh_place: FreshPlace) -> Shores:
    (root / "vault").mkdir()
    vault: Place = {"url": (root / "vault").as_uri(), "endpoint": None, "credentials": {}}
    places: dict[str, Place] = {"frankfurt": frankfurt, "iowa": fresh_place("gs"), "vault": vault}
    setting = Setting(root, places, {"home": f'type = "directory"\npath = "{root / "home"}"'})
    setting.initialize()
    shores = Shores(root, setting)
    shores.change()
    shores.backup()
    shores.change()
    return shores


def outcome_of(result: BackupResult, replica: str = "frankfurt") -> ReplicaOutcome:
    (found,) = [one for one in result.replicas if one.replica == replica]
    return found


def behind(plan: Plan, clock: SystemClock) -> Wrap:
    """Return a wrapper with the faults below the retries, as a service has them."""
    return lambda store: RetryingStore(FaultyStore(store, clock=clock, plan=plan), clock=clock, base_s=0.01)


def of_verb(verb: str, plan: Plan, part: str = "") -> Plan:
    """Return a plan for calls of one verb about names that hold `part`, counted by themselves."""
    counted = iter(range(1, 1_000_000))
    return lambda called, name, _: plan(called, name, next(counted)) if called == verb and part in name else None


def every(step: int, fault: object) -> Plan:
    return lambda _verb, _name, number: fault if number % step == 0 else None  # type: ignore[return-value]


def after(count: int, fault: object) -> Plan:
    return lambda _verb, _name, number: fault if number > count else None  # type: ignore[return-value]


# What happens, and whether the replica can have the snapshot all the same (None: either is right, if told truly).
PASSING: dict[str, tuple[Plan, bool | None]] = {
    "503 at every third call": (every(3, FAIL), True),
    "503 for good": (after(12, FAIL), False),
    "a put that fails and is there all the same": (of_verb("put", every(2, LOSE_REPLY)), True),
    "a listing that breaks off": (of_verb("list", every(2, LOSE_REPLY)), True),
    "a success that never appears": (of_verb("put", every(1, VANISH), "packs/"), False),
    "a commit record that never appears": (of_verb("put", every(1, VANISH), "snapshots/"), False),
    "listings and looks that are stale": (lambda verb, _n, _c: STALE if verb in ("list", "head") else None, None),
    "answers cut short": (of_verb("get", every(2, TRUNCATE)), None),
    "credentials that expire": (after(12, DENY), False),
    "a disk that is full": (of_verb("put", after(2, FULL)), False),
}


@pytest.mark.parametrize("case", PASSING)
def test_a_replica_that_fails_is_reported_truly_and_healed(shores: Shores, case: str) -> None:
    plan, committed = PASSING[case]
    result = shores.backup(behind(plan, shores.setting.clock))
    outcome = outcome_of(result)
    assert committed in (None, outcome.committed), outcome
    assert [outcome_of(result, name).committed for name in ("iowa", "vault")] == [True, True]
    shores.conclude(result)


@pytest.mark.parametrize("fault", [CORRUPT, TRUNCATE], ids=["altered", "cut short"])
@pytest.mark.parametrize("part", ["packs/", "runs/", "index/", "keys/data"])
def test_what_a_service_keeps_wrongly_is_found_by_reading_and_replaced(
    shores: Shores, fault: object, part: str
) -> None:
    """The service acknowledges, reports a checksum of what it keeps, and keeps something else than it was sent."""
    result = shores.backup(behind(of_verb("put", every(1, fault), part), shores.setting.clock))
    assert outcome_of(result, "iowa").committed
    assert outcome_of(result, "vault").committed
    shores.conclude(result, read_data=True)


class SkewedStore(FaultyStore):
    """A service whose clock is an hour ahead."""

    def now_utc(self) -> datetime:
        return super().now_utc() + timedelta(hours=1)


class SkewedClock(SystemClock):
    """A host whose clock is an hour behind."""

    def now_utc(self) -> datetime:
        return super().now_utc() - timedelta(hours=1)


def test_a_service_whose_clock_is_an_hour_off_does_not_stop_the_others(shores: Shores) -> None:
    result = shores.backup(lambda store: SkewedStore(store, clock=shores.setting.clock))
    assert outcome_of(result, "iowa").committed
    shores.conclude(result)


def test_a_host_whose_clock_is_an_hour_off_loses_nothing(shores: Shores) -> None:
    right = shores.setting.clock
    shores.setting.clock = SkewedClock()
    before = shores.committed_at()
    with pytest.raises(ClockWrong):
        shores.backup()
    shores.setting.clock = right
    assert shores.committed_at() == before
    shores.conclude(shores.backup())


def test_a_server_that_is_killed_in_mid_upload_is_healed_when_it_is_back(
    tmp_path: Path, fresh_place: FreshPlace
) -> None:
    with SeaweedServer() as server:
        server.create_bucket("copies")
        place: Place = {
            "url": server.url("copies", "farshore"),
            "endpoint": server.address,
            "credentials": server.credentials,
        }
        shores = make_shores(tmp_path, place, fresh_place)
        shores.change(megabytes=60)
        killed = threading.Event()

        def kill() -> None:
            server.kill()
            killed.set()

        def kill_at_second_pack(verb: str, name: str, number: int) -> None:
            if verb == "put" and "packs/" in name and next(packs) == 1:
                threading.Thread(target=kill).start()

        packs = iter(range(1000))
        result = shores.backup(lambda store: FaultyStore(store, clock=shores.setting.clock, plan=kill_at_second_pack))
        assert killed.wait(60)
        assert not outcome_of(result).committed
        server.start()
        shores.conclude(result)


def test_a_replica_at_one_megabyte_a_second_holds_nobody_up(tmp_path: Path, fresh_place: FreshPlace) -> None:
    shores = make_shores(tmp_path, fresh_place("s3"), fresh_place)
    shores.change(megabytes=24)
    path = shores.setting.path
    full_speed = shores.setting.config
    slow = path.read_text().replace("[replicas.frankfurt]", '[replicas.frankfurt]\nbandwidth_up = "1 MB/s"')
    path.write_text(slow)
    shores.setting.config = load_config(path, shores.setting.environment)
    result = shores.backup()
    assert outcome_of(result, "iowa").committed
    shores.setting.config = full_speed
    shores.conclude(result)


def test_three_writers_at_once_share_one_repository(tmp_path: Path, fresh_place: FreshPlace) -> None:
    """Each is a process of its own with a state of its own, as on three hosts; much of what they store is alike."""
    shores = make_shores(tmp_path, fresh_place("s3"), fresh_place)
    alike = os.urandom(3_000_000)
    said = []
    for round_number in range(2):
        running = []
        for number in range(3):
            home = tmp_path / f"home-{number}"
            home.mkdir(exist_ok=True)
            (home / "alike").write_bytes(alike + bytes([round_number]))
            (home / f"own-{round_number}").write_bytes(os.urandom(2_000_000))
            (home / ROUND).write_text(f"{number} {round_number}")
            shores.expected[f"{number} {round_number}"] = fingerprint(home)
            running.append(_start_writer(shores, number, home))
        for process in running:
            printed, _ = process.communicate(timeout=200)
            assert process.returncode == 0, printed.decode()
            said.append(printed.decode())
    assert [len(snapshots) for snapshots in shores.committed_at().values()] == [7, 7, 7], "\n".join(said)
    shores.conclude()


def _start_writer(shores: Shores, number: int, home: Path) -> subprocess.Popen[bytes]:
    path = shores.root / f"writer-{number}.toml"
    text = shores.setting.path.read_text()
    text = text.replace(str(shores.root / "state"), str(shores.root / f"state-{number}"))
    path.write_text(f'{text}\n[sources.host-{number}]\ntype = "directory"\npath = "{home}"\n')
    with open_repository(shores.setting.config, need=Need.NONE, clock=shores.setting.clock) as repository:
        trusted = {"FARSHORE_REPOSITORY__FINGERPRINT": repository.header.fingerprint.hex()}
    environment = {**shores.setting.environment, **trusted, "PATH": os.environ["PATH"]}
    return subprocess.Popen(
        [sys.executable, "-m", "farshore", "--config", str(path), "backup", f"host-{number}"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip

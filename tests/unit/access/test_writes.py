"""What commands may change at the replicas that they open, seen at the replicas they really opened."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType

import pytest

from farshore.access import open_replica as opening
from farshore.access import open_repository
from farshore.access.open_replica import Writes
from farshore.access.unlock import Need
from farshore.cli.main import main
from farshore.clock import SystemClock
from farshore.config import load_config
from farshore.errors import FarshoreError, StoreReadOnly
from farshore.ops.setup.initialize import initialize
from farshore.replicas.repository import Replica
from farshore.stores.base import ANY_OBJECT
from farshore.stores.directory.trash import FOLDER
from farshore.stores.object_retention import Lock, LockMode
from tests.doubles.keys import CHEAP

ENVIRONMENT = {"FARSHORE_PASSPHRASE": "correct horse battery staple"}
READING = {
    "snapshots": ["snapshots"],
    "ls": ["ls", "home"],
    "diff": ["diff", "home", "home"],
    "find": ["find", "file"],
    "status": ["status", "--max-age", "1d"],
    "sql": ["sql", "SELECT count(*) FROM runs"],
    "cost": ["cost"],
    "plan": ["plan", "check", "--live"],
}
MENDING = ("cat", "restore", "verify --repair")  # under a lease, and after the entries of the log that a replica lacks
RECORDING = {
    "cat": ["cat", "home", "file"],
    "restore": ["restore", "home", "--target", "{tmp}/back"],
    "verify": ["verify"],
    "verify --remote": ["verify", "--remote"],
    "verify --repair": ["verify", "--repair"],
}


class Host:
    """A host with two replicas in directories and one snapshot, and what its commands opened."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "home").mkdir()
        (root / "home" / "file").write_bytes(os.urandom(200_000))
        tables = [f'[replicas.{one}]\nurl = "file://{root}/{one}"' for one in ("oslo", "rome")]
        for one in ("oslo", "rome"):
            (root / one).mkdir()
        (root / "farshore.toml").write_text(
            '[repository]\nquorum = 2\npassphrase = { env = "FARSHORE_PASSPHRASE" }\n'
            '[reads]\nprefer = "cheapest"\nhedge = false\n'  # of equal replicas the first
            + "\n".join([*tables, f'[sources.home]\ntype = "directory"\npath = "{root}/home"'])
        )
        self.environment = ENVIRONMENT | {name: str(root / name) for name in ("FARSHORE_STATE_DIR", "FARSHORE_CACHE")}
        initialize(load_config(root / "farshore.toml", self.environment), passphrase_cost=CHEAP, clock=SystemClock())
        assert self.run("backup", "home")[0] == 0

    def run(self, *words: str) -> tuple[int, str]:
        with (self.root / "out").open("w+") as stdout:
            stderr = io.StringIO()
            words = ("--config", str(self.root / "farshore.toml"), *(word.format(tmp=self.root) for word in words))
            code = main(words, self.environment, stdout, stderr, SystemClock())
            stdout.flush()
            return code, (self.root / "out").read_text(errors="replace") + stderr.getvalue()

    def pack(self, replica: str) -> Path:
        return next(path for path in (self.root / replica / "packs").rglob("*") if path.is_file())

    def objects(self) -> dict[str, bytes]:
        """Return every object but what a verify writes, rows and verdicts, and what a mend moved into the trash."""
        found = (path for one in ("oslo", "rome") for path in (self.root / one).rglob("*") if path.is_file())
        relative = {str(path.relative_to(self.root)): path.read_bytes() for path in found}
        return {
            name: data for name, data in relative.items() if not {"audit", "verdicts", FOLDER} & set(name.split("/"))
        }


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@contextmanager
def replicas_opened() -> Iterator[list[Replica]]:
    """Note each replica that is opened meanwhile, as the function that opens one returns it."""
    opened: list[Replica] = []

    def watch(frame: FrameType, event: str, value: object) -> None:
        if event == "return" and frame.f_code is opening.open_replica.__code__ and isinstance(value, Replica):
            opened.append(value)

    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        yield opened
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def refused(replica: Replica, name: str) -> list[str]:
    """Try to change an object of a replica in every way, and return the ways that were refused."""
    store = replica.store
    lock = Lock(LockMode.GOVERNANCE, store.now_utc() + timedelta(days=1))
    ways: dict[str, Callable[[], object]] = {
        "put": lambda: store.put(name, b"forced"),
        "delete": lambda: store.delete(name, ANY_OBJECT),
        "lock": lambda: store.extend_lock(name, lock),
        "hold": lambda: store.set_hold(name, held=True),
        "warm": lambda: store.warm(name, days=1),
    }
    found: list[str] = []
    for way, act in ways.items():
        try:
            act()
        except StoreReadOnly:
            found.append(way)
        except FarshoreError:
            continue
    return found


def names_at(replica: Replica) -> list[str]:
    return [info.name for info in replica.store.list()]


@pytest.mark.parametrize("command", READING)
def test_a_command_that_reads_can_change_nothing(host: Host, command: str) -> None:
    before = host.objects()
    with replicas_opened() as opened:
        code, said = host.run(*READING[command])
    assert code in (0, 3, 82), said  # 82: the plan of this host is not sound
    assert {one.name for one in opened} >= {"oslo"}, "the command opened no replica"
    for replica in opened:
        for name in (*names_at(replica), "audit/forced", "packs/forced"):
            assert refused(replica, name) == ["put", "delete", "lock", "hold", "warm"], (replica.name, name)
    assert host.objects() == before


@pytest.mark.parametrize("command", RECORDING)
def test_a_restore_or_a_check_adds_audit_rows_and_nothing_else(host: Host, command: str) -> None:
    before = host.objects()
    rows = len(list((host.root / "oslo" / "audit").rglob("*.parquet")))
    with replicas_opened() as opened:
        code, said = host.run(*RECORDING[command])
    assert code == 0, said
    assert len(list((host.root / "oslo" / "audit").rglob("*.parquet"))) > rows, said
    assert {one.name for one in opened} == {"oslo", "rome"}
    for replica in opened:
        for name in (*names_at(replica), "packs/forced"):
            below = ("audit/", "leases/", "keys/log/") if command in MENDING else ("audit/",)
            allowed = {"put"} if name.startswith(below) else set[str]()
            assert {"put", "delete", "lock", "hold", "warm"} - set(refused(replica, name)) == allowed, name
    assert host.objects() == before


@pytest.mark.parametrize(
    "words", [["restore", "home", "--target", "{tmp}/back"], ["verify", "--read-data", "--repair"]]
)
def test_what_is_read_and_proven_damaged_is_still_mended(host: Host, words: list[str]) -> None:
    before = host.objects()
    pack = host.pack("oslo")
    pack.chmod(0o600)
    pack.write_bytes(b"\0" * pack.stat().st_size)
    assert host.objects() != before
    code, said = host.run(*words)
    assert code in (0, 3), said
    after = host.objects()
    leases = {name for name in after if "/leases/" in name} - before.keys()
    assert {name: data for name, data in after.items() if name not in leases} == before, said
    assert {name.partition("/")[0] for name in leases} == {"oslo"}, "no lease where nothing is mended"


def test_a_check_without_repair_mends_nothing(host: Host) -> None:
    pack = host.pack("oslo")
    pack.unlink()
    with replicas_opened() as opened:
        assert host.run("verify")[0] == 62
    for replica in opened:
        with replica.guard.admit("packs/forced"):
            assert "put" in refused(replica, "packs/forced")
    assert not pack.exists()


def test_an_object_may_be_changed_only_while_it_is_mended(host: Host) -> None:
    config = load_config(host.root / "farshore.toml", host.environment)
    with open_repository(config, need=Need.NONE, writes=Writes.REPAIRS, clock=SystemClock()) as repository:
        replica = repository.replicas["oslo"]
        with replica.guard.admit("packs/one"), replica.guard.admit("packs/one"):
            replica.store.put("packs/one", b"good")
            assert refused(replica, "packs/other") == ["put", "delete", "lock", "hold", "warm"]
            with replica.guard.admit("packs/one"):
                pass
            replica.store.delete("packs/one", ANY_OBJECT)
        assert refused(replica, "packs/one") == ["put", "delete", "lock", "hold", "warm"]

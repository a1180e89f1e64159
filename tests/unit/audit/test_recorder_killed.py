from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import farshore
from farshore.audit import chain, names
from farshore.audit.tables import decode_rows
from farshore.clock import SystemClock
from farshore.stores.directory import DirectoryStore
from tests.doubles.signers import Signers
from tests.unit.audit.samples import REPOSITORY

KILLS = 25
REPLICAS = ("vault", "iowa")

_WRITER = """
import sys
from pathlib import Path
from farshore.audit.own_chain import open_chain_id
from farshore.audit.recorder import AuditRecorder
from farshore.audit.rows import Operation, RunResult, RunRow
from farshore.clock import SystemClock
from farshore.stores.directory import DirectoryStore
from tests.doubles.signers import sealer, signing_key

base, repository, first, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
clock = SystemClock()
recorder = AuditRecorder(
    stores={name: DirectoryStore(path=base / name, clock=clock) for name in ("vault", "iowa")},
    repository_id=repository,
    sealer=sealer(),
    chain_id=open_chain_id(base / "state", repository, signing_key(1).signer_id, clock),
    state_dir=base / "state",
    clock=clock,
)
print("ready", flush=True)
for number in range(first, first + count):
    run_id = f"run-{number}"
    now = clock.now_utc()
    row = RunRow(
        run_id=run_id, operation=Operation.BACKUP, state=RunResult.COMPLETED, started_utc=now, finished_utc=now
    )
    recorder.add(row)
    written = recorder.flush(run_id)
    assert not written.failed, written
    print(run_id, flush=True)
"""


def _start(base: Path, first: int, count: int) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(farshore.__file__).parent.parent)}
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(base), REPOSITORY, str(first), str(count)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.sweep
def test_a_kill_at_any_moment_leaves_no_gap_and_loses_no_flush(tmp_path: Path) -> None:
    for name in REPLICAS:
        (tmp_path / name).mkdir()
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    flushed: list[str] = []
    for turn in range(KILLS):
        with _start(tmp_path, turn * 1000, 1000) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            flushed += [process.stdout.readline().strip() for _ in range(turn % 3)]
            time.sleep(chance.uniform(0, 0.1))
            process.send_signal(signal.SIGKILL)
            flushed += process.stdout.read().split()
        assert process.returncode == -signal.SIGKILL
    with _start(tmp_path, KILLS * 1000, 1) as process:
        assert process.wait() == 0
    clock = SystemClock()
    contents = []
    for name in REPLICAS:
        store = DirectoryStore(path=tmp_path / name, clock=clock)
        seals = [(info.name, store.get(info.name)) for info in store.list(names.SEALS)]
        sizes = {info.name: info.size for info in store.list(names.AUDIT)}
        found = chain.verify_seals(seals, Signers().authority, sizes, store.get, settled=True)
        assert found == []
        rows = [
            row["run_id"]
            for path in sizes
            if names.table_of(path)
            for row in decode_rows("runs", path, store.get(path))
        ]
        assert len(rows) == len(set(rows))
        assert set(flushed) <= set(rows)
        contents.append(sorted(sizes))
    assert contents[0] == contents[1]
    assert len(flushed) >= KILLS - 1

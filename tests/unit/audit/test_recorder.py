from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from farshore.audit import chain, names
from farshore.audit.outbox import Head, Outbox
from farshore.audit.own_chain import MadeCommit, open_chain_id
from farshore.audit.recorder import AuditRecorder, AuditWritten
from farshore.audit.rows import (
    SCHEMA_VERSION,
    AuditRow,
    CheckRow,
    CopyRow,
    CopyState,
    Operation,
    PartState,
    ReplicaPart,
    RunResult,
    RunRow,
)
from farshore.audit.schema import TABLES
from farshore.audit.seals import Seal, SeenHeads
from farshore.audit.tables import decode_rows
from farshore.clock import SystemClock
from farshore.errors import ConfigInvalid, StoreDenied, StoreUnavailable
from farshore.format.names import hash_of
from farshore.limits import AUDIT_FILE_ROWS_MAX
from farshore.stores.base import Store
from farshore.stores.memory import MemoryStore
from tests.doubles.clock import FixedClock
from tests.doubles.faulty import DENY, FAIL, LOSE_REPLY, Fault, FaultyStore, at_call, at_random
from tests.doubles.signers import EVERY_RIGHT, HEAD, Signers, chain_of, sealer, signing_key
from tests.unit.audit.samples import REPOSITORY, repository_rows
from tests.unit.replicas.clocks import StillClock

SIGNERS = Signers()
SIGNER = signing_key(1).signer_id
CHAIN = chain_of(1)
MOMENT = datetime(2026, 11, 21, 4, tzinfo=UTC)

Recorder = Callable[..., AuditRecorder]


class Switched:
    """A plan of faults that is switched on and off."""

    def __init__(self, fault: Fault = FAIL) -> None:
        self.away = False
        self.fault = fault

    def __call__(self, verb: str, name: str, number: int) -> Fault | None:
        return self.fault if self.away else None


@pytest.fixture
def stores() -> dict[str, Store]:
    return {name: MemoryStore(clock=FixedClock()) for name in ("vault", "iowa", "sydney")}


@pytest.fixture
def recorder(stores: dict[str, Store], tmp_path: Path) -> Recorder:
    clock = StillClock(MOMENT)

    def make(**changes: object) -> AuditRecorder:
        values: dict[str, object] = {
            "stores": stores,
            "repository_id": REPOSITORY,
            "sealer": sealer(),
            "chain_id": CHAIN,
            "state_dir": tmp_path / "state",
            "clock": clock,
        }
        return AuditRecorder(**(values | changes))  # type: ignore[arg-type]

    return make


def _run(run_id: str = "run", **changes: object) -> RunRow:
    row = RunRow(
        run_id=run_id, operation=Operation.BACKUP, state=RunResult.COMPLETED, started_utc=MOMENT, finished_utc=MOMENT
    )
    return replace(row, **changes)  # type: ignore[arg-type]


def _record(recorder: AuditRecorder, rows: Sequence[AuditRow], run_id: str) -> AuditWritten:
    for row in rows:
        recorder.add(row)
    return recorder.flush(run_id)


def _names(store: Store) -> list[str]:
    return [info.name for info in store.list()]


def _findings(store: Store) -> list[chain.SealFinding]:
    seals = [(info.name, store.get(info.name)) for info in store.list(names.SEALS)]
    sizes = {info.name: info.size for info in store.list(names.AUDIT)}
    return chain.verify_seals(seals, SIGNERS.authority, sizes, store.get, settled=True)


def _rows(store: Store) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = {}
    for name in _names(store):
        table = names.table_of(name)
        if table:
            found.setdefault(table, []).extend(decode_rows(table, name, store.get(name)))
    return found


def _last_sequence(store: Store) -> int:
    places = [names.parse_seal(name) for name in _names(store)]
    return max((place.sequence for place in places if place), default=0)


def test_every_replica_gets_the_same_signed_files(recorder: Recorder, stores: Mapping[str, Store]) -> None:
    recording = recorder()
    rows = list(repository_rows())
    for run_id in dict.fromkeys(row.run_id for row in rows):
        written = _record(recording, [row for row in rows if row.run_id == run_id], run_id)
        assert written.failed == ()
        assert set(written.replicas) == set(stores)
    contents = [{name: store.get(name) for name in _names(store)} for store in stores.values()]
    assert contents[0] == contents[1] == contents[2]
    for store in stores.values():
        assert _findings(store) == []
        assert sum(len(found) for found in _rows(store).values()) == len(rows)
        assert set(_rows(store)) == set(TABLES)


def test_objects_are_named_for_engines_and_for_the_chain(recorder: Recorder, stores: Mapping[str, Store]) -> None:
    written = _record(recorder(), [_run()], "run")
    file_name, seal = written.objects
    assert file_name.startswith("audit/runs/date=2026-11-21/run-")
    assert file_name.endswith(".parquet")
    assert names.is_whole(file_name, stores["iowa"].get(file_name))
    assert re.fullmatch(f"audit/_seals/{CHAIN}/000000000001-[0-9a-f]{{64}}\\.json", seal)


def test_rows_carry_the_repository_and_the_moment(recorder: Recorder, stores: Mapping[str, Store]) -> None:
    _record(recorder(), [_run(engine="prefect")], "run")
    (row,) = _rows(stores["vault"])["runs"]
    assert (row["repository_id"], row["recorded_utc"], row["schema_version"]) == (REPOSITORY, MOMENT, SCHEMA_VERSION)
    assert (row["run_id"], row["engine"]) == ("run", "prefect")


@pytest.mark.parametrize(("paths", "expected"), [(False, None), (True, ["secret plans.txt"])])
def test_names_of_files_are_written_only_when_asked_for(
    recorder: Recorder, stores: Mapping[str, Store], paths: bool, expected: list[str] | None
) -> None:
    part = ReplicaPart(replica="iowa", state=PartState.FAILED, error_code="bug", error="at secret plans.txt")
    failed = {"error": "cannot read secret plans.txt", "error_code": "source-changed", "state": "failed"}
    check = CheckRow(
        run_id="run",
        check_id="run",
        replica="iowa",
        state="altered",
        object="packs/aa/00",
        started_utc=MOMENT,
        finished_utc=MOMENT,
        paths=("secret plans.txt",),
        paths_total=1,
    )
    _record(recorder(paths=paths), [_run(replicas=(part,), **failed), check], "run")
    rows = _rows(stores["vault"])
    assert rows["checks"][0]["paths"] == expected
    assert rows["checks"][0]["paths_total"] == 1
    assert rows["runs"][0]["error_code"] == "source-changed"
    assert ("secret plans" in repr(rows)) is paths


def test_messages_that_name_no_file_are_kept(recorder: Recorder, stores: Mapping[str, Store]) -> None:
    _record(recorder(), [_run(error="1 of 2 replicas hold it", error_code="quorum-not-reached")], "run")
    assert _rows(stores["vault"])["runs"][0]["error"] == "1 of 2 replicas hold it"


def test_a_replica_that_is_away_is_named_and_gets_everything_later(
    recorder: Recorder, stores: dict[str, Store]
) -> None:
    plan = Switched()
    stores["iowa"] = FaultyStore(stores["iowa"], clock=FixedClock(), plan=plan)
    recording = recorder()
    _record(recording, [_run("run-1")], "run-1")
    plan.away = True
    for number in (2, 3):
        written = _record(recording, [_run(f"run-{number}")], f"run-{number}")
        assert written.failed == ("iowa",)
        assert written.replicas["iowa"].startswith("store-unavailable: ")
    plan.away = False
    assert _findings(stores["iowa"]) == []
    assert len(_rows(stores["iowa"])["runs"]) == 1
    written = recorder().flush("run-4")  # another process: nothing but the state directory is left of the first
    assert written.failed == ()
    assert _names(stores["iowa"]) == _names(stores["vault"])
    assert _findings(stores["iowa"]) == []


def test_a_configured_replica_that_is_not_open_gets_everything_later(
    recorder: Recorder, stores: dict[str, Store]
) -> None:
    opened = {name: store for name, store in stores.items() if name != "sydney"}
    written = _record(recorder(stores=opened, configured=tuple(stores)), [_run("run-1")], "run-1")
    assert set(written.replicas) == set(opened)
    _record(recorder(), [_run("run-2")], "run-2")
    assert _names(stores["sydney"]) == _names(stores["vault"])
    assert _findings(stores["sydney"]) == []


def test_a_flush_can_be_repeated(recorder: Recorder, stores: Mapping[str, Store]) -> None:
    recording = recorder()
    first = _record(recording, [_run()], "run")
    assert recording.flush("run") == first
    second = _record(recording, [_run(state=RunResult.FAILED)], "run")
    assert second.objects[: len(first.objects)] == first.objects
    assert len(_rows(stores["vault"])["runs"]) == 2
    assert _findings(stores["vault"]) == []
    assert recording.flush("another") == AuditWritten((), dict.fromkeys(stores, ""))


@pytest.mark.sweep
@pytest.mark.parametrize("kind", [FAIL, LOSE_REPLY], ids=["fails", "loses the reply"])
def test_a_fault_at_any_call_leaves_no_gap(recorder: Recorder, stores: dict[str, Store], kind: Fault) -> None:
    whole = stores["iowa"]
    for number in range(1, 12):
        stores["iowa"] = FaultyStore(whole, clock=FixedClock(), plan=at_call(number, kind))
        run_id = f"run-{number}"
        recording = recorder()
        recording.add_columns(run_id)
        _record(recording, [_run(run_id)], run_id)
    stores["iowa"] = whole
    assert recorder().flush("last").failed == ()
    assert _names(whole) == _names(stores["vault"])
    assert _findings(whole) == []


def test_random_faults_at_all_replicas_leave_no_gap(tmp_path: Path) -> None:
    clock = StillClock(MOMENT)
    whole = {name: MemoryStore(clock=clock) for name in ("vault", "iowa")}
    faulty = {
        name: FaultyStore(store, clock=clock, plan=at_random(FixedClock(seed=number), 0.3))
        for number, (name, store) in enumerate(whole.items())
    }

    def make(stores: Mapping[str, Store]) -> AuditRecorder:
        return AuditRecorder(
            stores=stores,
            repository_id=REPOSITORY,
            sealer=sealer(),
            chain_id=CHAIN,
            state_dir=tmp_path,
            clock=clock,
        )

    lost = 0
    for number in range(60):
        run_id = f"run-{number}"
        try:
            _record(make(faulty), [_run(run_id)], run_id)
        except StoreUnavailable:
            lost += 1
            assert number == 0, "only a host without a record of its chain needs an answer"
    make(whole).flush("last")
    for store in whole.values():
        assert _findings(store) == []
        assert len(_rows(store)["runs"]) == 60 - lost


def test_a_host_that_lost_its_state_finds_its_place_again(
    recorder: Recorder, stores: Mapping[str, Store], tmp_path: Path
) -> None:
    _record(recorder(), [_run("run-1")], "run-1")
    shutil.rmtree(tmp_path / "state")
    _record(recorder(), [_run("run-2")], "run-2")
    assert _last_sequence(stores["vault"]) == 2
    assert _findings(stores["vault"]) == []


def test_a_host_that_was_set_back_finds_its_place_again(
    recorder: Recorder, stores: Mapping[str, Store], tmp_path: Path
) -> None:
    _record(recorder(), [_run("run-1")], "run-1")
    shutil.copytree(tmp_path / "state", tmp_path / "image")
    _record(recorder(), [_run("run-2")], "run-2")
    _record(recorder(), [_run("run-3")], "run-3")
    shutil.rmtree(tmp_path / "state")
    shutil.copytree(tmp_path / "image", tmp_path / "state")
    _record(recorder(), [_run("run-4")], "run-4")
    assert _last_sequence(stores["vault"]) == 4
    assert _findings(stores["vault"]) == []


def test_a_spoilt_head_is_read_from_the_replicas(
    recorder: Recorder, stores: Mapping[str, Store], tmp_path: Path
) -> None:
    _record(recorder(), [_run("run-1")], "run-1")
    (head,) = (tmp_path / "state").rglob("head.json")
    head.write_bytes(b"")
    _record(recorder(), [_run("run-2")], "run-2")
    assert _findings(stores["vault"]) == []


def test_without_state_and_replicas_the_rows_wait(recorder: Recorder, stores: dict[str, Store]) -> None:
    plans = {name: Switched() for name in stores}
    for name, store in list(stores.items()):
        stores[name] = FaultyStore(store, clock=FixedClock(), plan=plans[name])
        plans[name].away = True
    recording = recorder()
    recording.add(_run())
    with pytest.raises(StoreUnavailable, match="last of this host"):
        recording.flush("run")
    for plan in plans.values():
        plan.away = False
    assert recording.flush("run").failed == ()
    assert len(_rows(stores["vault"])["runs"]) == 1


def test_planted_seals_neither_clash_nor_move_the_chain(recorder: Recorder, stores: Mapping[str, Store]) -> None:
    _record(recorder(), [_run("run-1")], "run-1")
    for place in (2, 3, 999_999_999_999):
        stores["iowa"].put(names.seal_name(CHAIN, place, hash_of(b"planted")), b"planted")
    for number in (2, 3):
        assert _record(recorder(), [_run(f"run-{number}")], f"run-{number}").failed == ()
    assert _last_sequence(stores["vault"]) == 3
    assert [finding.code for finding in _findings(stores["vault"])] == []
    assert {finding.code for finding in _findings(stores["iowa"])} == {"bad-seal"}


def test_a_denied_replica_does_not_stop_the_others(recorder: Recorder, stores: dict[str, Store]) -> None:
    plan = Switched(DENY)
    stores["sydney"] = FaultyStore(stores["sydney"], clock=FixedClock(), plan=plan)
    plan.away = True
    written = _record(recorder(), [_run()], "run")
    assert written.failed == ("sydney",)
    assert written.replicas["sydney"].startswith(f"{StoreDenied.code}: ")
    assert _findings(stores["vault"]) == []


def test_many_rows_are_cut_into_files(recorder: Recorder, stores: Mapping[str, Store]) -> None:
    recording = recorder()
    row = CopyRow(
        run_id="run", object="packs/aa/00", replica="iowa", provider="s3", state=CopyState.ACKNOWLEDGED, bytes=1
    )
    for number in range(AUDIT_FILE_ROWS_MAX + 1):
        recording.add(replace(row, bytes=number))
    written = recording.flush("run")
    assert len(written.objects) == 3
    rows = _rows(stores["vault"])["copies"]
    assert sorted(str(row["bytes"]) for row in rows) == sorted(map(str, range(AUDIT_FILE_ROWS_MAX + 1)))
    assert _findings(stores["vault"]) == []


def test_hosts_have_chains_of_their_own(recorder: Recorder, stores: Mapping[str, Store], tmp_path: Path) -> None:
    for number in range(3):
        clock = FixedClock(MOMENT, seed=number)
        state_dir = tmp_path / f"host-{number}"
        chain_id = open_chain_id(state_dir, REPOSITORY, SIGNER, clock)
        assert open_chain_id(state_dir, REPOSITORY, SIGNER, SystemClock()) == chain_id
        run_id = f"run-{number}"
        _record(recorder(chain_id=chain_id, state_dir=state_dir, clock=clock), [_run(run_id)], run_id)
    assert len(list(stores["vault"].list(names.SEALS))) == 3
    assert _findings(stores["vault"]) == []


def test_a_spoilt_chain_id_begins_a_new_chain(tmp_path: Path) -> None:
    first = open_chain_id(tmp_path, REPOSITORY, SIGNER, SystemClock())
    (place,) = tmp_path.rglob("chain-*")
    for spoilt in (b"", bytes(32), b"\xff"):
        place.write_bytes(spoilt)
        again = open_chain_id(tmp_path, REPOSITORY, SIGNER, SystemClock())
        assert len(bytes.fromhex(again)) == 16
        assert again != first


def test_one_host_may_run_many_at_once(stores: Mapping[str, Store], tmp_path: Path) -> None:
    clock = SystemClock()
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        chain_id = open_chain_id(tmp_path, REPOSITORY, SIGNER, clock)
        recording = AuditRecorder(
            stores=stores,
            repository_id=REPOSITORY,
            sealer=sealer(),
            chain_id=chain_id,
            state_dir=tmp_path,
            clock=clock,
        )
        for turn in range(5):
            run_id = f"run-{number}-{turn}"
            assert _record(recording, [_run(run_id)], run_id).failed == ()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    for store in stores.values():
        assert _last_sequence(store) == 40
        assert _findings(store) == []
        assert len(_rows(store)["runs"]) == 40
    assert not list(tmp_path.rglob("parcels/*"))


def _seals(store: Store) -> list[Seal]:
    opened = [chain.open_seal(info.name, store.get(info.name), SIGNERS.authority) for info in store.list(names.SEALS)]
    return sorted((one for one in opened if isinstance(one, Seal)), key=lambda seal: seal.sequence)


def test_the_first_seal_of_a_day_covers_what_was_made_since_the_last_one(
    recorder: Recorder, stores: Mapping[str, Store]
) -> None:
    clock = StillClock(MOMENT)
    commits = [f"{number:064x}" for number in range(4)]
    for number, commit in enumerate(commits):
        recording = recorder(clock=clock)
        recording.add_commit(f"run-{number}", MadeCommit(commit, "ab" * 16, f"{number:032x}", 1))
        _record(recording, [_run(f"run-{number}")], f"run-{number}")
        if number == 2:
            clock.advance(86_400)
    first, second, third, daily = _seals(stores["vault"])
    assert (first.covers, second.covers, third.covers) == ((commits[0],), None, None)
    assert daily.covers == tuple(sorted([second.hash, third.hash, *commits[1:]]))
    assert [one.log for one in (first, daily)] == [HEAD, HEAD]


def test_a_host_that_lost_its_record_covers_what_nothing_covers_yet(
    recorder: Recorder, stores: Mapping[str, Store], tmp_path: Path
) -> None:
    for number in (1, 2, 3):
        _record(recorder(), [_run(f"run-{number}")], f"run-{number}")
    shutil.rmtree(tmp_path / "state")
    own = {"ab" * 32: MOMENT}
    _record(recorder(sealer=sealer(own_commits=own)), [_run("run-4")], "run-4")
    seals = _seals(stores["vault"])
    assert seals[-1].covers == tuple(sorted([seals[1].hash, seals[2].hash, *own]))
    assert _findings(stores["vault"]) == []


def test_a_seal_names_the_heads_of_others_once(recorder: Recorder, stores: Mapping[str, Store]) -> None:
    other, mine = chain_of(2), (5, "aa" * 32)
    seen = SeenHeads({"11" * 16: "bb" * 32}, {other: (3, "cc" * 32), CHAIN: mine})
    _record(recorder(sealer=sealer(seen=seen)), [_run("run-1")], "run-1")
    _record(recorder(sealer=sealer(seen=seen)), [_run("run-2")], "run-2")
    later = SeenHeads(seen.sources, {other: (4, "dd" * 32)})
    _record(recorder(sealer=sealer(seen=later)), [_run("run-3")], "run-3")
    assert [one.heads for one in _seals(stores["vault"])] == [
        SeenHeads(seen.sources, {other: (3, "cc" * 32)}), SeenHeads(), SeenHeads({}, later.chains)
    ]  # fmt: skip


def test_a_credential_and_a_passphrase_on_one_host_have_two_chains(
    recorder: Recorder, stores: Mapping[str, Store], tmp_path: Path
) -> None:
    both = Signers({1: EVERY_RIGHT, 2: EVERY_RIGHT})
    for number in (1, 2, 1):
        key = signing_key(number)
        chain_id = open_chain_id(tmp_path / "state", REPOSITORY, key.signer_id, FixedClock())
        _record(recorder(chain_id=chain_id, sealer=sealer(number)), [_run(str(number))], str(number))
    seals = [(info.name, stores["vault"].get(info.name)) for info in stores["vault"].list(names.SEALS)]
    assert len({names.parse_seal(name).chain for name, _ in seals}) == 2  # type: ignore[union-attr]
    sizes = {info.name: info.size for info in stores["vault"].list(names.AUDIT)}
    assert chain.verify_seals(seals, both.authority, sizes, stores["vault"].get, settled=True) == []


def test_a_new_repository_has_the_columns_of_every_table(recorder: Recorder, stores: Mapping[str, Store]) -> None:
    recording = recorder()
    recording.add_columns("run")
    recording.flush("run")
    assert {name: len(rows) for name, rows in _rows(stores["vault"]).items()} == dict.fromkeys(TABLES, 0)


def test_a_state_directory_that_cannot_be_used_is_reported(recorder: Recorder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    recording = recorder(state_dir=tmp_path / "file")
    recording.add(_run())
    with pytest.raises(ConfigInvalid, match="state directory"):
        recording.flush("run")
    with pytest.raises(ConfigInvalid, match="state directory"):
        open_chain_id(tmp_path / "file", REPOSITORY, SIGNER, FixedClock())


def test_the_outbox_is_bounded(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, bytes_max=250)
    for sequence in range(1, 6):
        with outbox.locked():
            outbox.add(Head(sequence, f"digest {sequence}"), [("audit/a", bytes(100))], ["iowa"])
    assert [flush.sequence for flush in outbox.unsent()] == [4, 5]
    with outbox.locked():
        assert outbox.head() == Head(5, "digest 5")


def test_a_kill_between_flush_and_head_is_seen(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    with outbox.locked():
        outbox.add(Head(1, "one"), [("audit/a", b"a")], ["iowa"])
        before = (tmp_path / "head.json").read_bytes()
        outbox.add(Head(2, "two"), [("audit/b", b"b")], ["iowa"])
    (tmp_path / "head.json").write_bytes(before)
    (tmp_path / "building-left").mkdir()
    for flush in outbox.unsent():
        flush.done("iowa")
    with outbox.locked():
        assert outbox.head() == Head(2, "two")
        outbox.add(Head(3, "three"), [("audit/c", b"c")], [])
    assert not (tmp_path / "building-left").exists()


def test_any_name_of_a_replica_can_wait(tmp_path: Path) -> None:
    replicas = ("..", "a/b", "büro", "x y", "")
    outbox = Outbox(tmp_path)
    with outbox.locked():
        outbox.add(Head(1, "one"), [("audit/a", b"a")], replicas)
    (flush,) = outbox.unsent()
    for replica in replicas:
        assert flush.waits_for(replica)
        flush.done(replica)
        flush.done(replica)
    assert outbox.unsent() == []

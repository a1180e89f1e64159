from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

import pytest

from farshore.audit import names
from farshore.audit.cache import cache_root
from farshore.audit.engines import QueryTable, names_needed
from farshore.audit.query import TablesAt, query
from farshore.audit.recorder import AuditRecorder
from farshore.audit.rows import CopyRow, CopyState
from farshore.audit.schema import TABLES
from farshore.audit.views import VIEWS, columns_of, reads_of, tables_of
from farshore.errors import (
    ConfigInvalid,
    FarshoreError,
    ObjectCorrupt,
    ObjectNotFound,
    QueryInvalid,
    StoreUnavailable,
    ToolUnavailable,
)
from farshore.stores.memory import MemoryStore, Shelf
from farshore.stores.wrappers.metered import MeteredStore
from tests.doubles.clock import FixedClock
from tests.doubles.faulty import CORRUPT, FAIL, TRUNCATE, Fault, FaultyStore
from tests.doubles.signers import Signers, chain_of, sealer
from tests.unit.audit.samples import BACKUPS, PACKS, REPOSITORY, SOURCES, START, repository_rows
from tests.unit.replicas.clocks import StillClock

Ask = Callable[..., QueryTable]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    found = Shelf()
    clock = StillClock(START, seed=3)
    recorder = AuditRecorder(
        stores={"vault": MemoryStore(shelf=found, clock=clock)},
        repository_id=REPOSITORY,
        sealer=sealer(),
        chain_id=chain_of(1),
        state_dir=tmp_path_factory.mktemp("state"),
        clock=clock,
    )
    for run_id, rows in groupby(repository_rows(), key=lambda row: row.run_id):
        for row in rows:
            recorder.add(row)
        recorder.flush(run_id)
        clock.advance(600)
    return found


@pytest.fixture
def shelf(sample: Shelf) -> Shelf:
    """A replica's objects: the rows of the sample repository, to spoil."""
    return Shelf(objects=dict(sample.objects))


@pytest.fixture
def store(shelf: Shelf) -> MeteredStore:
    return MeteredStore(MemoryStore(shelf=shelf, clock=FixedClock()))


@pytest.fixture
def ask(store: MeteredStore, tmp_path: Path) -> Ask:
    def call(sql: str, **changes: object) -> QueryTable:
        how = {key: changes.pop(key) for key in ("engine", "fetched") if key in changes}
        values: dict[str, object] = {"store": store, "cache_dir": tmp_path / "cache", "replica": "vault"}
        values |= {"repository_id": REPOSITORY, "authority": Signers().authority}
        return query(TablesAt(**(values | changes)), sql, **how)  # type: ignore[arg-type]

    return call


def _first(shelf: Shelf, table: str) -> str:
    return min(name for name in shelf.objects if names.table_of(name) == table)


def _gets(store: MeteredStore) -> int:
    return store.snapshot().requests.get("get", 0)


def test_an_answer_is_plain_python(ask: Ask) -> None:
    columns = ("source", "started_utc", "bytes_total", "replicas_committed", "facts", "date")
    answer = ask(f"SELECT {', '.join(columns)} FROM snapshots ORDER BY started_utc LIMIT 1")
    assert answer.columns == columns
    ((source, started_utc, bytes_total, replicas, facts, day),) = answer.rows
    assert isinstance(source, str)
    assert isinstance(started_utc, datetime)
    assert started_utc.tzinfo is UTC
    assert (bytes_total, replicas, facts) == (10**15, ["vault", "iowa"], [{"key": "server", "value": "18.6"}])
    assert day == date(2026, 11, 20)


def test_nothing_is_drawn_on_standard_output_while_a_slow_query_runs(ask: Ask) -> None:
    assert ask("SELECT current_setting('enable_progress_bar')").rows == [(False,)]


def test_sums_are_exact_integers(ask: Ask) -> None:
    ((total,),) = ask("SELECT sum(bytes_total) FROM snapshots").rows
    assert total == 2 * sum(10**15 + number for number in range(BACKUPS))
    assert isinstance(total, int)


def test_every_table_and_view_of_a_new_repository_can_be_asked(ask: Ask, tmp_path: Path) -> None:
    empty = MemoryStore(clock=FixedClock())
    for name in (*TABLES, *VIEWS):
        assert ask(f"SELECT * FROM {name}", store=empty, cache_dir=tmp_path / "new").rows == []
    described = ask("DESCRIBE restores", store=empty, cache_dir=tmp_path / "new").rows
    assert [row[0] for row in described] == [*(column.name for column in TABLES["restores"].columns), "date"]
    assert {row[0]: row[1] for row in described}["date"] == "DATE"


def test_the_columns_of_a_view_are_known_without_an_engine(ask: Ask) -> None:
    for name in VIEWS:
        assert columns_of(name) in ((), ask(f"SELECT * FROM {name} LIMIT 0").columns), name
    assert columns_of("snapshots")


def test_views_answer_what_everybody_asks(ask: Ask) -> None:
    last = ask("SELECT source, replicas_committed FROM last_good_backup ORDER BY source").rows
    assert last == [("home", ["vault"]), ("shop", ["vault"])]
    complete = ask("SELECT replica, count(*) FROM copies_per_snapshot WHERE complete GROUP BY replica ORDER BY replica")
    assert complete.rows == [("iowa", 2 * 3), ("vault", 2 * BACKUPS)]
    per_day = ask("SELECT day, source, snapshots, bytes_stored FROM bytes_per_source_per_day ORDER BY day, source").rows
    assert sum(int(str(row[2])) for row in per_day) == 2 * BACKUPS
    assert per_day[0] == (date(2026, 11, 20), "home", 3, 9000)
    touched = ask("SELECT count(*), min(source), max(source), min(replica) FROM damage_impact").rows
    assert touched == [(BACKUPS, "shop", "shop", "vault")]
    proven = ask("SELECT replica, packs, never_read, never_proven FROM replica_proofs ORDER BY replica").rows
    assert proven == [("iowa", 2 * PACKS * 6, 2 * PACKS * 6, 2 * PACKS * 6), ("vault", 48, 47, 1)]
    states = ask("SELECT read_state, remote_state, count(*) FROM object_proofs GROUP BY 1, 2 ORDER BY 3").rows
    assert states == [("altered", "altered", 1), (None, None, 36), (None, "ok", 47)]
    assert [row[0] for row in ask("SELECT method FROM checks_now ORDER BY method").rows] == ["read", "remote"]
    open_repairs = ask("SELECT replica, found, action, snapshot_ids FROM repairs_open ORDER BY found").rows
    assert open_repairs == [("vault", "altered", "refused", ["s1", "s2"]), ("vault", "missing", "left", ["s1", "s2"])]


def test_views_count_a_row_once_that_was_written_twice(ask: Ask, shelf: Shelf, tmp_path: Path) -> None:
    clock = StillClock(START + timedelta(days=1), seed=99)
    recorder = AuditRecorder(
        stores={"vault": MemoryStore(shelf=shelf, clock=clock)},
        repository_id=REPOSITORY,
        sealer=sealer(),
        chain_id=chain_of(1, 9),
        state_dir=tmp_path / "again",
        clock=clock,
    )
    once = sorted(VIEWS.keys() - {"snapshots", "objects"})  # which are rows as they were written
    before = {name: ask(f"SELECT count(*) FROM {name}").rows for name in once}
    run_id = next(iter(repository_rows())).run_id
    for row in repository_rows():
        if row.run_id == run_id:
            recorder.add(row)
    recorder.flush(run_id)
    assert ask("SELECT count(*) FROM snapshots").rows == [(2 * BACKUPS + 1,)]
    assert {name: ask(f"SELECT count(*) FROM {name}").rows for name in once} == before
    assert ask("SELECT max(objects_held - objects_needed) FROM copies_per_snapshot").rows == [(0,)]


def test_the_latest_word_on_a_copy_holds(ask: Ask, shelf: Shelf, tmp_path: Path) -> None:
    ((failed,),) = ask("SELECT object FROM copies WHERE state = 'failed' ORDER BY recorded_utc LIMIT 1").rows
    complete = "SELECT count(*) FROM copies_per_snapshot WHERE replica = 'iowa' AND objects_held = objects_needed - 2"
    assert ask(complete).rows == [(0,)]
    clock = StillClock(START + timedelta(days=1), seed=98)
    recorder = AuditRecorder(
        stores={"vault": MemoryStore(shelf=shelf, clock=clock)},
        repository_id=REPOSITORY,
        sealer=sealer(),
        chain_id=chain_of(1, 9),
        state_dir=tmp_path / "heal",
        clock=clock,
    )
    healed = CopyRow(
        run_id="heal", object=str(failed), replica="iowa", provider="gcs", state=CopyState.ACKNOWLEDGED, bytes=1000
    )
    recorder.add(healed)
    recorder.flush("heal")
    assert ask(f"SELECT replica, state FROM copies_now WHERE object = '{failed}' ORDER BY replica").rows == [
        ("iowa", "acknowledged"),
        ("vault", "acknowledged"),
    ]
    ((levelled,),) = ask(complete).rows
    assert isinstance(levelled, int)
    assert levelled > 0


def test_a_file_is_fetched_once_and_only_when_it_is_needed(ask: Ask, store: MeteredStore, shelf: Shelf) -> None:
    files = {table: sum(names.table_of(name) == table for name in shelf.objects) for table in TABLES}
    ask("SHOW TABLES")
    ask("SELECT 1")
    assert _gets(store) == 0
    seals = sum(names.parse_seal(name) is not None for name in shelf.objects)
    ask("SELECT count(*) FROM Runs")
    assert _gets(store) == seals + files["runs"]
    ask('SELECT count(*) FROM "runs"')
    assert _gets(store) == seals + files["runs"]
    ask("SELECT * FROM object_impact")
    assert _gets(store) == seals + files["runs"] + files["needs"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(DISTINCT table_name) FROM information_schema.tables, (SELECT count(*) FROM runs)",
        "SELECT count(*) FROM duckdb_views() WHERE NOT internal AND view_name NOT IN (SELECT source FROM runs)",
        "SELECT count(DISTINCT name) FROM sqlite_master WHERE name NOT IN (SELECT source FROM runs)",
    ],
)
def test_a_question_for_names_sees_every_table_and_view(ask: Ask, sql: str) -> None:
    """Of any other statement only what it names is defined: each definition opens files."""
    assert ask(sql).rows == [(len(TABLES) + len(VIEWS),)]


def test_only_what_a_statement_can_ask_is_defined() -> None:
    assert names_needed("SELECT * FROM Runs -- and copies") == {"runs", "copies"}
    assert names_needed('SELECT "READ_UTC" FROM "Replica_Proofs"') == {"replica_proofs", *reads_of("object_proofs")}
    assert names_needed("SHOW TABLES") == names_needed("SELECT 1") == {*TABLES, *VIEWS}


def test_new_files_are_seen(ask: Ask, shelf: Shelf) -> None:
    first = min(name for name in shelf.objects if names.parse_seal(name))
    seal = shelf.objects.pop(first)
    before = ask("SELECT count(*) FROM runs")
    assert before.unused == 1
    shelf.objects[first] = seal
    after = ask("SELECT count(*) FROM runs")
    assert (after.rows != before.rows, after.unused) == (True, 0)


def test_views_know_their_tables() -> None:
    for name, view in VIEWS.items():
        assert tables_of(name) <= TABLES.keys()
        assert all(f" {read}" in view.sql for read in view.reads)
    assert tables_of("damage_impact") == {"checks", "needs", "runs"}


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "SELECT 1; SELECT 2",
        "INSERT INTO runs SELECT * FROM runs",
        "WITH gone AS (SELECT 1) DELETE FROM runs",
        "CREATE TABLE mine AS SELECT 1",
        "DROP VIEW runs",
        "COPY (SELECT 1) TO '{out}'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{out}'",
        "EXPLAIN (FORMAT json) COPY (SELECT 1) TO '{out}'",
        "/* */ EXPLAIN ANALYZE /* */ COPY (SELECT 1) TO '{out}'",
        "EXPLAIN ANALYZE CREATE TABLE mine AS SELECT 1",
        "EXPORT DATABASE '{out}'",
        "ATTACH '{out}'",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "PRAGMA memory_limit = '1GB'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CALL pragma_version()",
        "CHECKPOINT",
    ],
)
def test_a_statement_that_does_more_than_read_is_refused(ask: Ask, tmp_path: Path, sql: str) -> None:
    with pytest.raises(QueryInvalid) as caught:
        ask(sql.replace("{out}", str(tmp_path / "out")))
    assert "SELECT" in caught.value.hint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "source",
    [
        "read_text('/etc/hostname')",
        "read_csv('/etc/passwd')",
        "read_blob('/etc/passwd')",
        "'/etc/passwd'",
        "glob('/etc/*')",
        "read_parquet('/tmp/*.parquet')",
        "read_parquet('https://localhost/x.parquet')",
        "query('SELECT * FROM read_text(''/etc/hostname'')')",
        "query_table('ru' || 'ns')",
        "\"query\"('FROM ru' || 'ns')",
        "query /* */ ('FROM ru' || 'ns')",
    ],
)
def test_a_statement_reaches_nothing_but_the_tables(ask: Ask, source: str) -> None:
    with pytest.raises(QueryInvalid):
        ask(f"SELECT * FROM {source}")


def test_a_statement_reaches_nothing_of_the_calling_program(ask: Ask) -> None:
    secret_frame = __import__("pyarrow").table({"secret": [1]})
    assert len(secret_frame) == 1
    with pytest.raises(QueryInvalid, match="secret_frame"):
        ask("SELECT * FROM secret_frame")


def test_reading_statements_of_every_kind_are_answered(ask: Ask) -> None:
    for sql in (
        "FROM runs",
        "TABLE runs",
        "VALUES (1)",
        "SHOW TABLES",
        "DESCRIBE runs",
        "SUMMARIZE runs",
        "EXPLAIN SELECT * FROM runs",
        "EXPLAIN ANALYZE SELECT * FROM runs",
        "-- a note\nSELECT 1;",
        "WITH few AS (SELECT 1 AS one) SELECT one FROM few",
    ):
        assert ask(sql).rows, sql


@pytest.mark.parametrize(
    ("sql", "near"),
    [
        ("SELECT * FROM snapshot", "snapshots"),
        ("SELECT * FROM last_good_backups", "last_good_backup"),
        ("SELECT sauce FROM runs", "source"),
        ("SELECT r.duration FROM runs AS r", "duration_s"),
    ],
)
@pytest.mark.parametrize("engine", ["duckdb", "datafusion", "polars"])
def test_a_wrong_name_is_answered_with_the_nearest(ask: Ask, engine: str, sql: str, near: str) -> None:
    with pytest.raises(QueryInvalid) as caught:
        ask(sql, engine=engine)
    assert caught.value.hint.startswith(f"Did you mean {near}?")


def test_other_mistakes_keep_the_words_of_the_engine(ask: Ask) -> None:
    with pytest.raises(QueryInvalid, match="syntax error"):
        ask("SELEC 1")
    with pytest.raises(QueryInvalid, match="Could not convert"):
        ask("SELECT CAST(run_id AS INTEGER) FROM runs")


@pytest.mark.parametrize("sql", ["DROP TABLE runs", "SELECT 1; SELECT 2", "SELECT * FROM read_parquet('/tmp/x')", ""])
@pytest.mark.parametrize("engine", ["datafusion", "polars", "chdb"])
def test_other_engines_only_read_too(ask: Ask, engine: str, sql: str) -> None:
    with pytest.raises(QueryInvalid):
        ask(sql, engine=engine)


def test_an_engine_that_is_not_there(ask: Ask) -> None:
    with pytest.raises(QueryInvalid, match="oracle") as caught:
        ask("SELECT 1", engine="oracle")
    assert "datafusion" in caught.value.hint
    if find_spec("chdb") is None:
        with pytest.raises(ToolUnavailable) as missing:
            ask("SELECT 1", engine="chdb")
        assert "pip install chdb" in missing.value.hint
    else:
        assert ask("SELECT 1", engine="chdb").rows == [(1,)]


def _flip(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]


@pytest.mark.parametrize(
    "spoil",
    [_flip, lambda data: data[:-20], lambda _: b"", lambda _: b"{}"],
    ids=["bit", "cut", "empty", "other"],
)
def test_a_damaged_file_is_named_and_other_tables_answer(
    ask: Ask, shelf: Shelf, spoil: Callable[[bytes], bytes]
) -> None:
    name = _first(shelf, "copies")
    good = shelf.objects[name]
    shelf.objects[name] = (spoil(good[0]), good[1])
    for sql in ("SELECT count(*) FROM copies", "SELECT * FROM copies_per_snapshot"):
        with pytest.raises(ObjectCorrupt, match=name) as caught:
            ask(sql)
        assert "--replica" in caught.value.hint
    assert ask("SELECT count(*) FROM objects").rows
    shelf.objects[name] = good
    assert ask("SELECT count(*) FROM copies").rows


@pytest.mark.parametrize("engine", ["duckdb", "datafusion", "polars"])
def test_a_planted_file_is_counted_and_not_used(ask: Ask, shelf: Shelf, engine: str) -> None:
    name = names.file_name("runs", date(2026, 11, 20), "run", b"no Parquet at all")
    before = ask("SELECT duration_s FROM runs ORDER BY 1", engine=engine)
    shelf.objects[name] = (b"no Parquet at all", START)
    for _ in range(2):
        found = ask("SELECT duration_s FROM runs ORDER BY 1", engine=engine)
        assert (found.rows, found.unused) == (before.rows, 1)


def test_a_replica_that_lost_what_it_had_is_no_smaller_answer(ask: Ask, shelf: Shelf) -> None:
    ask("SELECT count(*) FROM runs")
    lost = _first(shelf, "runs")
    del shelf.objects[lost]
    with pytest.raises(ObjectNotFound, match=lost):
        ask("SELECT count(*) FROM runs")
    shelf.objects.clear()
    with pytest.raises(ObjectNotFound, match="are gone"):
        ask("SELECT count(*) FROM runs")
    assert ask("SELECT count(*) FROM runs", replica="another").rows == [(0,)]


@pytest.mark.parametrize(
    ("fault", "error"), [(FAIL, StoreUnavailable), (CORRUPT, ObjectCorrupt), (TRUNCATE, ObjectCorrupt)]
)
def test_a_bad_get_is_an_error_and_the_next_try_works(
    ask: Ask, shelf: Shelf, fault: Fault, error: type[FarshoreError]
) -> None:
    faulty = FaultyStore(
        MemoryStore(shelf=shelf, clock=FixedClock()),
        clock=FixedClock(),
        plan=lambda verb, _name, _number: fault if verb == "get" else None,
    )
    with pytest.raises(error):
        ask("SELECT count(*) FROM runs", store=faulty)
    assert ask("SELECT count(*) FROM runs").rows == [(2 * BACKUPS + 1,)]


@pytest.fixture
def cached(ask: Ask, tmp_path: Path) -> list[Path]:
    ask("SELECT count(*) FROM runs")
    found = cache_root(tmp_path / "cache", REPOSITORY, "vault")
    return sorted(path for path in (found / "runs").rglob("*.parquet"))


@pytest.mark.parametrize(
    "spoil", [lambda _: b"", lambda data: bytes(len(data)), lambda data: data[:100]], ids=["empty", "zeros", "cut"]
)
@pytest.mark.parametrize("engine", ["duckdb", "datafusion", "polars"])
def test_a_local_copy_that_the_disk_spoilt_is_fetched_again(
    ask: Ask, cached: list[Path], engine: str, spoil: Callable[[bytes], bytes]
) -> None:
    cached[2].write_bytes(spoil(cached[2].read_bytes()))
    assert ask("SELECT sum(duration_s) AS total FROM runs", engine=engine).rows == [(4.5 * 2 * BACKUPS,)]


def test_half_written_and_foreign_files_are_left_out(ask: Ask, cached: list[Path], shelf: Shelf) -> None:
    before = ask("SELECT count(*) FROM runs").rows
    cached[0].with_name(f".{cached[0].name}.1234").write_bytes(b"half")
    shelf.objects["audit/runs/date=2026-11-20/readme.txt"] = (b"hello", START)
    shelf.objects["audit/runs/elsewhere.parquet"] = (b"hello", START)
    assert ask("SELECT count(*) FROM runs").rows == before


def test_any_cache_directory_will_do(ask: Ask, tmp_path: Path) -> None:
    for name in ("it's", "[a]*?", "a=b", "büro x"):
        for engine in ("duckdb", "datafusion", "polars"):
            rows = ask("SELECT count(*) AS n, min(date) AS d FROM runs", cache_dir=tmp_path / name, engine=engine).rows
            assert rows == [(2 * BACKUPS + 1, date(2026, 11, 20))], (name, engine)


def test_a_cache_directory_may_be_relative(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert ask("SELECT count(*) FROM runs", cache_dir=Path("here")).rows == [(2 * BACKUPS + 1,)]


def test_a_cache_directory_that_cannot_be_used_is_reported(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigInvalid, match="cache directory"):
        ask("SELECT count(*) FROM runs", cache_dir=tmp_path / "file")
    with pytest.raises(ConfigInvalid, match="date="):
        ask("SELECT count(*) FROM runs", cache_dir=tmp_path / "date=1999-01-01")


def test_any_name_of_a_replica_has_a_cache_of_its_own(tmp_path: Path) -> None:
    roots = {cache_root(tmp_path, REPOSITORY, name) for name in ("..", "a/b", "a", "b", "büro", "")}
    assert len(roots) == 6
    assert {root.parent for root in roots} == {tmp_path / "audit" / REPOSITORY}


def test_many_threads_may_share_a_cache(ask: Ask) -> None:
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: ask("SELECT count(*) FROM runs").rows, range(12)))
    assert answers == [[(2 * BACKUPS + 1,)]] * 12


def test_many_processes_may_share_a_cache(shelf: Shelf, tmp_path: Path) -> None:
    place = tmp_path / "place"
    for name, (data, _) in shelf.objects.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    program = f"""
from pathlib import Path
from farshore.audit.query import TablesAt, query
from farshore.clock import SystemClock
from farshore.stores.directory import DirectoryStore
from tests.doubles.signers import Signers
store = DirectoryStore(path=Path({str(place)!r}), clock=SystemClock())
at = TablesAt(store, Path({str(tmp_path / "cache")!r}), {REPOSITORY!r}, "vault", Signers().authority)
print(query(at, "SELECT count(*) FROM runs JOIN snapshots USING (run_id)").rows)
"""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
        )
        for _ in range(4)
    ]
    answers = {process.communicate()[0] for process in running}
    assert answers == {f"[({len(SOURCES) * BACKUPS},)]\n"}

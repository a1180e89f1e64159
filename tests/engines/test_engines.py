"""Spark and ClickHouse read the audit files where they are: `make test-engines` brings both, some 1 GB."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from farshore.access.unlock import Need
from farshore.audit.cached_query import tables_at
from farshore.audit.index import index_replica
from farshore.audit.query import TablesAt, query
from farshore.audit.schema import TABLES
from farshore.clock import SystemClock
from farshore.run import Run
from farshore.stores import open_store
from infra.local.node import cache_directory
from tests.doubles.signers import Signers
from tests.engines.facts import EXPECTED, FACTS, PORTABLE, ROOT, fill
from tests.engines.plain import plain
from tests.unit.audit.samples import REPOSITORY
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource

pytestmark = pytest.mark.engines
PACKAGES = cache_directory() / "engines"

Rows = list[list[object]]
Ask = Callable[[Sequence[str]], list[Rows]]


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("replica")
    with closing(open_store(url=place.as_uri(), clock=SystemClock())) as store:
        fill(store, tmp_path_factory.mktemp("state"))
    return place


@pytest.fixture(params=["spark", "clickhouse"])
def ask(request: pytest.FixtureRequest, replica: Path, tmp_path: Path) -> Ask:
    """Run statements over the tables that `infra/sql` defines, in a process of their own."""
    statements = (ROOT / "infra/sql" / f"{request.param}.sql").read_text(encoding="utf-8")
    definitions = tmp_path / "definitions.sql"
    place = f"{replica}/audit"
    local = statements.replace("s3a://BUCKET/PREFIX/audit", place)
    definitions.write_text(local.replace("s3('https://HOST/BUCKET/PREFIX/audit", f"file('{place}"))

    def run(wanted: Sequence[str]) -> list[Rows]:
        return _run([str(ROOT / "tests/engines" / f"ask_{request.param}.py"), str(definitions)], wanted)

    return run


def _run(script: Sequence[str], statements: Sequence[str]) -> list[Rows]:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(PACKAGES), str(ROOT)]),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    done = subprocess.run(
        [sys.executable, *script],
        input=json.dumps(statements),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def _run_json(script: Sequence[str], wanted: Sequence[object]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = _run(script, wanted)  # type: ignore[assignment, arg-type]
    return found


def _alike(rows: Sequence[Sequence[object]]) -> Rows:
    """Return rows as two engines may give them: times of one instant, numbers of one value."""
    return [[_instant(value) for value in row] for row in rows]


def _instant(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+(?:[+-]\d\d:\d\d)?", value):
        return datetime.fromisoformat(value).timestamp()
    return value


def test_facts_are_the_same(ask: Ask) -> None:
    answers: Mapping[str, Rows] = dict(zip(FACTS, ask(list(FACTS.values())), strict=True))
    for table, (row,) in answers.items():
        assert _alike([row]) == _alike([[plain(value) for value in EXPECTED[table]]]), table


def test_the_examples_of_the_document_have_the_same_answers(ask: Ask, replica: Path, tmp_path: Path) -> None:
    answers = ask([example.strip().rstrip(";") for example in PORTABLE])
    with closing(open_store(url=replica.as_uri(), clock=SystemClock())) as store:
        for example, found in zip(PORTABLE, answers, strict=True):
            expected = query(TablesAt(store, tmp_path / "cache", REPOSITORY, "vault", Signers().authority), example)
            assert _alike(found) == _alike([[plain(value) for value in row] for row in expected.rows]), example


def test_delta_logs_show_the_tables_as_they_are_and_were(tmp_path: Path) -> None:
    """Read back by delta-rs and Polars from another place than they were written at."""
    engine = Engine(tmp_path / "host").initialize(write_only=True)
    tree = TreeSource(clock=engine.clock)
    rows: list[tuple[int, int]] = []  # of `needs` and of `runs` after each version
    for number in range(2):
        tree.file(b"%d" % number, b"%d" % number * 1000)
        engine.backup(tree)
        with engine.opened(Need.READ) as repository:
            index_replica(repository, repository.replica("a"), run=Run.start(engine.clock))
            at = tables_at(repository, repository.replica("a"))
            counts = [query(at, f"SELECT count(*) FROM {table}").rows[0][0] for table in ("needs", "runs")]
            rows.append((int(str(counts[0])), int(str(counts[1]))))
        engine.clock.wait_s(86_400)
    for name, data in engine.objects("a", "audit/").items():
        path = tmp_path / "moved" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    wanted = [(table, version) for table in ("needs", "runs") for version in (0, 1)]
    script = [str(ROOT / "tests/engines/ask_delta.py"), str(tmp_path / "moved/audit")]
    for (table, version), found in zip(wanted, _run_json(script, wanted), strict=True):
        assert found["version"] == version
        assert found["rows"] == rows[version][table == "runs"]
        assert found["columns"] == [*(column.name for column in TABLES[table].columns), "date"]
        assert found["rows_of_log"] == found["rows"], "its statistics count the rows"
        assert version == 0 or int(str(found["files_of_a_day"])) < int(str(found["files"])), "other days are skipped"


def test_farshore_sql_runs_chdb(replica: Path, tmp_path: Path) -> None:
    script = """
import json, sys
from contextlib import closing
from pathlib import Path
from farshore.audit.query import TablesAt, query
from farshore.clock import SystemClock
from farshore.stores import open_store
from tests.doubles.signers import Signers
from tests.engines.plain import plain
with closing(open_store(url=sys.argv[1], clock=SystemClock())) as store:
    for sql in json.load(sys.stdin):
        at = TablesAt(store, Path(sys.argv[2]), sys.argv[3], "vault", Signers().authority)
        found = query(at, sql, engine="chdb")
        print(json.dumps([[plain(value) for value in row] for row in found.rows]))
"""
    answers = _run(["-c", script, replica.as_uri(), str(tmp_path / "cache"), REPOSITORY], list(FACTS.values()))
    for table, (row,) in zip(FACTS, answers, strict=True):
        assert _alike([row]) == _alike([[plain(value) for value in EXPECTED[table]]]), table

"""The questions that Farshore asks of its audit tables: each only reads, and its names are quoted, however many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import duckdb
import pytest

from farshore.audit import questions
from farshore.audit.questions import NAMES_AT_ONCE, name_slices, snapshots_needing
from farshore.audit.statements import check_read_only

MOMENT = datetime(2026, 5, 1, 3, tzinfo=UTC)
ODD = "o'neill\" -- %s {slice}"
CONSTANTS = [
    name
    for name in vars(questions)
    if name[0].isupper() and name.isupper() and isinstance(getattr(questions, name), str)
]
OF_A_REPLICA = [questions.last_reads, questions.reading_runs, questions.not_sound]
SINCE = [questions.grown, questions.backup_runs, questions.checks_made, questions.restores_made]


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_named_statement_only_reads(name: str) -> None:
    check_read_only(getattr(questions, name), "duckdb")


@pytest.mark.parametrize("question", OF_A_REPLICA)
def test_a_statement_about_a_replica_quotes_its_name(question: Callable[[str], str]) -> None:
    check_read_only(question(ODD), "duckdb")
    assert "'o''neill\" -- %s {slice}'" in question(ODD)


@pytest.mark.parametrize("question", SINCE)
def test_a_statement_about_a_time_only_reads(question: Callable[[datetime], str]) -> None:
    check_read_only(question(MOMENT), "duckdb")
    assert "TIMESTAMPTZ '2026-05-01T03:00:00+00:00'" in question(MOMENT)


def test_the_statements_for_records_only_read() -> None:
    for sql in questions.object_records(10**6):
        check_read_only(sql, "duckdb")


@pytest.mark.parametrize("question", [snapshots_needing])
@pytest.mark.parametrize("count", [0, 1, NAMES_AT_ONCE, NAMES_AT_ONCE + 1])
def test_statements_of_many_names_find_each_of_them_and_no_other(
    question: Callable[[list[str]], Iterator[str]], count: int
) -> None:
    wanted = [f"{ODD} {number}" for number in range(count)]
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE lineage (object TEXT, snapshot_id TEXT)")
        connection.executemany("INSERT INTO lineage VALUES (?, ?)", [(one, one) for one in (*wanted, "other")])
        statements = list(question(wanted))
        found = [row for sql in statements for row in connection.execute(sql).fetchall()]
    assert sorted(found) == sorted((one, one) for one in wanted)
    assert len(statements) == -(-count // NAMES_AT_ONCE)


@pytest.mark.parametrize("objects", [0, 1, 65_536, 65_537, 1_000_000, 10**9])
def test_slices_take_every_name_once_and_in_order(objects: int) -> None:
    found = [f"packs/{number:02x}/{number:064x}" for number in range(256)]
    found += ["farshore.json", "index/ab", "packs/~odd", "snapshots/1/2/commit", "zebra", "\u00e9"]
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE made (object TEXT)")
        connection.executemany("INSERT INTO made VALUES (?)", [(name,) for name in found])
        taken = [
            name
            for condition in name_slices(objects)
            for (name,) in connection.execute(f"SELECT object FROM made WHERE {condition} ORDER BY object").fetchall()
        ]
    assert taken == sorted(found)
    assert len(name_slices(objects)) == min(max(-(-objects // 65_536), 1), 256)

"""Rows about sources that their signer may not commit, and sealed files that are no rows: counted and never used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from farshore import limits
from farshore.audit import names, questions, rights
from farshore.audit.evidence import read_evidence
from farshore.audit.query import query
from farshore.audit.rows import AuditRow, LockAction, LockRow, Operation, RestoreRow, RunRow
from farshore.audit.seals import SealedFile, make_seal
from farshore.audit.tables import Stamp, arrow_schema, encode_rows
from farshore.format.names import hash_of
from farshore.trust.actions import SourcePrefix
from tests.doubles.signers import EVERY_RIGHT, Signers, sealer
from tests.unit.audit.samples import REPOSITORY, SOURCES, repository_rows
from tests.unit.audit.test_evidence import MOMENT, World

WRITER, MAINTAINER, READER = 2, 3, 4
OWN, OTHER = ("shop", SOURCES["shop"]), ("home", SOURCES["home"])


def _row(kind: type[AuditRow], about: tuple[str, str] = OWN) -> Any:
    row: Any = next(one for one in repository_rows() if isinstance(one, kind))
    of_source = {"source": about[0], "source_id": about[1]}
    return replace(row, **{name: value for name, value in of_source.items() if hasattr(row, name)})


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A writer certified for one source, a maintainer and a reader for none."""
    rights_of = {
        1: EVERY_RIGHT, WRITER: frozenset({"backup"}),
        MAINTAINER: frozenset({"verify", "heal", "maintain"}), READER: frozenset({"restore"}),
    }  # fmt: skip
    only = {OWN[1]: OWN[0]}
    made = World(tmp_path, signers=Signers(rights_of, sources={WRITER: only, MAINTAINER: {}, READER: {}}))
    for kind in ("LockRow", "NeedRow", "RunRow"):
        made.record(_row(_KINDS[kind]), key=1)
    return made


_KINDS: Mapping[str, type[AuditRow]] = {type(row).__name__: type(row) for row in repository_rows()}
_TABLES = {"RunRow": "runs", "NeedRow": "needs", "LockRow": "locks"}


def _count(world: World, table: str) -> tuple[int, int]:
    found = query(world.at, f"SELECT count(*) FROM {table}")
    return int(str(found.rows[0][0])), found.unused


# --- sources ----------------------------------------------------------------------------------------------------------

LIES = {
    "another's id and name": OTHER,
    "another's id": (OWN[0], OTHER[1]),
    "another's name": (OTHER[0], OWN[1]),
    "a name and no id": (OTHER[0], ""),
    "an id and no name": ("", OTHER[1]),
}


@pytest.mark.parametrize(
    ("kind", "lie"),
    # `needs` has no column for the name of a source
    [(kind, lie) for kind in _TABLES for lie in LIES if kind != "NeedRow" or LIES[lie][1] != OWN[1]],
)
def test_a_writer_speaks_of_its_own_sources_alone(world: World, kind: str, lie: str) -> None:
    world.record(_row(_KINDS[kind]), key=WRITER)
    assert _count(world, _TABLES[kind]) == (2, 0)
    world.record(_row(_KINDS[kind], LIES[lie]), key=WRITER)
    for _ in range(2):
        assert _count(world, _TABLES[kind]) == (2, 1)
    found = read_evidence(world.store, world.tmp_path / "cache", REPOSITORY, world.signers.authority)
    listed = [info.name for info in world.store.list("audit/") if names.table_of(info.name)]
    assert sum(not found.may_count(name) for name in listed) == 1, "so status counts it, too"


@pytest.mark.parametrize("kind", _TABLES)
def test_without_the_check_rows_about_others_are_used(world: World, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rights, "_allows", lambda *_: True)
    world.record(_row(_KINDS[kind], OTHER), key=WRITER)
    assert _count(world, _TABLES[kind]) == (2, 0)


def test_one_row_about_another_source_spoils_its_file(world: World) -> None:
    own, other = _row(RunRow), _row(RunRow, OTHER)
    _sealed(world, "runs", encode_rows("runs", [own, own, other], Stamp(REPOSITORY, MOMENT)))
    assert _count(world, "snapshots") == (1, 1)


def test_a_snapshot_of_no_source_is_none(world: World) -> None:
    world.record(_row(RunRow, ("", "")), key=WRITER)
    assert (_count(world, "runs"), _count(world, "snapshots")) == ((2, 0), (1, 0))


def test_who_only_verifies_makes_no_snapshot(world: World) -> None:
    world.record(replace(_row(RunRow, OTHER), operation=Operation.VERIFY), key=MAINTAINER)
    assert (_count(world, "runs"), _count(world, "snapshots")) == ((2, 0), (1, 0))


def test_runs_of_no_source_count_by_the_operation_alone(world: World) -> None:
    world.record(replace(_row(RunRow, ("", "")), operation=Operation.INIT), key=WRITER)
    world.record(replace(_row(RunRow, ("", "")), operation=Operation.HEAL), key=WRITER)
    assert _count(world, "runs") == (2, 1)


@pytest.mark.parametrize(
    ("key", "row"),
    [
        (MAINTAINER, replace(_row(LockRow, OTHER), action=LockAction.EXTENDED)),
        (MAINTAINER, replace(_row(RunRow, OTHER), operation=Operation.VERIFY)),
        (READER, _row(RestoreRow, OTHER)),
        (READER, replace(_row(RunRow, OTHER), operation=Operation.RESTORE)),
    ],
    ids=["locks", "verify", "restores", "restore"],
)
def test_who_maintains_or_restores_speaks_of_all_sources(world: World, key: int, row: AuditRow) -> None:
    table = {LockRow: "locks", RunRow: "runs", RestoreRow: "restores"}[type(row)]
    before = _count(world, table)
    world.record(row, key=key)
    assert _count(world, table) == (before[0] + 1, 0)


def test_a_prefix_allows_the_sources_whose_ids_are_those_of_their_names(world: World) -> None:
    prefix = SourcePrefix("5a" * 8)
    world.signers.sources[WRITER] = prefix
    world.record(_row(RunRow, ("home", prefix.source_id("home"))), key=WRITER)
    assert _count(world, "snapshots") == (2, 0)
    world.record(_row(RunRow, ("home", prefix.source_id("shop"))), key=WRITER)
    assert _count(world, "snapshots") == (2, 1)


def test_the_rows_of_another_certificate_count_again_and_nothing_is_read_twice(world: World) -> None:
    """What a file claims is kept on this host, and who may say it is not."""
    world.record(_row(RunRow, OTHER), key=WRITER)
    assert _count(world, "snapshots") == (1, 1)
    gets = world.gets()
    assert _count(world, "snapshots") == (1, 1)
    assert world.gets() == gets, "a file that is not used is not fetched again"
    del world.signers.sources[WRITER]
    assert _count(world, "snapshots") == (2, 0)


def test_ids_of_anothers_snapshots_replace_none_of_its_rows(world: World) -> None:
    """A writer may write any id of a snapshot into rows about its own source; views keep sources apart."""
    (theirs,) = query(world.at, "SELECT snapshot_id, recorded_utc FROM snapshots_once").rows
    lock = query(world.at, "SELECT locked_until_utc FROM locks_now WHERE source = 'shop'").rows
    world.signers.sources[WRITER] = {OTHER[1]: OTHER[0]}
    world.clock.advance(-3600)
    world.record(replace(_row(RunRow, OTHER), snapshot_id=str(theirs[0])), key=WRITER)
    world.clock.advance(7200)
    world.record(replace(_row(LockRow, OTHER), locked_until_utc=MOMENT), key=WRITER)
    kept = query(world.at, "SELECT source, snapshot_id FROM snapshots_once ORDER BY source").rows
    assert kept == [("home", theirs[0]), ("shop", theirs[0])]
    assert query(world.at, "SELECT locked_until_utc FROM locks_now WHERE source = 'shop'").rows == lock
    states = query(world.at, questions.SOURCE_STATES).rows
    assert {row[:2] for row in states} == {OWN, OTHER}


# --- files that are no rows -------------------------------------------------------------------------------------------


def _table(table: str = "runs", **columns: pa.Array) -> pa.Table:
    row = _row(RunRow)
    found = pq.read_table(BytesIO(encode_rows(table, [row], Stamp(REPOSITORY, MOMENT))), partitioning=None)
    for name, values in columns.items():
        found = found.append_column(name, values) if name not in found.column_names else found.set_column(
            found.column_names.index(name), name, values
        )  # fmt: skip
    return found


def _bytes_of(table: pa.Table) -> bytes:
    out = BytesIO()
    pq.write_table(table, out, compression="zstd", store_schema=False)
    return out.getvalue()


def _cut() -> bytes:
    """Pages of garbage under a footer that is whole."""
    data = bytearray(encode_rows("runs", [_row(RunRow)], Stamp(REPOSITORY, MOMENT)))
    columns = pq.ParquetFile(pa.BufferReader(bytes(data))).metadata.row_group(0)
    at = columns.column(list(arrow_schema("runs").names).index("started_utc")).data_page_offset
    data[at : at + 30] = bytes(30)
    return bytes(data)


NO_ROWS: Mapping[str, Callable[[], bytes]] = {
    "garbage": lambda: b"no rows at all",
    "another table": lambda: encode_rows("locks", [_row(LockRow)], Stamp(REPOSITORY, MOMENT)),
    "a column of another type": lambda: _bytes_of(_table(committed_utc=pa.array(["tomorrow"]))),
    "a source of another type": lambda: _bytes_of(_table(source_id=pa.array([OWN[1].encode()]))),
    "one name in two cases": lambda: _bytes_of(_table(SOURCE_ID=pa.array([OTHER[1]]))),
    "a column of the name of its folder": lambda: _bytes_of(_table(date=pa.array(["2100-01-01"]))),
    "no source": lambda: _bytes_of(_table().drop_columns(["source_id"])),
    "pages of garbage": _cut,
}


def _sealed(world: World, table: str, data: bytes, key: int = WRITER) -> str:
    """Put a file as a thief of a writer's key can: with a seal that is well signed."""
    name = names.file_name(table, MOMENT.date(), "thief", data)
    world.shelf.objects[name] = (data, MOMENT)
    world.record(_row(RunRow), key=key, tail=7)
    found = read_evidence(world.store, world.tmp_path / "thief", REPOSITORY, world.signers.authority)
    signer = sealer(key)
    last = max(
        (one for one in found.counted.seals.values() if one.signer == signer.key.signer_id),
        key=lambda one: one.sequence,
    )
    world.shelf.objects.pop(last.files[0].name)
    world.shelf.objects.pop(last.name)
    made = replace(last, files=(SealedFile(name, len(data), hash_of(data)),), covers=(), hash="", signer="")
    seal, stored = make_seal(made, signer.key, signer.fingerprint)
    world.shelf.objects[seal.name] = (stored, MOMENT)
    return name


@pytest.mark.parametrize("what", NO_ROWS)
def test_a_sealed_file_that_is_no_table_hinders_no_question(world: World, what: str) -> None:
    assert query(world.at, "SELECT source FROM snapshots").rows == [("shop",)]
    _sealed(world, "runs", NO_ROWS[what]())
    for _ in range(2):
        found = query(world.at, "SELECT source, committed_utc, bytes_read FROM snapshots")
        assert ([row[0] for row in found.rows], found.unused) == (["shop"], 1)


def test_more_rows_than_any_of_ours_are_not_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "AUDIT_FILE_ROWS_MAX", 2)
    _sealed(world, "runs", encode_rows("runs", [_row(RunRow)] * 3, Stamp(REPOSITORY, MOMENT)))
    assert _count(world, "snapshots") == (1, 1)


def test_every_table_with_a_source_is_judged_by_it() -> None:
    judged = {table for table in rights.RIGHTS_OF_TABLE if "source_id" in rights.claim_columns(table)}
    assert judged == {table for table in rights.RIGHTS_OF_TABLE if "source_id" in arrow_schema(table).names}
    assert judged == {*_TABLES.values(), "restores"}

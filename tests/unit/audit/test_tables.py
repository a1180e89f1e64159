from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from farshore.audit import names
from farshore.audit.rows import (
    SCHEMA_VERSION,
    TABLE_OF_ROW,
    AuditRow,
    CopyRow,
    NeedRow,
    Operation,
    ReplicaPart,
    RunResult,
    RunRow,
)
from farshore.audit.schema import MADE_COLUMNS, STAMP_COLUMNS, TABLES
from farshore.audit.tables import Stamp, arrow_schema, decode_rows, decode_table, encode_empty, encode_rows
from farshore.errors import Bug, ObjectCorrupt
from tests.unit.audit.samples import REPOSITORY, repository_rows

STAMP = Stamp(REPOSITORY, datetime(2026, 11, 21, 4, 5, 6, 789012, tzinfo=UTC))


def _by_table() -> dict[str, list[AuditRow]]:
    rows: dict[str, list[AuditRow]] = defaultdict(list)
    for row in repository_rows():
        rows[TABLE_OF_ROW[type(row)]].append(row)
    return rows


@pytest.mark.parametrize("table", TABLES)
def test_what_was_encoded_is_decoded(table: str) -> None:
    rows = _by_table()[table]
    decoded = decode_rows(table, "x", encode_rows(table, rows, STAMP))
    assert len(decoded) == len(rows)
    for row, values in zip(rows, decoded, strict=True):
        assert values["recorded_utc"] == STAMP.recorded_utc
        if table == "runs":
            assert (values["repository_id"], values["schema_version"]) == (REPOSITORY, SCHEMA_VERSION)
        for column in TABLES[table].columns:
            if column.name in STAMP_COLUMNS:
                continue
            of_snapshot = table == "runs" and column.name in MADE_COLUMNS
            holder = getattr(row, "made", None) if of_snapshot else row
            expected: Any = getattr(holder, column.name, None)
            if column.name == "facts" and expected is not None:
                expected = [{"key": key, "value": value} for key, value in expected]
            elif table == "runs" and column.name == "replicas":
                expected = [
                    {name: getattr(part, name) for name in ReplicaPart.__dataclass_fields__} for part in expected
                ]
            elif isinstance(expected, tuple):
                expected = list(expected)
            elif expected == "" and column.nullable:
                expected = None
            assert values[column.name] == expected, column.name


@pytest.mark.parametrize("table", TABLES)
def test_the_types_are_those_that_engines_share(table: str) -> None:
    file = pq.ParquetFile(BytesIO(encode_rows(table, _by_table()[table], STAMP)))

    def check(data_type: pa.DataType) -> None:
        if pa.types.is_list(data_type):
            check(data_type.value_type)
        elif pa.types.is_struct(data_type):
            for field in data_type:
                check(field.type)
        else:
            plain = (pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.timestamp("us", tz="UTC"))
            assert data_type in plain, data_type

    for field in file.schema_arrow:
        check(field.type)
    assert file.schema_arrow.names == [column.name for column in TABLES[table].columns]
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize("table", TABLES)
def test_every_column_is_described(table: str) -> None:
    for field in arrow_schema(table):
        assert field.metadata[b"description"], field.name
    texts = [TABLES[table].description, *(column.description for column in TABLES[table].columns)]
    assert all(text.endswith(".") or "`" in text for text in texts)
    assert not any("'" in text for text in texts), "an apostrophe would end the comment in a DDL statement"
    assert all(len(text) <= 255 for text in texts), "AWS Glue takes no more"


def test_an_empty_file_has_every_column() -> None:
    assert decode_table("restores", "x", encode_empty("restores")).schema.equals(arrow_schema("restores"))


def test_a_file_of_an_earlier_version_lacks_a_column_that_may_be_null() -> None:
    rows = _by_table()["needs"]
    sink = BytesIO()
    pq.write_table(
        decode_table("needs", "x", encode_rows("needs", rows, STAMP)).drop_columns("checksums"),
        sink,
        compression="zstd",
    )
    decoded = decode_rows("needs", "x", sink.getvalue())
    assert [row["object"] for row in decoded] == [row.object for row in rows if isinstance(row, NeedRow)]
    assert {row["checksums"] for row in decoded} == {None}


def test_a_column_that_may_not_be_null_must_be_there() -> None:
    sink = BytesIO()
    whole = decode_table("needs", "x", encode_rows("needs", _by_table()["needs"], STAMP))
    pq.write_table(whole.drop_columns("change"), sink, compression="zstd")
    with pytest.raises(ObjectCorrupt):
        decode_rows("needs", "x", sink.getvalue())


def _copy(**changes: object) -> CopyRow:
    values: dict[str, object] = {
        "run_id": "r",
        "object": "packs/aa/00",
        "replica": "vault",
        "provider": "s3",
        "state": "acknowledged",
        "bytes": 1,
    }
    return CopyRow(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "row",
    [
        _copy(bytes=2**63),
        _copy(bytes="many"),
        _copy(bytes=None),
        _copy(acknowledged_utc=datetime(2026, 1, 1)),  # noqa: DTZ001 - without a time zone on purpose
    ],
    ids=["too large", "text for a number", "no value", "no time zone"],
)
def test_a_wrong_value_is_a_bug_and_not_a_wrong_file(row: CopyRow) -> None:
    with pytest.raises(Bug):
        encode_rows("copies", [row], STAMP)


def test_a_row_of_another_table_is_a_bug() -> None:
    with pytest.raises(Bug, match="another table"):
        encode_rows("needs", [_copy()], STAMP)


def test_text_that_is_no_unicode_is_kept_readable() -> None:
    row = RunRow(
        run_id="r",
        operation=Operation.BACKUP,
        state=RunResult.FAILED,
        started_utc=STAMP.recorded_utc,
        finished_utc=STAMP.recorded_utc,
        error="no such file: caf\udce9 é",
    )
    assert decode_rows("runs", "x", encode_rows("runs", [row], STAMP))[0]["error"] == "no such file: caf\\udce9 é"


def test_a_flipped_bit_of_a_page_is_found() -> None:
    data = encode_rows("copies", _by_table()["copies"], STAMP)
    good = decode_table("copies", "x", data)
    pages = pq.ParquetFile(BytesIO(data)).metadata.row_group(0).column(5)  # of `object`, the largest
    start = pages.data_page_offset
    found = 0
    for offset in range(start, start + pages.total_compressed_size):
        spoilt = bytearray(data)
        spoilt[offset] ^= 1
        try:
            assert decode_table("copies", "x", bytes(spoilt)).equals(good)  # statistics in a page header are not read
        except ObjectCorrupt:
            found += 1
    assert found > pages.total_compressed_size * 0.9


def test_any_flipped_bit_is_found_by_the_name() -> None:
    data = encode_rows("copies", _by_table()["copies"], STAMP)
    name = names.file_name("copies", STAMP.recorded_utc.date(), "run", data)
    assert names.is_whole(name, data)
    assert not names.is_whole("audit/copies/date=2026-11-21/run.parquet", data)
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    for _ in range(100):
        spoilt = bytearray(data)
        spoilt[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        assert not names.is_whole(name, bytes(spoilt))


@pytest.mark.parametrize("data", [b"", b"PAR1", b"{}" * 100], ids=["empty", "cut", "other"])
def test_what_is_no_parquet_is_named(data: bytes) -> None:
    with pytest.raises(ObjectCorrupt, match=r"audit/runs/x\.parquet"):
        decode_table("runs", "audit/runs/x.parquet", data)


def test_a_cut_file_is_named() -> None:
    data = encode_rows("copies", _by_table()["copies"], STAMP)
    for length in range(0, len(data), max(1, len(data) // 20)):
        with pytest.raises(ObjectCorrupt):
            decode_table("copies", "x", data[:length])


def test_a_column_of_a_later_version_is_left_out_and_a_missing_one_is_damage() -> None:
    table = decode_table("restores", "x", encode_empty("restores"))
    assert decode_table("restores", "x", _parquet(table.append_column("cost", pa.array([], pa.int64())))).equals(table)
    with pytest.raises(ObjectCorrupt):
        decode_table("restores", "x", _parquet(table.drop_columns(["problems"])))


def _parquet(table: pa.Table) -> bytes:
    sink = BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()

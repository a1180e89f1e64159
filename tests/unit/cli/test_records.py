"""The records of `--json`: one ASCII line each, names exact, times and sizes exact."""

from __future__ import annotations

import base64
import json
import pickle
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from farshore.cli.wording import encode_record, error_record, plain, record_of
from farshore.errors import QuorumNotReached
from farshore.model import DamagedObject, Entry, EntryKind, SnapshotCounts, SnapshotInfo
from farshore.results import Progress

WHEN = datetime(2026, 11, 21, 5, 0, tzinfo=UTC)


def test_a_snapshot_keeps_the_names_of_the_model() -> None:
    info = SnapshotInfo(
        snapshot_id="ab" * 16,
        source_id="cd" * 16,
        source="home",
        kind="directory",
        identity="",
        started_utc=WHEN,
        committed_utc=WHEN + timedelta(microseconds=5),
        counts=SnapshotCounts(entries=3, bytes_total=10**12),
        replicas=("a", "b"),
        facts=(("server", "18.6"),),
    )

    record = json.loads(encode_record(record_of("snapshot", info)))

    assert record["type"] == "snapshot"
    assert record["snapshot_id"] == "ab" * 16
    assert record["committed_utc"] == "2026-11-21T05:00:00.000005Z"
    assert record["counts"]["bytes_total"] == 10**12
    assert record["replicas"] == ["a", "b"]
    assert record["facts"] == {"server": "18.6"}


def test_a_name_is_text_and_keeps_its_bytes_only_where_it_must() -> None:
    plain_entry = record_of("entry", Entry(path="Grüße".encode(), kind=EntryKind.SYMLINK, target=b"\xff"))
    odd_entry = record_of("entry", Entry(path=b"caf\xe9", kind=EntryKind.FILE, xattrs=((b"user.a", b"\x00\xff"),)))

    assert plain_entry["path"] == "Grüße"
    assert "path_bytes" not in plain_entry
    assert plain_entry["kind"] == "symlink"
    assert base64.b64decode(plain_entry["target_bytes"]) == b"\xff"
    assert odd_entry["path"] == r"caf\xe9"
    assert base64.b64decode(odd_entry["path_bytes"]) == b"caf\xe9"
    assert odd_entry["xattrs"] == [{"name": "user.a", "value_bytes": base64.b64encode(b"\x00\xff").decode()}]


def test_lists_of_names_keep_their_bytes_beside_them() -> None:
    damaged = DamagedObject(
        replica="a", name="packs/x", code="altered", detail="", paths=(b"good", b"b\xe4d"), paths_total=2
    )

    record = record_of("damaged", damaged)

    assert record["paths"] == ["good", r"b\xe4d"]
    assert record["paths_bytes"] == [None, base64.b64encode(b"b\xe4d").decode()]


def test_an_error_is_a_record_with_its_code() -> None:
    assert error_record(QuorumNotReached("1 of 3", "Do this.")) == {
        "type": "error",
        "code": "quorum-not-reached",
        "message": "1 of 3",
        "hint": "Do this.",
        "exit_code": 21,
        "retryable": True,
    }


def test_values_of_queries_become_json() -> None:
    row = (None, True, 2**60, 1.5, float("inf"), "x", WHEN, date(2026, 1, 2), timedelta(minutes=1), Decimal(12))
    odd = (Decimal("1.25"), b"\x00", [WHEN], {"a": (1, b"b")}, Path("/x"), EntryKind.FILE)

    assert [plain(value) for value in row] == [
        None,
        True,
        2**60,
        1.5,
        "inf",
        "x",
        "2026-11-21T05:00:00Z",
        "2026-01-02",
        60.0,
        12,
    ]
    assert [plain(value) for value in odd] == [
        "1.25",
        "AA==",
        ["2026-11-21T05:00:00Z"],
        {"a": [1, "Yg=="]},
        "/x",
        "file",
    ]


@given(st.text(), st.integers(), st.binary(max_size=40))
def test_every_record_is_one_line_of_ascii(detail: str, entries: int, path: bytes) -> None:
    for record in (
        record_of("progress", Progress(stage="seal", entries=entries, detail=detail)),
        record_of("entry", Entry(path=path, kind=EntryKind.FILE)),
    ):
        line = encode_record(record)
        assert line.isascii()
        assert "\n" not in line
        assert json.loads(line) == pickle.loads(pickle.dumps(record))


@given(st.binary(max_size=40))
def test_the_exact_bytes_of_a_name_can_be_had_back(path: bytes) -> None:
    record = json.loads(encode_record(record_of("entry", Entry(path=path, kind=EntryKind.FILE))))

    assert path == (base64.b64decode(record["path_bytes"]) if "path_bytes" in record else record["path"].encode())

from __future__ import annotations

import json
import os
import stat
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farshore.errors import FormatTooNew, KeyFileDamaged, RepositoryMismatch
from farshore.format import encode_canonical
from farshore.format.header import check_of
from farshore.trust.log_entry import LogHead
from farshore.trust.memory import (
    Memory,
    NewestSnapshot,
    forward,
    known_at,
    leave_places,
    path_of,
    read_memory,
    remember,
)

ID = "ab" * 16
FIRST = Memory(
    fingerprint="0f" * 32,
    head=LogHead(3, "aa" * 32),
    newest={"s": NewestSnapshot(5, "snapshot-5", "c5" * 32, "w")},
    own={"s": NewestSnapshot(5, "snapshot-own", "0e" * 32, "w")},
    chains={"c": (7, "5e" * 32)},
)


def rewritten(path: Path, **changed: Any) -> None:
    """Write the file again with other values and a check that holds."""
    value = {**json.loads(path.read_bytes()), **changed}
    path.write_bytes(encode_canonical({**value, "check": check_of(value)}))


def test_what_was_never_seen_is_none(tmp_path: Path) -> None:
    assert read_memory(tmp_path, ID) is None


def test_what_is_remembered_reads_as_it_was(tmp_path: Path) -> None:
    assert remember(tmp_path / "state", ID, FIRST) == FIRST
    assert read_memory(tmp_path / "state", ID) == FIRST
    assert read_memory(tmp_path / "state", "cd" * 16) is None
    path = path_of(tmp_path / "state", ID)
    assert path == tmp_path / "state" / "trust" / f"{ID}.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == [path.name]
    empty = Memory("0f" * 32)
    assert remember(tmp_path / "other", ID, empty) == empty == read_memory(tmp_path / "other", ID)


def test_it_moves_forward_only() -> None:
    def seen(head: int | None, sequence: int, seal: int, *, source: str = "s", chain: str = "c") -> Memory:
        one = {source: NewestSnapshot(sequence, "x", "00" * 32, "w")}
        log = LogHead(head, "bb" * 32) if head else None
        return Memory(FIRST.fingerprint, log, one, one, {chain: (seal, "00" * 32)})

    back, beside, on = seen(2, 4, 6), seen(3, 5, 7), seen(4, 6, 8)
    more = seen(None, 1, 0, source="t", chain="d")
    assert forward(FIRST, back) == FIRST
    assert forward(FIRST, beside) == FIRST
    assert forward(FIRST, on) == on
    assert forward(more, FIRST) == forward(FIRST, more)
    assert forward(FIRST, more) == replace(
        FIRST, newest={**FIRST.newest, **more.newest}, own={**FIRST.own, **more.own},
        chains={**FIRST.chains, **more.chains},
    )  # fmt: skip


def test_what_counts_no_more_gives_way_to_a_lower_number() -> None:
    """A thief's snapshot that is refused now must not hide, nor outnumber, what the honest make."""
    lower = {"s": NewestSnapshot(2, "snapshot-2", "c2" * 32, "w")}
    seen = Memory(FIRST.fingerprint, newest=lower)
    assert forward(FIRST, seen, ["c5" * 32]) == replace(FIRST, newest=lower)
    assert forward(FIRST, seen, ["0e" * 32]) == replace(FIRST, own={})
    assert forward(FIRST, seen) == FIRST


def test_what_is_written_moves_forward(tmp_path: Path) -> None:
    remember(tmp_path, ID, FIRST)
    ninth = replace(FIRST, head=LogHead(9, "99" * 32), newest={})
    assert remember(tmp_path, ID, ninth, read_with=FIRST).head == LogHead(9, "99" * 32)
    assert remember(tmp_path, ID, replace(FIRST, head=None), read_with=ninth).head == LogHead(9, "99" * 32)
    assert read_memory(tmp_path, ID) == replace(FIRST, head=LogHead(9, "99" * 32))


def test_of_two_processes_that_were_shown_two_branches_the_first_decides(tmp_path: Path) -> None:
    """The other's may be longer: a thief's who holds a retired owner key."""
    remember(tmp_path, ID, FIRST)
    mine, longer = LogHead(5, "55" * 32), LogHead(99, "99" * 32)
    remember(tmp_path, ID, replace(FIRST, head=mine), read_with=FIRST)
    assert remember(tmp_path, ID, replace(FIRST, head=longer), read_with=FIRST).head == mine


def test_another_fingerprint_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    remember(tmp_path, ID, FIRST)
    before = path_of(tmp_path, ID).read_bytes()
    with pytest.raises(RepositoryMismatch, match=r"0f0f.*1f1f"):
        remember(tmp_path, ID, Memory("1f" * 32, LogHead(99, "99" * 32)))
    assert path_of(tmp_path, ID).read_bytes() == before


@pytest.mark.parametrize("at", [0, 1, 40, 200, -3])
def test_a_damaged_file_is_an_error_and_stays(tmp_path: Path, at: int) -> None:
    remember(tmp_path, ID, FIRST)
    path = path_of(tmp_path, ID)
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(KeyFileDamaged, match="is damaged") as raised:
        read_memory(tmp_path, ID)
    assert str(path) in raised.value.message
    assert "remove the file" in raised.value.hint
    with pytest.raises(KeyFileDamaged):
        remember(tmp_path, ID, FIRST)
    assert path.read_bytes() == data


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"\xff" * 100], ids=repr)
def test_a_file_cut_short_is_no_empty_memory(tmp_path: Path, data: bytes) -> None:
    remember(tmp_path, ID, FIRST)
    path_of(tmp_path, ID).write_bytes(data)
    with pytest.raises(KeyFileDamaged):
        read_memory(tmp_path, ID)


@pytest.mark.parametrize(
    "changed",
    [
        {"repository": "cd" * 16},
        {"fingerprint": "0f"},
        {"fingerprint": None},
        {"log": [1]},
        {"log": ["1", "aa"]},
        {"log": 7},
        {"newest": []},
        {"newest": {"s": 7}},
        {"newest": {"s": {"sequence": -1, "snapshot": "", "commit": ""}}},
        {"newest": {"s": {"sequence": 1 << 53, "snapshot": "", "commit": ""}}},
        {"chains": {"c": [True, ""]}},
        {"chains": None},
        {"version": None},
        {"format": "farshore"},
    ],
    ids=str,
)
def test_values_of_another_form_are_damage(tmp_path: Path, changed: dict[str, Any]) -> None:
    remember(tmp_path, ID, FIRST)
    rewritten(path_of(tmp_path, ID), **changed)
    with pytest.raises(KeyFileDamaged):
        read_memory(tmp_path, ID)


def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    remember(tmp_path, ID, FIRST)
    rewritten(path_of(tmp_path, ID), version=2)
    with pytest.raises(FormatTooNew):
        remember(tmp_path, ID, FIRST)


def test_a_file_that_cannot_be_read_is_no_empty_memory(tmp_path: Path) -> None:
    path_of(tmp_path, ID).mkdir(parents=True)
    with pytest.raises(KeyFileDamaged):
        read_memory(tmp_path, ID)


def test_writers_side_by_side_lose_nothing(tmp_path: Path) -> None:
    def write(source: int) -> None:
        for sequence in range(20):
            newest = {str(source): NewestSnapshot(sequence, "x", "00" * 32, "w")}
            remember(tmp_path, ID, Memory(FIRST.fingerprint, newest=newest))

    threads = [threading.Thread(target=write, args=(source,)) for source in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    memory = read_memory(tmp_path, ID)
    assert memory is not None
    assert {source: one.sequence for source, one in memory.newest.items()} == dict.fromkeys("0123", 19)


def test_a_repository_is_known_by_the_places_of_its_replicas(tmp_path: Path) -> None:
    at = replace(FIRST, places=frozenset({"s3://a", "s3://b"}))
    remember(tmp_path, ID, at)
    remember(tmp_path, ID, replace(FIRST, places=frozenset({"s3://c"})))
    other = Memory("1f" * 32, places=frozenset({"s3://d"}))
    remember(tmp_path, "ee" * 16, other)
    assert known_at(tmp_path, ["s3://b", "s3://z"]) == {ID: replace(at, places=at.places | {"s3://c"})}
    assert known_at(tmp_path, ["s3://z"]) == {}
    assert set(known_at(tmp_path, ["s3://c", "s3://d"])) == {ID, "ee" * 16}
    leave_places(tmp_path, ["s3://b", "s3://d"])
    assert set(known_at(tmp_path, ["s3://a", "s3://b", "s3://d"])) == {ID}
    assert known_at(tmp_path, ["s3://b", "s3://d"]) == {}


def test_an_empty_state_directory_knows_no_place(tmp_path: Path) -> None:
    assert known_at(tmp_path / "nothing", ["s3://a"]) == {}

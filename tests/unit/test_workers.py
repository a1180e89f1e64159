"""Child processes answer in frames of any length, end when they are told to, and say how they ended."""

from __future__ import annotations

import json
import os
from queue import SimpleQueue
from typing import Any

import pytest

from farshore import limits
from farshore.chunking.page_hashes import HASH_BYTES
from farshore.frames import Frame, read_frame, write_frame
from farshore.workers import Worker, close_all, make_shared, spawn

FACTS = "tests.unit.worker_facts"
HASHING = "farshore.ops.backup.pages.hashing_process"
BUFFER = limits.HASHING_BUFFER_BYTES


def start(shared: int, bufsize: int = -1) -> Worker:
    worker = spawn(HASHING, [str(shared), str(BUFFER)], pass_fds=(shared,), bufsize=bufsize)
    worker.send(b"K", bytes(32))
    return worker


@pytest.fixture
def shared() -> int:
    return make_shared("farshore-test", BUFFER)


def order(length: int, page_bytes: int) -> bytes:
    return b"".join(number.to_bytes(4, "little") for number in (0, length, page_bytes))


@pytest.mark.parametrize("bufsize", [-1, 0])
def test_an_answer_longer_than_a_pipe_holds_arrives_whole(shared: int, bufsize: int) -> None:
    worker = start(shared, bufsize)
    worker.send(b"H", order(BUFFER, 256))
    frame = worker.receive()
    close_all([worker])
    assert frame is not None
    assert len(frame[1]) == BUFFER // 256 * HASH_BYTES > 64 * limits.KIB
    assert worker.process.returncode == 0


def test_a_worker_that_dies_shows_by_its_answers_and_says_how(shared: int) -> None:
    worker = start(shared)
    worker.process.kill()
    worker.process.wait()
    for _ in range(3):
        worker.send(b"H", bytes(100_000))  # nobody reads it
    assert worker.receive() is None
    assert "a process that sleeps ended by SIGKILL" in str(worker.gone("sleeps"))
    close_all([worker])
    close_all([worker])


def test_a_worker_that_fails_sends_what_went_wrong(shared: int) -> None:
    worker = start(shared)
    worker.send(b"H", b"odd")
    frame = worker.receive()
    close_all([worker])
    assert frame is not None
    assert frame[0] == b"X"
    assert b"a hashing process failed: error: unpack requires" in frame[1]


def test_a_listener_takes_every_answer_and_the_end(shared: int) -> None:
    worker = start(shared)
    frames: SimpleQueue[Frame | None] = SimpleQueue()
    worker.listen(frames.put)
    for _ in range(100):
        worker.send(b"H", order(BUFFER, 512))  # more answers than the pipe holds, while nobody asks for them
    close_all([worker])
    assert [frames.get() is None for _ in range(101)] == [False] * 100 + [True]


def test_workers_are_not_reached_by_an_interrupt_of_the_terminal(shared: int) -> None:
    worker = start(shared)
    assert os.getpgid(worker.process.pid) == worker.process.pid != os.getpgrp()
    close_all([worker])


def test_a_frame_that_is_cut_off_is_the_end() -> None:
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as answers, open(writing, "wb", buffering=0) as orders:
        write_frame(orders, b"A", b"one", b"two")
        orders.write(b"A\xff\x00\x00\x00short")
        orders.close()
        assert read_frame(answers) == (b"A", b"onetwo")
        assert read_frame(answers) is None
        assert read_frame(answers) is None


def facts(*, opens_stores: bool = False) -> dict[str, Any]:
    """What a worker sees of itself."""
    worker = spawn(FACTS, opens_stores=opens_stores)
    frame = worker.receive()
    close_all([worker])
    assert frame is not None
    found: dict[str, Any] = json.loads(frame[1])
    return found


def test_a_worker_gets_no_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FARSHORE_PASSPHRASE", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "VAULT_TOKEN", "https_proxy"):
        monkeypatch.setenv(name, "a secret")
    monkeypatch.setenv("TMPDIR", "/var/tmp")
    environment = facts()["environment"]
    assert "a secret" not in environment.values()
    assert environment["TMPDIR"] == "/var/tmp"
    assert environment["PATH"] == os.environ["PATH"]


def test_a_worker_that_opens_stores_gets_what_their_sdks_look_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FARSHORE_PASSPHRASE", "FARSHORE_NEW_PASSPHRASE", "PGPASSWORD", "AWS_PROFILE", "https_proxy"):
        monkeypatch.setenv(name, "x")
    names = facts(opens_stores=True)["environment"].keys()
    assert {"AWS_PROFILE", "https_proxy", "PATH"} <= names
    assert not {"FARSHORE_PASSPHRASE", "FARSHORE_NEW_PASSPHRASE", "PGPASSWORD"} & names


def test_a_worker_leaves_no_core_dump() -> None:
    found = facts()
    assert found["core_bytes_max"] == 0
    assert found["dumpable"] == 0

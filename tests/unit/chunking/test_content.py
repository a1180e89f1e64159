"""Cut points are a compatibility promise: with other ones every old chunk would be stored a second time."""

from __future__ import annotations

import hashlib
import random

import pytest

from farshore.chunking.content import ContentCutter, CutSizes

SEED = 3809414500742683435
SMALL = CutSizes(minimum=1024, average=4096, maximum=16384)
DATA = random.Random(1).randbytes(400_000)


def cut(data: bytes, *, sizes: CutSizes = SMALL, seed: int = SEED, piece_bytes: int | None = None) -> list[bytes]:
    cutter = ContentCutter(sizes=sizes, seed=seed)
    chunks: list[bytes] = []
    step = piece_bytes or max(len(data), 1)
    for start in range(0, len(data), step):
        chunks += [bytes(chunk) for chunk in cutter.feed(data[start : start + step])]
    return chunks + [bytes(chunk) for chunk in cutter.finish()]


def test_known_cuts_with_the_sizes_of_every_repository() -> None:
    data = random.Random(1).randbytes(12 * 1024 * 1024)
    assert [len(chunk) for chunk in cut(data, sizes=CutSizes())] == [
        1384987, 1569667, 2755436, 804749, 723355, 320237, 496900, 1322952, 935855, 1312612, 956162
    ]  # fmt: skip


def test_known_cuts_with_small_sizes() -> None:
    lengths = [len(chunk) for chunk in cut(random.Random(1).randbytes(12 * 1024 * 1024)[:200_000])]
    assert lengths[:12] == [2416, 9353, 6089, 5317, 3325, 3122, 10295, 8453, 7889, 4184, 4573, 4279]
    digest = hashlib.sha256(repr(lengths).encode()).hexdigest()
    assert digest == "1e09f3a7f48cc7618abbaa36588710cd72219bd7ee22d364f657bb3677f8fd54"


@pytest.mark.parametrize("piece_bytes", [1, 17, 1023, 1024, 4096, 16383, 16384, 16385, 100_000])
def test_cuts_do_not_depend_on_how_the_stream_was_divided(piece_bytes: int) -> None:
    data = DATA[:60_000] if piece_bytes < 100 else DATA
    assert cut(data, piece_bytes=piece_bytes) == cut(data)


def test_chunks_joined_are_the_input_and_keep_to_their_sizes() -> None:
    chunks = cut(DATA)
    assert b"".join(chunks) == DATA
    assert all(SMALL.minimum <= len(chunk) <= SMALL.maximum for chunk in chunks[:-1])
    assert 0 < len(chunks[-1]) <= SMALL.maximum


def test_data_without_any_cut_point_is_cut_at_the_maximum() -> None:
    assert {len(chunk) for chunk in cut(bytes(16384 * 5))} == {16384}


@pytest.mark.parametrize("length", [0, 1, 1023, 1024])
def test_what_is_not_longer_than_the_minimum_is_one_chunk(length: int) -> None:
    assert cut(DATA[:length]) == ([DATA[:length]] if length else [])


def test_an_insertion_changes_only_the_chunks_around_it() -> None:
    before, after = cut(DATA), cut(DATA[:200_000] + b"inserted" + DATA[200_000:])
    assert len(set(after) - set(before)) <= 3


def test_another_repository_cuts_elsewhere() -> None:
    assert not set(cut(DATA)[:-1]) & set(cut(DATA, seed=SEED + 1)[:-1])


def test_a_cutter_that_finished_is_ready_for_the_next_stream() -> None:
    cutter = ContentCutter(sizes=SMALL, seed=SEED)
    for _ in range(2):
        chunks = [bytes(chunk) for chunk in cutter.feed(DATA)]
        assert chunks + [bytes(chunk) for chunk in cutter.finish()] == cut(DATA)


def test_a_stream_that_is_all_there_is_cut_likewise_and_not_copied() -> None:
    cutter = ContentCutter(sizes=SMALL, seed=SEED)
    chunks = list(cutter.whole(DATA))
    assert [bytes(chunk) for chunk in chunks] == cut(DATA)
    assert all(chunk.obj is DATA for chunk in chunks)

"""Reading and hashing an object in pieces: every byte once, in order, and nothing that is short or altered passes."""

from __future__ import annotations

import random

import pytest
from blake3 import blake3

from farshore.clock import SystemClock
from farshore.errors import ObjectCorrupt, StoreUnavailable
from farshore.replicas.object_pieces import checked_pieces, hash_pieces, piece_ranges, read_pieces
from farshore.stores.memory import MemoryStore

PIECE = 1000
NAME = "snapshots/one"


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 5 * PIECE, 5 * PIECE + 7])
def test_pieces_are_the_object(size: int) -> None:
    data = random.Random(size).randbytes(size)
    pieces = [data[offset : offset + length] for offset, length in piece_ranges(size, piece_bytes=PIECE)]
    assert b"".join(pieces) == data
    assert all(len(piece) == PIECE for piece in pieces[:-1])
    assert hash_pieces(NAME, pieces) == blake3(data).hexdigest()
    assert list(checked_pieces(pieces, blake3(data).hexdigest(), NAME)) == pieces


def test_an_object_is_read_by_ranges_up_to_the_size_that_is_asked_for() -> None:
    store = store_of(bytes(3 * PIECE + 5))
    assert [len(piece) for piece in read_pieces(store, NAME, 2 * PIECE + 1, piece_bytes=PIECE)] == [PIECE, PIECE, 1]


@pytest.mark.parametrize("size", [PIECE // 2, PIECE + 1, 3 * PIECE - 1])
def test_an_object_that_ends_early_is_not_taken_for_a_shorter_one(size: int) -> None:
    with pytest.raises(StoreUnavailable, match=f"ended after {size} of {3 * PIECE} bytes"):
        hash_pieces(NAME, read_pieces(store_of(bytes(size)), NAME, 3 * PIECE, piece_bytes=PIECE))


def test_altered_bytes_are_reported_after_the_last_piece() -> None:
    data = bytes(2 * PIECE)
    digest = blake3(data).hexdigest()
    pieces = checked_pieces([data[:PIECE], data[PIECE:-1] + b"\1"], digest, NAME)
    assert [len(next(pieces)), len(next(pieces))] == [PIECE, PIECE]
    with pytest.raises(ObjectCorrupt, match=NAME):
        next(pieces)


def store_of(data: bytes) -> MemoryStore:
    store = MemoryStore(clock=SystemClock())
    store.put(NAME, data)
    return store

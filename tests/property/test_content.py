"""Cutting and reading of content: any division into pieces, any map of data and holes, any rewrites come back."""

from __future__ import annotations

import random
from itertools import pairwise

from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from farshore.chunking.content import ContentCutter, CutSizes
from farshore.model import HOLE, Entry, EntryKind, Extent
from farshore.ops.backup.pages.paged_file import FileRead, PagedFile, PreviousPages
from farshore.ops.backup.pipeline.read_file import ContentReader
from farshore.sealed.content_hash import ContentHash
from tests.doubles.clock import FixedClock
from tests.doubles.keys import fixed_keys
from tests.doubles.page_maps import cursor_of, with_all_pages
from tests.unit.ops.tree_source import TreeItem, TreeSource

KEYS = fixed_keys(repository_id=b"r" * 16, chunk_key=b"c" * 32, index_key=b"i" * 32)
SIZES = CutSizes(minimum=64, average=256, maximum=1024, block=65536)
CONTENT = st.builds(
    lambda seed, length, repeats: random.Random(seed).randbytes(length) * repeats,
    st.integers(0, 1 << 32),
    st.integers(0, 9000),
    st.integers(1, 3),
)
PIECES = st.lists(st.one_of(CONTENT, st.integers(1, 200_000)), max_size=8)


def plain(pieces: list[bytes | int]) -> bytes:
    return b"".join(bytes(piece) if isinstance(piece, int) else piece for piece in pieces)


def built(extents: list[Extent], chunks: dict[bytes, bytes]) -> bytes:
    parts = []
    for extent in extents:
        if extent.chunk == HOLE:
            parts.append(bytes(extent.length))
            continue
        chunk = chunks[extent.chunk]
        assert extent.offset + extent.length <= len(chunk)
        parts.append(chunk[extent.offset : extent.offset + extent.length])
    return b"".join(parts)


def hashed(extents: list[Extent], chunks: dict[bytes, bytes]) -> bytes:
    """Hash a file as a restore does, from its extents."""
    hasher = ContentHash()
    for extent in extents:
        if extent.chunk == HOLE:
            hasher.skip(extent.length)
        else:
            hasher.update(chunks[extent.chunk][extent.offset : extent.offset + extent.length])
    return hasher.digest()


def cut(data: bytes, borders: list[int]) -> list[bytes]:
    cutter = ContentCutter(sizes=SIZES, seed=KEYS.cut_seed)
    edges = sorted({0, len(data), *(border % (len(data) + 1) for border in borders)})
    chunks: list[bytes] = []
    for start, end in pairwise(edges):
        chunks += [bytes(chunk) for chunk in cutter.feed(data[start:end])]
    return chunks + [bytes(chunk) for chunk in cutter.finish()]


@settings(max_examples=400)
@given(CONTENT, st.lists(st.integers(0, 30_000), max_size=30))
def test_cuts_do_not_depend_on_the_borders_of_pieces(data: bytes, borders: list[int]) -> None:
    chunks = cut(data, [])
    assert b"".join(chunks) == data
    assert cut(data, borders) == chunks
    assert all(SIZES.minimum <= len(chunk) <= SIZES.maximum for chunk in chunks[:-1])


@settings(max_examples=400)
@given(PIECES)
def test_any_map_of_data_and_holes_comes_back(pieces: list[bytes | int]) -> None:
    source = TreeSource(clock=FixedClock())
    source.file(b"f", *pieces)
    chunks: dict[bytes, bytes] = {}
    reader = ContentReader(keys=KEYS, sizes=SIZES)
    item = TreeItem(source, b"f", source.nodes[b"f"].entry)
    result = reader.read(item, lambda name, data: chunks.update({name: bytes(data)}), attempts=1)
    assert isinstance(result, FileRead)
    assert built(result.extents, chunks) == plain(pieces)
    assert hashed(result.extents, chunks) == result.content_hash
    assert result.entry.size == len(plain(pieces))
    assert all(blake3(data, key=KEYS.chunk_key).digest() == name for name, data in chunks.items())
    holes = sum(piece for piece in pieces if isinstance(piece, int))
    assert sum(extent.length for extent in result.extents if extent.chunk == HOLE) == holes


@st.composite
def histories(draw: st.DrawFn) -> list[list[bytes | int]]:
    """States of one paged file, each made from the one before by writes, holes, truncation and growth."""
    chance = random.Random(draw(st.integers(0, 1 << 32)))
    state = bytearray(chance.randbytes(draw(st.integers(0, 200_000))))
    holes: list[tuple[int, int]] = []
    states: list[list[bytes | int]] = []
    for _ in range(draw(st.integers(1, 6))):
        for _ in range(draw(st.integers(0, 8))):
            what = draw(st.sampled_from(["page", "bytes", "hole", "cut", "grow"]))
            at = draw(st.integers(0, len(state)))
            size = draw(st.sampled_from([1, 511, 512, 5000, 65536, 140_000]))
            if what == "page":
                at = at // 512 * 512
                state[at : at + 512] = chance.randbytes(min(512, max(len(state) - at, 0)))
            elif what == "bytes":
                state[at : at + size] = chance.randbytes(max(min(size, len(state) - at), 0))
            elif what == "hole":
                end = max(at, min(at + size, len(state)))
                state[at:end] = bytes(end - at)
                holes.append((at, end))
            elif what == "cut":
                del state[at:]
            else:
                state += chance.randbytes(size)
        states.append(_as_pieces(bytes(state), holes))
    return states


def _as_pieces(state: bytes, holes: list[tuple[int, int]]) -> list[bytes | int]:
    """Divide a state at former holes that are still zero, as a file system might tell it."""
    edges = sorted({0, len(state), *(edge for hole in holes for edge in hole if edge <= len(state))})
    pieces: list[bytes | int] = []
    for start, end in pairwise(edges):
        part = state[start:end]
        is_hole = any(low <= start and end <= high for low, high in holes) and not part.strip(b"\0")
        pieces.append(end - start if is_hole else part)
    return pieces


@settings(max_examples=600)
@given(histories(), st.sampled_from([512, 4096, 65536]))
def test_any_history_of_a_paged_file_comes_back(states: list[list[bytes | int]], page_bytes: int) -> None:
    chunks: dict[bytes, bytes] = {}
    before: FileRead | None = None
    for state in states:
        entry = Entry(b"db", EntryKind.FILE, size=len(plain(state)), page_bytes=page_bytes)
        previous_pages = PreviousPages(before.extents, cursor_of(before)) if before else None
        paged = PagedFile(
            entry=entry,
            keys=KEYS,
            block_bytes=SIZES.block,
            emit=lambda name, data: chunks.update({name: bytes(data)}),
            previous_pages=previous_pages,
        )
        for piece in state:
            if isinstance(piece, int):
                paged.feed_hole(piece)
            else:
                paged.feed(piece)
        before = with_all_pages(paged.finish(), before)
        assert built(before.extents, chunks) == plain(state)
        assert hashed(before.extents, chunks) == before.content_hash

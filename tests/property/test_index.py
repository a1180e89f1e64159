from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from farshore.format.origin import Origin
from farshore.format.pack import CHUNK_DTYPE, SEGMENT_DTYPE, Footer, PackedFooter
from farshore.index import ABSENT, ChunkIndex

# Few values for the 8 bytes that are sorted by, so that many ids share them; few for the rest, so that some are equal.
IDS = st.builds(
    lambda prefix, rest: prefix.to_bytes(8, "little") + rest.to_bytes(24),
    st.sampled_from([0, 1, 2, 255, 256, 1 << 63, (1 << 64) - 1]),
    st.integers(0, 6),
)
PACKS = st.lists(
    st.lists(st.tuples(IDS, st.integers(0, 3), st.integers(0, 99), st.integers(0, 99)), max_size=12), max_size=6
)


@given(PACKS, st.lists(IDS, max_size=40))
def test_an_index_answers_as_a_dict_does(packs: list[list[tuple[bytes, int, int, int]]], wanted: list[bytes]) -> None:
    truth: dict[bytes, set[tuple[int, int, int, int]]] = {}
    footers = []
    for number, chunks in enumerate(packs):
        for chunk_id, *place in chunks:
            truth.setdefault(chunk_id, set()).add((number, *place))  # type: ignore[arg-type]
        table = np.array(chunks, CHUNK_DTYPE) if chunks else np.zeros(0, CHUNK_DTYPE)
        footer = Footer((Origin(bytes(16), bytes(32)),), np.zeros(4, SEGMENT_DTYPE), table)
        footers.append(PackedFooter(number.to_bytes(32), 1, footer))
    index = ChunkIndex(footers)
    assert len(index) == sum(map(len, packs))
    rows = index.find(wanted)
    for chunk_id, row in zip(wanted, rows, strict=True):
        found = index.locate(chunk_id)
        assert (found is None) == (chunk_id not in truth) == (row == ABSENT)
        if found is not None:
            assert (found.pack, found.segment, found.offset, found.length) in truth[chunk_id]
            assert index.location(int(row)) == found
            assert index.packs_of(rows)[wanted.index(chunk_id)] == found.pack

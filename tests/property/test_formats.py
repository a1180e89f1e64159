"""Everything that is encoded is decoded to what it was, and what is cut or altered never to something else."""

from __future__ import annotations

import io
import string
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from farshore import limits
from farshore.errors import FarshoreError
from farshore.format import decode_object, names
from farshore.format.choosing import sort_key
from farshore.format.commit import Commit, RunRef, decode_commit, decode_head, encode_commit, encode_details
from farshore.format.extents import decode_extents, encode_extents
from farshore.format.footers import decode_footers
from farshore.format.header import Chunking, Header, decode_header, encode_header, new_header
from farshore.format.lease import Lease, LeaseEnd, decode_end, decode_lease, encode_end, encode_lease
from farshore.format.manifest import CHANGING, WHOLE, ManifestReader, ManifestRow, ManifestWriter
from farshore.format.needs import NeededFragment, NeededKey, NeededPack, Needs, decode_needs, encode_needs, join_needs
from farshore.format.origin import Origin
from farshore.format.pack import CHUNK_DTYPE, HEADER_BYTES, SEGMENT_DTYPE, Footer, decode_footer, encode_footer
from farshore.format.page_maps import SLOT_PAGES, PageMap, PagesWriter
from farshore.model import Entry, EntryKind, Extent, SnapshotCounts, SnapshotState
from farshore.ops.backup.pages.page_rows import PageRows
from farshore.sealed.sealed_object import SealedKind, SealedReader, open_object, seal_object

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
HEX_32 = st.binary(min_size=16, max_size=16).map(bytes.hex)
HEX_64 = st.binary(min_size=32, max_size=32).map(bytes.hex)
RUN_REFS = st.lists(st.builds(RunRef, HEX_64, st.integers(0, 1 << 40)), min_size=1, max_size=2).map(tuple)
MOMENTS = st.integers(0, 250_000_000_000_000_000).map(
    lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
)
COUNTS = st.integers(0, limits.SEQUENCE_MAX)
NAMES = st.lists(
    st.binary(min_size=1, max_size=8).filter(lambda name: b"/" not in name and b"\0" not in name), max_size=4
)
SIGNED = st.integers(-(1 << 63), (1 << 63) - 1)
UNSIGNED = st.integers(0, (1 << 64) - 1)
EXTENTS = st.lists(
    st.builds(
        Extent, st.binary(min_size=32, max_size=32), st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 64) - 1)
    ),
    max_size=8,
)
ENTRIES = st.builds(
    Entry,
    path=NAMES.map(b"/".join),
    kind=st.sampled_from(EntryKind),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, (1 << 32) - 1),
    gid=st.integers(0, (1 << 32) - 1),
    user=TEXT,
    group=TEXT,
    size=st.integers(0, (1 << 63) - 1),
    mtime_ns=SIGNED,
    ctime_ns=SIGNED,
    inode=UNSIGNED,
    device=UNSIGNED,
    rdev=UNSIGNED,
    links=st.integers(1, 1 << 40),
    target=st.binary(max_size=30),
    xattrs=st.lists(st.tuples(st.binary(min_size=1, max_size=8), st.binary(max_size=30)), max_size=3).map(tuple),
    page_bytes=st.sampled_from([0, 512, 4096, 8192, 65536]),
)
ROWS = st.builds(
    ManifestRow, ENTRIES, st.binary(max_size=32), EXTENTS.map(encode_extents), st.sampled_from([WHOLE, CHANGING])
)


@given(EXTENTS)
def test_extents(extents: list[Extent]) -> None:
    assert decode_extents(encode_extents(extents)) == extents


@given(
    st.builds(
        new_header,
        repository_id=HEX_32,
        created_utc=MOMENTS,
        chunking=st.builds(
            Chunking,
            minimum=st.integers(64, 1000),
            average=st.integers(1000, 5000),
            maximum=st.integers(5000, limits.CHUNK_BYTES_MAX),
            block=st.sampled_from([65536, 1 << 20, 1 << 22]),
            normalization=st.integers(0, 3),
        ),
        owner=st.binary(min_size=1984, max_size=1984),
        may_ignore=st.lists(TEXT, max_size=3).map(tuple),
    ),
    st.data(),
)
def test_headers(header: Header, data: st.DataObject) -> None:
    encoded = encode_header(header)
    assert decode_header(encoded, "here") == header
    at = data.draw(st.integers(0, len(encoded) - 2))
    flip = data.draw(st.integers(1, 255))
    try:
        decode_header(encoded[:at] + bytes([encoded[at] ^ flip]) + encoded[at + 1 :], "here")
    except FarshoreError:
        return
    raise AssertionError(f"byte {at} was altered by {flip} and nothing noticed")


@given(st.binary(max_size=300))
def test_no_bytes_at_all_are_taken_for_a_header_or_a_record(data: bytes) -> None:
    for decode in (lambda one: decode_header(one, "here"), lambda one: decode_needs(one, "it")):
        try:
            decode(data)
        except FarshoreError:
            continue
        raise AssertionError(f"{data!r} was taken for one")


@given(
    st.builds(
        Commit,
        snapshot=HEX_32,
        source_id=HEX_32,
        run=HEX_32,
        lease=HEX_32,
        domain=TEXT,
        epoch=st.integers(1, (1 << 32) - 1),
        parent=st.one_of(st.just(""), HEX_32),
        parent_commit=st.one_of(st.just(""), HEX_64),
        sequence=st.integers(1, limits.SEQUENCE_MAX),
        started_utc=MOMENTS,
        committed_utc=MOMENTS,
        state=st.sampled_from(SnapshotState),
        data_key=HEX_32,
        runs=st.fixed_dictionaries(
            {"manifest": RUN_REFS, "needs": RUN_REFS}, optional={"pages": RUN_REFS, "of-later": st.just(())}
        ),
        log=st.tuples(st.integers(1, 99_999_999), HEX_64),
        hash=st.just(""),
        signer=st.just(""),
        source=TEXT,
        kind=TEXT,
        identity=TEXT,
        farshore=TEXT,
        counts=st.builds(SnapshotCounts, *[COUNTS] * 10),
        facts=st.dictionaries(TEXT, TEXT, max_size=3),
        quorum=st.integers(1, 9),
        marks=st.dictionaries(TEXT, TEXT, max_size=3),
        locks=st.just({}),
    ),
    st.binary(max_size=40),
)
def test_commits(commit: Commit, sealed: bytes) -> None:
    head, kept = decode_head(decode_object(encode_commit(commit, sealed), "it"), "it")
    assert kept == sealed
    assert decode_commit(head, encode_details(commit), "it") == commit


@st.composite
def needed_packs(draw: st.DrawFn) -> NeededPack:
    count = draw(st.integers(0, 40))
    bits = draw(st.integers(0, (1 << count) - 1))
    return NeededPack(draw(HEX_64), draw(st.integers(0, limits.PACK_BYTES_MAX)), (count, bits) if count else None)


@given(
    st.lists(needed_packs(), max_size=5),
    st.lists(st.builds(NeededKey, HEX_32, HEX_32, HEX_64), max_size=3),
    st.lists(st.builds(NeededFragment, HEX_64, COUNTS), max_size=3),
)
def test_needs(packs: list[NeededPack], keys: list[NeededKey], fragments: list[NeededFragment]) -> None:
    needs = join_needs([Needs(tuple(packs), tuple(keys), tuple(fragments))])
    assert decode_needs(encode_needs(needs), "it") == needs
    assert join_needs([needs, needs]) == needs


@given(
    st.builds(
        Lease,
        lease=HEX_32,
        run=HEX_32,
        source_id=HEX_32,
        identity=TEXT,
        snapshot=HEX_32,
        host=TEXT,
        beat=st.integers(0, 999_999),
        started_utc=MOMENTS,
        expires_utc=MOMENTS,
        log=st.tuples(COUNTS, HEX_64),
    )
)
def test_leases(lease: Lease) -> None:
    assert decode_lease(decode_object(encode_lease(lease), "it"), "it") == lease
    assert names.parse_lease(names.lease_beat(lease.lease, lease.beat)) == names.LeaseName(
        lease.lease, lease.beat, None
    )


@given(
    st.builds(
        LeaseEnd,
        lease=HEX_32,
        k=st.integers(0, 15),
        state=TEXT,
        made_utc=MOMENTS,
        log=st.tuples(COUNTS, HEX_64),
        commit=st.binary(max_size=40),
        commits=st.lists(HEX_64, max_size=3).map(tuple),
    )
)
def test_ends_of_leases(end: LeaseEnd) -> None:
    assert decode_end(decode_object(encode_end(end), "it"), "it") == end
    assert names.parse_lease(names.lease_end(end.lease, end.k)) == names.LeaseName(end.lease, None, end.k)


@st.composite
def footers(draw: st.DrawFn) -> Footer:
    """A footer of segments end to end, with chunks that lie in them."""
    origins = draw(
        st.lists(
            st.builds(Origin, st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32)),
            min_size=1,
            max_size=3,
        )
    )
    raws = draw(st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 5000)), max_size=5))
    segments = np.zeros(len(raws), SEGMENT_DTYPE)
    offset = HEADER_BYTES
    for at, (stored, raw) in enumerate(raws):
        segments[at] = (draw(st.integers(0, len(origins) - 1)), draw(st.integers(0, 1)), 0, at, offset, stored, raw)
        offset += stored
    chunks = []
    for at, (_, raw) in enumerate(raws):
        for _ in range(draw(st.integers(0, 3))):
            start = draw(st.integers(0, raw))
            chunks.append((draw(st.binary(min_size=32, max_size=32)), at, start, draw(st.integers(0, raw - start))))
    table = np.array(chunks, CHUNK_DTYPE) if chunks else np.zeros(0, CHUNK_DTYPE)
    return Footer(tuple(origins), segments, table)


@given(st.lists(st.tuples(st.binary(min_size=32, max_size=32), COUNTS, footers()), max_size=3))
def test_footers(packs: list[tuple[bytes, int, Footer]]) -> None:
    encoded = [(pack_id, size, encode_footer(footer)) for pack_id, size, footer in packs]
    for (_, _, plain), (_, _, footer) in zip(encoded, packs, strict=True):
        decoded = decode_footer(plain)
        assert decoded.origins == footer.origins
        assert (decoded.segments == footer.segments).all()
        assert (decoded.chunks == footer.chunks).all()
    for (pack_id, size, plain), one in zip(encoded, decode_footers(encoded), strict=True):
        assert (one.pack_id, one.pack_bytes, encode_footer(one.footer)) == (pack_id, size, plain)


@given(footers(), st.data())
def test_an_altered_footer_is_refused_or_still_lies_within_its_bounds(footer: Footer, data: st.DataObject) -> None:
    plain = bytearray(encode_footer(footer))
    plain[data.draw(st.integers(0, len(plain) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        read = decode_footer(bytes(plain), body_end=40_000)
    except FarshoreError:
        return
    ends = read.segments["offset"].astype(np.int64) + read.segments["stored"]
    assert (ends <= 40_000).all()
    assert (read.segments["origin"] < len(read.origins)).all()
    within = read.chunks["offset"].astype(np.int64) + read.chunks["length"]
    assert (within <= read.segments["raw"][read.chunks["segment"]]).all()


@settings(max_examples=40)
@given(st.lists(ROWS, max_size=12), st.integers(0, 12))
def test_manifests(rows: list[ManifestRow], cut: int) -> None:
    """Rows come back as they were, also those that were passed on as a slice of an earlier manifest."""
    file = io.BytesIO()
    writer = ManifestWriter(file)
    for row in rows:
        writer.add(row)
    writer.close()
    file.seek(0)
    reader = ManifestReader(file)
    assert list(reader.rows()) == rows
    again = io.BytesIO()
    second = ManifestWriter(again)
    for table in reader.tables():
        second.add_slice(table.slice(0, cut))
    for row in rows[cut:]:
        second.add(row)
    second.close()
    again.seek(0)
    assert list(ManifestReader(again).rows()) == rows


@given(st.lists(NAMES.map(b"/".join), unique=True))
def test_the_order_of_a_manifest_puts_directories_before_what_is_in_them(paths: list[bytes]) -> None:
    ordered = sorted(paths, key=sort_key)
    for directory in ordered:
        inside = [at for at, path in enumerate(ordered) if not directory or path.startswith(directory + b"/")]
        at = ordered.index(directory)
        rest = [place for place in inside if place != at]
        assert rest == list(range(at + 1, at + 1 + len(rest)))  # right behind it, and together


RUNS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 20)), min_size=1, max_size=4)  # gap, then pages
NAME = st.binary(min_size=1, max_size=6).filter(lambda name: b"\0" not in name)
PAGED = st.tuples(NAME, st.sampled_from([512, 4096]), st.integers(0, 2 * SLOT_PAGES), RUNS)


@settings(max_examples=40)
@given(st.lists(PAGED, max_size=5, unique_by=lambda file: file[0]), st.data())
def test_page_maps(files: list[tuple[bytes, int, int, list[tuple[int, int]]]], data: st.DataObject) -> None:
    """Whatever is asked, in any steps, is what is known; pages of gaps are not."""
    sink = io.BytesIO()
    writer = PagesWriter(sink)
    known: dict[bytes, dict[int, bytes]] = {}
    for path, page_bytes, start, runs in sorted(files, key=lambda file: sort_key(file[0])):
        at = start
        rows = PageRows(path=path, page_bytes=page_bytes)
        for gap, count in runs:
            at += gap
            hashes = [bytes([len(known), number % 256]) * 8 for number in range(at, at + count)]
            known.setdefault(path, {}).update(dict(zip(range(at, at + count), hashes, strict=True)))
            assert rows.add(at, b"".join(hashes)) == b""
            at += count
        for row in rows.finish():
            writer.add(row)
    writer.close()
    sink.seek(0)
    pages = PageMap(sink)
    for path, page_bytes, start, _ in files:
        cursor = pages.cursor(path, page_bytes)
        assert cursor is not None
        at = start
        for step, skip in data.draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), max_size=20)):
            expected = b""
            for page in range(at, at + step):
                if page not in known[path]:
                    break
                expected += known[path][page]
            assert cursor.read(at, step) == expected
            at += step + skip


@settings(max_examples=30)
@given(
    st.binary(max_size=200),
    st.integers(0, 3),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 4_000_000), st.integers(0, 2_500_000)), max_size=6),
)
def test_sealed_objects(seed: bytes, frames: int, compress: bool, reads: list[tuple[int, int]]) -> None:
    payload = (seed or b"\0") * (frames * limits.FRAME_BYTES // len(seed or b"\0")) + seed
    named = {"secret": b"s" * 32, "kind": SealedKind.MANIFEST, "name": "n", "repository_id": b"r" * 16}
    sealed = seal_object(payload, key_id=bytes(16), salt=b"t" * 32, compress=compress, **named)  # type: ignore[arg-type]
    assert open_object(sealed, **named) == payload  # type: ignore[arg-type]
    if compress:
        return
    view = SealedReader(
        fetch=lambda offset, length, check: check(sealed[offset : offset + length]), sealed_bytes=len(sealed), **named,  # type: ignore[arg-type]
    )  # fmt: skip
    plain = io.BytesIO(payload)
    for start, length in reads:
        view.seek(start)
        plain.seek(start)
        assert view.read(length) == plain.read(length)


@given(st.text(string.hexdigits.lower() + "/.-g", max_size=120))
def test_a_name_is_parsed_only_to_what_makes_it(name: str) -> None:
    pack_id = names.parse_pack(name)
    assert pack_id is None or names.pack(pack_id) == name
    parsed = names.parse_commit(name)
    assert parsed is None or parsed.name == name

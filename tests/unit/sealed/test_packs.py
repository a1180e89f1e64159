"""Segments and packs: a flipped byte anywhere is an error, and never other data."""

from __future__ import annotations

import dataclasses
import random
import threading

import pytest

from farshore import limits
from farshore.compress import CODEC_NONE, CODEC_ZSTD
from farshore.errors import Bug, FarshoreError, KeyMissing, ObjectCorrupt
from farshore.format import pack as layout
from farshore.format.fragments import FragmentEntry
from farshore.format.origin import Origin
from farshore.format.pack_id import hash_pack
from farshore.page_pool import make_pages
from farshore.sealed import DomainKeys, KeySet, key_tag
from farshore.sealed.data_key import DataKey, generate_data_key
from farshore.sealed.open_segment import open_segment_at
from farshore.sealed.packs import SUBJECT, PackBuilder, SealedPack, entry_of, open_footer
from farshore.sealed.segments import (
    SEGMENTS_PER_SALT,
    PlainSegment,
    SealedSegment,
    SegmentNumbers,
    SegmentParts,
    SegmentRef,
    decompress_segment_into,
    decrypt_segment,
    open_segment_into,
    seal_segment,
)
from farshore.signing import SignedKind, verify
from tests.doubles.clock import FixedClock
from tests.doubles.keys import fixed_keys

REPOSITORY = b"r" * 16
KEYS = fixed_keys(repository_id=REPOSITORY, chunk_key=b"c" * 32, index_key=b"i" * 32)
DATA_KEY = DataKey(b"k" * 16, b"d" * 32)
ORIGIN = Origin(DATA_KEY.key_id, b"o" * 32)
NOISE = random.Random(9).randbytes(5000)


def sealed(raw: bytes = NOISE, *, number: int = 0, origin: Origin = ORIGIN) -> SealedSegment:
    half = len(raw) // 2
    chunks = ((b"1" * 32, 0, half), (b"2" * 32, half, len(raw) - half))
    return seal_segment(PlainSegment(origin, number, raw, chunks), DATA_KEY, REPOSITORY)


def built(*segments: SealedSegment, keys: KeySet = KEYS) -> SealedPack:
    builder = PackBuilder(keys=keys, key_id=DATA_KEY.key_id, clock=FixedClock())
    for segment in segments:
        builder.add(segment)
    return builder.build()


def is_signed(entry: FragmentEntry) -> bool:
    assert KEYS.signing_key
    return verify(
        KEYS.signing_key.verify_key, SignedKind.PACK, entry.signature,
        fingerprint=KEYS.fingerprint, subject=SUBJECT, digest=entry.signed_digest,
    )  # fmt: skip


def opened(body: bytes, keys: KeySet = KEYS, data_key: DataKey = DATA_KEY) -> list[bytes]:
    """Read a pack whole, as anybody would who has its bytes and the keys; return its segments."""
    entry = entry_of(body)
    plain = open_footer(keys, entry.header, entry.sealed_footer)
    footer = layout.decode_footer(plain, layout.decode_header(entry.header).body_bytes)
    unnamed = footer.chunks[:0]  # the chunks of these tests have ids of no hash
    return [
        bytes(open_segment_at(footer, number, memoryview(body), make_pages,
                              keys=keys, data_key=data_key, chunks=unnamed))
        for number in range(len(footer.segments))
    ]  # fmt: skip


def plain_of(
    sealed: bytes | memoryview, ref: SegmentRef | SealedSegment, data_key: DataKey, repository_id: bytes
) -> bytes:
    """Return the plain bytes of a segment, which opens alike at once and in two steps."""
    ref = SegmentRef(ref.origin, ref.number, ref.codec, ref.raw_length)
    at_once, stepwise = bytearray(ref.raw_length), bytearray(ref.raw_length)
    open_segment_into(memoryview(at_once), sealed, ref, data_key, repository_id)
    stored = decrypt_segment(sealed, ref, data_key, repository_id)
    decompress_segment_into(memoryview(stepwise), stored, ref)
    assert at_once == stepwise
    return bytes(at_once)


@pytest.mark.parametrize(
    ("raw", "codec"), [(NOISE, CODEC_NONE), (b"words " * 900, CODEC_ZSTD), (b"", CODEC_NONE), (b"x", CODEC_NONE)]
)
def test_a_segment_opens_to_what_was_sealed(raw: bytes, codec: int) -> None:
    segment = sealed(raw)
    assert segment.codec == codec
    assert plain_of(segment.sealed, segment, DATA_KEY, REPOSITORY) == raw


def test_segments_of_any_length_are_checked_one_after_the_other() -> None:
    """A segment is compared with its own bytes, whatever the longer one before it was."""
    for raw in (NOISE, NOISE[:300], b"words " * 900, b"words " * 90, b"", b"x", bytes(2 * limits.SEGMENT_BYTES)):
        plain = PlainSegment(ORIGIN, 0, memoryview(raw), ((b"1" * 32, 0, len(raw)),))
        segment = seal_segment(plain, DATA_KEY, REPOSITORY)
        assert plain_of(segment.sealed, segment, DATA_KEY, REPOSITORY) == raw


def test_a_segment_whose_bytes_change_while_it_is_sealed_is_noticed() -> None:
    """As bad memory would: another thread flips one bit, again and again, between compressing and comparing."""
    raw = bytearray(NOISE[:1] * limits.SEGMENT_BYTES)
    ended = threading.Event()

    def flip() -> None:
        while not ended.is_set():
            raw[len(raw) // 2] ^= 1

    flipping = threading.Thread(target=flip)
    flipping.start()
    try:
        with pytest.raises(Bug, match="does not decode"):
            seal_again_and_again(memoryview(raw).toreadonly())
    finally:
        ended.set()
        flipping.join()


def seal_again_and_again(raw: memoryview) -> None:
    for number in range(1000):
        plain = PlainSegment(ORIGIN, number, raw, ((b"1" * 32, 0, len(raw)),))
        seal_segment(plain, DATA_KEY, REPOSITORY)


def parts() -> SegmentParts:
    return SegmentParts(kept_max=1)


def test_parts_are_copied_when_they_come_and_lie_one_behind_the_other() -> None:
    segment_parts = parts()
    source = bytearray(b"first")
    segment_parts.add(b"1" * 32, memoryview(source))
    source[:] = b"other"
    segment_parts.add(b"2" * 32, b"second")
    one = segment_parts.build(ORIGIN, 1)
    assert segment_parts.empty
    segment_parts.add(b"3" * 32, b"third")
    assert bytes(one.raw) == b"firstsecond", "pages that are looked at are not used again"
    assert one.chunks == ((b"1" * 32, 0, 5), (b"2" * 32, 5, 6))
    assert bytes(segment_parts.build(ORIGIN, 2).raw) == b"third"


def test_a_chunk_larger_than_a_segment_still_makes_one() -> None:
    segment_parts = parts()
    large = bytes(limits.SEGMENT_BYTES) + b"end"
    segment_parts.add(b"1" * 32, b"before")
    assert not segment_parts.has_room(len(large))
    segment_parts.add(b"2" * 32, large)
    assert bytes(segment_parts.build(ORIGIN, 1).raw) == b"before" + large


def test_a_segment_of_the_first_version_opens() -> None:
    ref = SegmentRef(ORIGIN, 7, CODEC_ZSTD, 75)
    data = bytes.fromhex("5e7dc6adce8f511af794d08e5e1c3c2fdfad138c84d5235a056dd52f8956fe0e217dbe446561e21f65fdf63b21b9")
    assert plain_of(data, ref, DATA_KEY, REPOSITORY) == b"farshore zstd " * 5 + b"farsh"


@pytest.mark.parametrize("raw", [NOISE[:300], b"words " * 90], ids=["kept", "compressed"])
def test_every_flipped_byte_of_a_segment_is_noticed(raw: bytes) -> None:
    segment = sealed(raw)
    for at in range(len(segment.sealed)):
        flipped = bytearray(segment.sealed)
        flipped[at] ^= 1
        with pytest.raises(ObjectCorrupt):
            plain_of(bytes(flipped), segment, DATA_KEY, REPOSITORY)
    for length in (0, 15, 16, len(segment.sealed) - 1):
        with pytest.raises(ObjectCorrupt):
            plain_of(segment.sealed[:length], segment, DATA_KEY, REPOSITORY)


@pytest.mark.parametrize("change", [
    {"number": 1}, {"codec": CODEC_ZSTD}, {"raw_length": 4999}, {"origin": Origin(ORIGIN.key_id, b"x" * 32)},
    {"origin": Origin(b"x" * 16, ORIGIN.salt)},
], ids=["number", "codec", "length", "salt", "key"])  # fmt: skip
def test_a_segment_is_bound_to_all_that_its_footer_says(change: dict[str, object]) -> None:
    segment = sealed()
    with pytest.raises(ObjectCorrupt):
        plain_of(segment.sealed, dataclasses.replace(segment, **change), DATA_KEY, REPOSITORY)  # type: ignore[arg-type]


def test_another_key_or_repository_opens_no_segment() -> None:
    segment = sealed()
    with pytest.raises(ObjectCorrupt):
        plain_of(segment.sealed, segment, DataKey(DATA_KEY.key_id, b"x" * 32), REPOSITORY)
    with pytest.raises(ObjectCorrupt):
        plain_of(segment.sealed, segment, DATA_KEY, b"x" * 16)


def test_a_segment_is_not_bound_to_its_pack() -> None:
    """Prune moves live segments verbatim, without a data key."""
    segment = sealed(number=3)
    other = sealed(b"words " * 90, number=9, origin=Origin(DATA_KEY.key_id, b"p" * 32))
    assert opened(bytes(built(segment).body)) == [NOISE]
    assert opened(bytes(built(other, segment).body)) == [b"words " * 90, NOISE]


def test_a_pack_is_what_the_format_says() -> None:
    pack = built(sealed(), sealed(b"words " * 90, number=1))
    assert pack.pack_id == hash_pack(pack.body) == pack.entry.pack_id
    assert bytes(pack.body)[:8] == b"FSPK\x01\0\0\0"
    assert bytes(pack.body)[8:24] == DATA_KEY.key_id
    assert bytes(pack.body)[-4:] == b"FSPF"
    footer = layout.decode_footer(open_footer(KEYS, pack.entry.header, pack.entry.sealed_footer))
    assert footer.origins == (ORIGIN,)
    assert footer.segments["number"].tolist() == [0, 1]
    assert [bytes(one) for one in footer.chunks["id"]] == [b"1" * 32, b"2" * 32] * 2
    assert footer.chunks["segment"].tolist() == [0, 0, 1, 1]
    assert opened(bytes(pack.body)) == [NOISE, b"words " * 90]


def test_every_flipped_byte_of_a_pack_is_noticed_by_whoever_reads_it() -> None:
    pack = built(sealed(NOISE[:200]), sealed(b"words " * 30, number=1))
    body = bytes(pack.body)
    for at in range(len(body)):
        flipped = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        assert hash_pack(flipped) != pack.pack_id
        if at >= len(body) - layout.TAIL_BYTES and at < len(body) - 8:
            assert not is_signed(entry_of(flipped)), "its signature is all that this byte is for"
            continue
        try:
            opened(flipped)
        except FarshoreError:
            continue
        # A reader with keys takes the key id of a segment from the sealed footer, so nothing else is left to trust.
        pytest.fail(f"byte {at} of {len(body)} was flipped and nothing noticed")


def test_a_pack_is_signed_by_whoever_made_it() -> None:
    pack = built(sealed())
    assert KEYS.signing_key
    assert pack.entry.signature.signer == KEYS.signing_key.signer_id
    assert is_signed(pack.entry)
    assert entry_of(bytes(pack.body)) == pack.entry
    assert layout.key_tag_of(pack.entry.header) == KEYS.own
    assert not is_signed(dataclasses.replace(pack.entry, body_hash=bytes(32)))


def test_a_pack_of_another_domain_is_not_damaged_where_its_keys_are_lacking() -> None:
    pack = built(sealed())
    other = dataclasses.replace(KEYS, domains=(DomainKeys("laptops", 1, b"i" * 32),), own=key_tag("laptops", 1))
    with pytest.raises(KeyMissing):
        opened(bytes(pack.body), keys=other)


def test_every_cut_of_a_pack_is_noticed() -> None:
    pack = built(sealed(NOISE[:200]))
    for length in range(layout.TAIL_BYTES, len(bytes(pack.body))):
        with pytest.raises(FarshoreError):
            opened(bytes(pack.body)[:length])


def test_the_footer_of_another_repository_does_not_open() -> None:
    pack = built(sealed())
    other_key = dataclasses.replace(KEYS, domains=(dataclasses.replace(KEYS.domain, index_key=b"x" * 32),))
    other_repository = dataclasses.replace(KEYS, repository_id=b"x" * 16)
    for keys in (other_key, other_repository):
        with pytest.raises(ObjectCorrupt, match="belongs to another repository"):
            opened(bytes(pack.body), keys=keys)


def test_the_footer_of_another_pack_does_not_open() -> None:
    clock = FixedClock()
    builder = PackBuilder(keys=KEYS, key_id=DATA_KEY.key_id, clock=clock)
    builder.add(sealed())
    one = builder.build()
    builder.add(sealed())
    two = builder.build()
    assert bytes(one.body) != bytes(two.body)
    with pytest.raises(ObjectCorrupt):
        opened(bytes(one.body)[: layout.HEADER_BYTES] + bytes(two.body)[layout.HEADER_BYTES :])


def test_a_builder_is_full_at_its_target_and_empty_after_a_pack() -> None:
    builder = PackBuilder(keys=KEYS, key_id=DATA_KEY.key_id, clock=FixedClock())
    segment = sealed(random.Random(1).randbytes(limits.SEGMENT_BYTES))
    added = 0
    assert (builder.empty, builder.full) == (True, False)
    while not builder.full:
        builder.add(segment)
        added += 1
    assert added == 4
    assert (builder.empty, builder.full) == (False, True)
    assert len(builder.build().body) <= limits.PACK_BYTES_MAX
    assert (builder.empty, builder.full) == (True, False)


def test_a_pack_of_very_many_tiny_chunks_stays_below_the_largest_pack() -> None:
    """The footer counts too: four million files of a few bytes would make one of 180 MB."""
    builder = PackBuilder(keys=KEYS, key_id=DATA_KEY.key_id, clock=FixedClock())
    chunks = tuple((bytes(32), 0, 1) for _ in range(100_000))
    segment = dataclasses.replace(sealed(b"x" * 100), chunks=chunks)
    added = 0
    while not builder.full:
        builder.add(segment)
        added += 1
        assert added < 14
    assert len(builder.build().body) <= limits.PACK_BYTES_MAX


def test_no_number_is_ever_given_twice_under_one_salt() -> None:
    numbers = SegmentNumbers(data_key=generate_data_key(FixedClock()), clock=FixedClock(seed=3))
    given = [numbers.next_number() for _ in range(SEGMENTS_PER_SALT + 3)]
    assert [number for _, number in given[:3]] == [0, 1, 2]
    assert [number for _, number in given[-4:]] == [SEGMENTS_PER_SALT - 1, 0, 1, 2]
    assert len({origin.salt for origin, _ in given}) == 2
    assert len(set(given)) == len(given)

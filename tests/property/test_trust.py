"""The owner log and signed objects under any listing, any damage and any order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from farshore.errors import ObjectCorrupt
from farshore.format import (
    JsonObject,
    decode_signed,
    decode_trailer,
    encode_canonical,
    encode_signed,
    encode_trailer,
)
from farshore.format.header import is_prefix
from farshore.model import Signature
from farshore.trust import TrustState
from farshore.trust.actions import ChangeOwner
from farshore.trust.order import Link, Place, order_source
from farshore.trust.words import parse_fingerprint, to_words
from tests.doubles.owner_log import COMMIT, HOST, NEXT_OWNER, OTHER_HOST, THIEF, Log, certificate, revocation

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=4)
SIGNATURES = st.builds(
    Signature,
    st.binary(min_size=16, max_size=16).map(bytes.hex),
    st.binary(min_size=64, max_size=64),
    st.just(b"") | st.binary(min_size=3309, max_size=3309),
)
MOMENTS = st.integers(0, 2000).map(lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes))


@given(OBJECTS, SIGNATURES)
def test_signed_text_reads_as_it_was(value: JsonObject, signature: Signature) -> None:
    body = encode_canonical(value)
    data = encode_signed(body, signature)
    read = decode_signed(data, "it", len(data))
    assert (read.body, read.value, read.signature) == (body, value, signature)
    assert encode_signed(read.body, read.signature) == data
    if not signature.ml_dsa_65:
        assert decode_trailer(encode_trailer(signature), "it") == signature


@given(OBJECTS, SIGNATURES, st.data())
def test_altered_signed_text_is_corrupt_or_something_else(
    value: JsonObject, signature: Signature, data: st.DataObject
) -> None:
    stored = bytearray(encode_signed(encode_canonical(value), signature))
    at = data.draw(st.integers(0, len(stored) - 1))
    stored[at] ^= data.draw(st.integers(1, 255))
    try:
        read = decode_signed(bytes(stored), "it", len(stored))
    except ObjectCorrupt:
        return
    assert encode_signed(read.body, read.signature) == bytes(stored)  # one text for one value
    assert (read.body, read.signature) != (encode_canonical(value), signature)


@given(st.binary(min_size=32, max_size=32), st.integers(8, 16))
def test_words_read_back(fingerprint: bytes, count: int) -> None:
    words = "-".join(to_words(fingerprint).split("-")[:count])
    assert parse_fingerprint(words) == fingerprint[: 2 * count]
    assert is_prefix(parse_fingerprint(fingerprint.hex()), fingerprint)


def forked_log() -> tuple[Log, Log]:
    """Return a log that rotated its owner, and a branch by a thief of the first key."""
    log = Log()
    log.add(certificate())
    thief = log.branch(log.head)
    log.add(certificate(OTHER_HOST))
    log.add(ChangeOwner(NEXT_OWNER.verify_key))
    log.add(revocation(OTHER_HOST, COMMIT), by=NEXT_OWNER)
    thief.add(certificate(THIEF), revocation(HOST))
    thief.add(ChangeOwner(THIEF.verify_key))
    return log, thief


OWN, THIEVES = forked_log()
ALL = {**OWN.entries, **THIEVES.entries}


def without_reports(state: TrustState) -> tuple[object, ...]:
    """Return what a state decides, without what it only reports."""
    return state.owner, state.certificates, state.revocations, state.head, state.may_write


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from(sorted(ALL))), st.permutations(sorted(ALL)))
def test_no_choice_of_entries_gives_a_reader_with_memory_another_answer(shown: set[str], order: list[str]) -> None:
    entries = {name: ALL[name] for name in order if name in shown}
    state = Log(entries).read(OWN.head)
    if not state.rolled_back:
        assert without_reports(state) == without_reports(OWN.read(OWN.head))
        assert set(OWN.entries) <= shown
    else:
        assert not state.certificates
        assert not state.may_write


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(ALL)), st.data())
def test_damage_of_one_entry_adds_nobody(name: str, data: st.DataObject) -> None:
    stored = bytearray(ALL[name])
    at = data.draw(st.integers(0, len(stored) - 1))
    stored[at] ^= data.draw(st.integers(1, 255))
    state = Log({**ALL, name: bytes(stored)}).read()
    lacking = Log({key: value for key, value in ALL.items() if key != name}).read()
    assert without_reports(state) == without_reports(lacking)
    assert name in {one.name for one in state.refused}


@given(
    st.lists(
        st.builds(
            Link,
            hash=st.sampled_from("abcdefgh"),
            snapshot=st.sampled_from("xy"),
            sequence=st.integers(1, 4),
            parent=st.sampled_from(["", "a", "b", "c", None]),
            committed_utc=MOMENTS,
            stored_utc=st.none() | MOMENTS,
            ahead=st.booleans(),
        ),
        unique_by=lambda link: link.hash,
    ),
    MOMENTS,
)
def test_commits_have_one_order_and_one_newest(links: list[Link], now: datetime) -> None:
    order = order_source(links, now)
    assert order == order_source(reversed(links), now)
    sound = [link for link in order.links if order.places[link.hash] is Place.SOUND]
    assert order.newest == (sound[-1] if sound else None)
    parents = [link.parent for link in sound if link.parent is not None]
    assert len(parents) == len(set(parents))
    assert all(link.sequence < order.next_sequence for link in links)

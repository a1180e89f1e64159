from __future__ import annotations

from dataclasses import replace

import pytest
from blake3 import blake3

from farshore import crypto
from farshore.errors import CredentialCannotRead, FormatTooNew, KeyMissing, ObjectCorrupt
from farshore.sealed import Role, domain_keys, index_keys_only, index_root, key_tag
from farshore.sealed.data_key import (
    DATA_KEY_BYTES,
    DataKey,
    check_data_key,
    generate_data_key,
    open_data_key,
    seal_data_key,
)
from tests.doubles.clock import FixedClock
from tests.doubles.keys import fixed_keys, make_keys

MADE = make_keys()
KEYS, WRITER = MADE.reader, MADE.writer
REPOSITORY = KEYS.repository_id
DATA_KEY = DataKey(b"k" * 16, b"s" * 32)
ROOT = bytes(range(32))


def test_what_is_derived_from_a_root_never_changes() -> None:
    first = domain_keys(ROOT, "main", 1, REPOSITORY)
    keys = fixed_keys(index_key=first.index_key, chunk_key=first.chunk_key)
    assert key_tag("main", 1).hex() == "e726318bbc3fd75ac8733a7e01000000"
    assert first.index_key.hex() == "b226fd79753f6ca6a776c372271dec0cbb9f0569fb508a344861761cec498e91"
    assert first.chunk_key.hex() == "615f1af124bf0d25ccde181e476b2bdf3956146619b0543bcf449f4faacfaf83"
    assert keys.cut_seed == 1125490812413460020
    assert keys.page_key.hex() == "77a3eb61e5c11ab7a975bd97af39023587c6f239fb4d575d3afdc702e4a799e3"


def test_domains_and_epochs_share_no_key() -> None:
    made = [domain_keys(ROOT, domain, epoch, REPOSITORY) for domain in ("main", "laptops") for epoch in (1, 2)]
    assert len({key for one in made for key in (one.index_key, one.chunk_key, one.tag)}) == 12
    assert domain_keys(ROOT, "main", 1, b"o" * 16).index_key != made[0].index_key


def test_an_index_root_gives_index_keys_and_no_chunk_key() -> None:
    only = index_keys_only(index_root(ROOT, REPOSITORY), "main", 1, REPOSITORY)
    assert only.index_key == domain_keys(ROOT, "main", 1, REPOSITORY).index_key
    keys = replace(WRITER, domains=(only,), own=only.tag)
    with pytest.raises(CredentialCannotRead):
        keys.chunk_key  # noqa: B018 - it raises


def test_keys_serve_each_domain_that_they_have() -> None:
    other = domain_keys(ROOT, "laptops", 2, REPOSITORY)
    both = replace(KEYS, domains=(*KEYS.domains, other))
    assert both.at(other.tag).index_key == other.index_key
    assert both.at(other.tag).can_read
    assert both.at(KEYS.own) is both
    assert both.at(other.tag) is both.at(other.tag)
    with pytest.raises(KeyMissing):
        KEYS.at(other.tag)


def test_a_writer_has_all_but_the_private_key() -> None:
    assert (KEYS.role, WRITER.role) == (Role.READER, Role.WRITER)
    assert not WRITER.can_read
    assert (WRITER.chunk_key, WRITER.index_key) == (KEYS.chunk_key, KEYS.index_key)


def test_keys_never_show_in_a_repr() -> None:
    shown = f"{KEYS!r} {generate_data_key(FixedClock())!r}"
    for secret in (KEYS.chunk_key, KEYS.index_key, *KEYS.private_keys, MADE.root):
        assert secret.hex() not in shown
        assert repr(secret) not in shown


def test_a_data_key_is_sealed_by_a_writer_and_opened_by_a_reader() -> None:
    sealed = seal_data_key(WRITER, DATA_KEY)
    assert sealed[:8] == b"FSDK\x01\x01\0\0"
    assert sealed[8:24] == KEYS.recipient_id
    assert len(sealed) == 24 + crypto.SEALED_OVERHEAD_BYTES + 32 + 16 == DATA_KEY_BYTES
    assert open_data_key(KEYS, DATA_KEY.key_id, sealed) == DATA_KEY


def test_a_writer_cannot_open_even_the_key_it_sealed() -> None:
    sealed = seal_data_key(WRITER, DATA_KEY)
    with pytest.raises(CredentialCannotRead):
        open_data_key(WRITER, DATA_KEY.key_id, sealed)


def test_a_data_key_is_bound_to_its_id_repository_and_every_byte() -> None:
    sealed = seal_data_key(KEYS, DATA_KEY)
    elsewhere = replace(KEYS, repository_id=b"o" * 16)
    for keys, key_id in ((KEYS, b"x" * 16), (elsewhere, DATA_KEY.key_id)):
        with pytest.raises(ObjectCorrupt):
            open_data_key(keys, key_id, sealed)
    for at in range(0, len(sealed), 5):
        with pytest.raises((ObjectCorrupt, FormatTooNew)):
            open_data_key(KEYS, DATA_KEY.key_id, sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :])
    for length in (0, 23, 24, len(sealed) - 1):
        with pytest.raises(ObjectCorrupt):
            open_data_key(KEYS, DATA_KEY.key_id, sealed[:length])
    with pytest.raises(ObjectCorrupt):
        open_data_key(KEYS, DATA_KEY.key_id, sealed + b"\0")


def test_damage_to_a_data_key_shows_without_any_key() -> None:
    sealed = seal_data_key(WRITER, DATA_KEY)
    check_data_key(sealed, "it")
    for at in range(len(sealed)):
        with pytest.raises(ObjectCorrupt):
            check_data_key(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], "it")
    for length in range(0, len(sealed), 9):
        with pytest.raises(ObjectCorrupt):
            check_data_key(sealed[:length], "it")


@pytest.mark.parametrize("at", [4, 5])
def test_a_data_key_of_a_later_version_is_reported(at: int) -> None:
    sealed = bytearray(seal_data_key(KEYS, DATA_KEY)[:-16])
    sealed[at] = 2
    with pytest.raises(FormatTooNew):
        check_data_key(bytes(sealed) + blake3(sealed).digest(16), "it")


def test_data_keys_are_random() -> None:
    clock = FixedClock()
    first, second = generate_data_key(clock), generate_data_key(clock)
    assert (first.key_id, first.secret) != (second.key_id, second.secret)

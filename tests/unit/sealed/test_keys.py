from __future__ import annotations

import pytest
from blake3 import blake3

from farshore import crypto
from farshore.errors import CredentialCannotRead, FormatTooNew, ObjectCorrupt
from farshore.sealed.keys import (
    DATA_KEY_BYTES,
    DataKey,
    KeySet,
    Role,
    check_data_key,
    decode_key_set,
    encode_key_set,
    generate_data_key,
    generate_keys,
    open_data_key,
    seal_data_key,
)
from tests.doubles.clock import FixedClock

REPOSITORY = bytes(range(16))
KEYS = generate_keys(REPOSITORY, FixedClock())
DATA_KEY = DataKey(b"k" * 16, b"s" * 32)
FIXED = KeySet(REPOSITORY, bytes(1216), bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96)))


def test_what_is_derived_from_a_key_set_never_changes() -> None:
    assert FIXED.source_id("home") == "b38b66930d26aabe202fc8c702ccf1bd"
    assert FIXED.source_id("höme") == "4894e71912248b7e6507f503d638e6c0"
    assert FIXED.cut_seed == 3809414500742683435
    assert FIXED.page_key.hex() == "51123b190b5d6c189414505d741a61431e61927e8db124d48cf53216fbb404cc"
    assert FIXED.audit_public.hex() == "2543b92ff1095511476adc8369db6ddc933665a11978dda1404ee1066ca9559d"


def test_a_writer_has_all_but_the_private_key() -> None:
    writer = KEYS.writer()
    assert (KEYS.role, writer.role) == (Role.READER, Role.WRITER)
    assert writer.private_key == b""
    assert (writer.chunk_key, writer.index_key, writer.audit_key) == (KEYS.chunk_key, KEYS.index_key, KEYS.audit_key)
    assert writer.source_id("home") == KEYS.source_id("home")


@pytest.mark.parametrize("keys", [KEYS, KEYS.writer()], ids=["reader", "writer"])
def test_a_key_set_is_read_as_it_was_written(keys: KeySet) -> None:
    assert decode_key_set(encode_key_set(keys), REPOSITORY) == keys


@pytest.mark.parametrize("name", ["public_key", "chunk_key", "index_key", "audit_key", "private_key"])
@pytest.mark.parametrize("wrong", ["", "AAAA", "é", "not base64!", 5, None, []], ids=repr)
def test_a_wrong_key_set_is_corrupt(name: str, wrong: object) -> None:
    with pytest.raises(ObjectCorrupt):
        decode_key_set({**encode_key_set(KEYS), name: wrong}, REPOSITORY)


def test_keys_never_show_in_a_repr() -> None:
    shown = f"{KEYS!r} {generate_data_key(FixedClock())!r}"
    for secret in (KEYS.chunk_key, KEYS.index_key, KEYS.audit_key, KEYS.private_key):
        assert secret.hex() not in shown
        assert repr(secret) not in shown


def test_a_data_key_is_sealed_by_a_writer_and_opened_by_a_reader() -> None:
    sealed = seal_data_key(KEYS.writer(), DATA_KEY)
    assert sealed[:8] == b"FSDK\x01\x01\0\0"
    assert sealed[8:24] == KEYS.recipient_id
    assert len(sealed) == 24 + crypto.SEALED_OVERHEAD_BYTES + 32 + 16 == DATA_KEY_BYTES
    assert open_data_key(KEYS, DATA_KEY.key_id, sealed) == DATA_KEY


def test_a_writer_cannot_open_even_the_key_it_sealed() -> None:
    sealed = seal_data_key(KEYS.writer(), DATA_KEY)
    with pytest.raises(CredentialCannotRead):
        open_data_key(KEYS.writer(), DATA_KEY.key_id, sealed)


def test_a_data_key_is_bound_to_its_id_repository_and_every_byte() -> None:
    sealed = seal_data_key(KEYS, DATA_KEY)
    elsewhere = KeySet(b"o" * 16, KEYS.public_key, b"", b"", b"", KEYS.private_key)
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
    sealed = seal_data_key(KEYS.writer(), DATA_KEY)
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

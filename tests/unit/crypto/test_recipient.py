from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from farshore import crypto
from farshore.errors import ObjectCorrupt, WrongPassphrase

PRIVATE = bytes(range(96))
PLAIN = b"thirty-two bytes of a data key!!"
# Sealed once, by the first version: what is in buckets today must open for ever.
SEALED = base64.b64decode((Path(__file__).parent / "sealed_to_recipient.base64").read_bytes())


def test_a_message_of_the_first_version_still_opens() -> None:
    assert crypto.open_sealed(PRIVATE, SEALED, b"info") == PLAIN


def test_public_key_and_its_id_are_fixed_by_the_private_key() -> None:
    public = crypto.public_key_of(PRIVATE)
    assert len(public) == crypto.PUBLIC_KEY_BYTES
    assert hashlib.sha256(public).hexdigest() == "d99e4496af749b54ee4a2d270c8057450624ecc5dc0866295ffc504a26134ad4"
    assert crypto.recipient_id(public).hex() == "9af08ee56d6cfeaf7347ba94257c5f04"


def test_generated_keys_differ_and_have_the_sizes_of_the_format() -> None:
    first, second = crypto.generate_private_key(), crypto.generate_private_key()
    assert len(first) == crypto.PRIVATE_KEY_BYTES
    assert first != second


def test_sealing_is_randomized_and_adds_a_fixed_length() -> None:
    public = crypto.public_key_of(PRIVATE)
    first, second = (crypto.seal_to(public, PLAIN, b"info") for _ in range(2))
    assert first != second
    assert len(first) == len(second) == len(PLAIN) + crypto.SEALED_OVERHEAD_BYTES
    assert crypto.open_sealed(PRIVATE, first, b"info") == PLAIN


def test_another_key_another_purpose_and_any_flipped_byte_open_nothing() -> None:
    with pytest.raises(WrongPassphrase):
        crypto.open_sealed(crypto.generate_private_key(), SEALED, b"info")
    with pytest.raises(WrongPassphrase):
        crypto.open_sealed(PRIVATE, SEALED, b"other")
    for at in range(0, len(SEALED), 7):
        flipped = SEALED[:at] + bytes([SEALED[at] ^ 1]) + SEALED[at + 1 :]
        with pytest.raises(WrongPassphrase):
            crypto.open_sealed(PRIVATE, flipped, b"info")


@pytest.mark.parametrize("length", [0, 1, 1119, 1120, len(SEALED) - 1])
def test_what_is_cut_short_opens_nothing(length: int) -> None:
    with pytest.raises(WrongPassphrase):
        crypto.open_sealed(PRIVATE, SEALED[:length], b"info")


def test_half_of_the_hybrid_is_not_enough() -> None:
    """Knowing only the classical or only the post-quantum half opens nothing."""
    other = crypto.generate_private_key()
    for mixed in (PRIVATE[:64] + other[64:], other[:64] + PRIVATE[64:]):
        with pytest.raises(WrongPassphrase):
            crypto.open_sealed(mixed, SEALED, b"info")


@pytest.mark.parametrize("length", [0, 1215, 1217])
def test_a_public_key_of_the_wrong_length_is_refused(length: int) -> None:
    with pytest.raises(ObjectCorrupt):
        crypto.seal_to(bytes(length), PLAIN, b"info")

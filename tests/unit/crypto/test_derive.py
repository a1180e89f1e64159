"""Derived keys are promises to every repository ever made: the answers below were computed once and never change."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from farshore.crypto import ZERO_NONCE, associated, derive_key

REPOSITORY = bytes(range(16))
SECRET = bytes(range(32))


@pytest.mark.parametrize(
    ("purpose", "salt", "expected"),
    [
        ("segment", bytes(32), "cb5bb0fbe94b0239723eb6db24b2f553b5543ec58e41fc1c81e4aa2c29c9ed01"),
        ("object", b"\x01" * 32, "c0cee2aa7235d37fa160d1b144a81d73cf4456299b1a1b478e4e9450912ff5df"),
        ("footer", b"\x02" * 32, "40c219dbe23473a1161efe871efca8a67e04f35b475778e821c560e4619585e2"),
        ("source-id", b"", "18b4d204f686bcd4c7a04076cc9353ea8a0e302a36b98f398cb486bb17666899"),
        ("page", b"", "51123b190b5d6c189414505d741a61431e61927e8db124d48cf53216fbb404cc"),
        ("cdc-seed", b"", "2b5bfd264ec2ddb4acd739b174e8f1e5f41ab55686183bcccdd1ee6ce210d219"),
    ],
)
def test_known_answers(purpose: str, salt: bytes, expected: str) -> None:
    assert derive_key(SECRET, purpose, REPOSITORY, salt).hex() == expected


@pytest.mark.parametrize("salt", [b"", b"\x07" * 32])
def test_it_is_hkdf_as_the_standard_writes_it(salt: bytes) -> None:
    info = b"farshore/1/footer\x00" + REPOSITORY
    extracted = hmac.digest(salt or bytes(32), SECRET, hashlib.sha256)
    expanded = hmac.digest(extracted, info + b"\x01", hashlib.sha256)
    assert derive_key(SECRET, "footer", REPOSITORY, salt) == expanded


def test_every_input_changes_the_key() -> None:
    keys = {
        derive_key(SECRET, "segment", REPOSITORY, b"salt"),
        derive_key(SECRET[::-1], "segment", REPOSITORY, b"salt"),
        derive_key(SECRET, "object", REPOSITORY, b"salt"),
        derive_key(SECRET, "segment", REPOSITORY[::-1], b"salt"),
        derive_key(SECRET, "segment", REPOSITORY, b"other"),
    }
    assert len(keys) == 5


def test_associated_data_is_laid_out_as_the_format_says() -> None:
    assert (
        associated("data-key", REPOSITORY, b"a" * 16, b"b")
        == b"farshore/1/data-key\x00" + REPOSITORY + b"a" * 16 + b"b"
    )
    assert bytes(12) == ZERO_NONCE

"""Trial N5: which passphrases are warned of, and which a person may not choose."""

from __future__ import annotations

import pytest

from farshore.access.passphrase_strength import is_short_passphrase, passphrase_weakness


@pytest.mark.parametrize(
    ("passphrase", "said"),
    [
        ("x", "has only 1 character"),
        ("hunter22", "has only 8 characters"),
        ("grüße grüße", "has only 11 characters"),
        (b"\xff" * 11, "has only 11 characters"),
        ("aaaaaaaaaaaaaaaaaaaa", "repeats the same few characters"),
        ("Password1234!", "is one word that everybody tries first"),
        ("123456789012345", "has no letter"),
    ],
)
def test_a_weak_one_is_reported_why(passphrase: str | bytes, said: str) -> None:
    assert passphrase_weakness(passphrase) == said


@pytest.mark.parametrize("passphrase", ["correct horse battery staple", "kaffee um halb vier", b"\xfe\x00random bytes"])
def test_a_long_one_is_fine(passphrase: str | bytes) -> None:
    assert passphrase_weakness(passphrase) == ""


def test_what_is_typed_has_eight_characters() -> None:
    assert [is_short_passphrase(text) for text in ("x", "sevenxx", "grüßegrü", "eightxxx")] == [
        True,
        True,
        False,
        False,
    ]

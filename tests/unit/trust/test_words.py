from __future__ import annotations

import pytest

from farshore.errors import ConfigInvalid
from farshore.format.header import is_prefix
from farshore.trust.words import parse_fingerprint, to_words

FINGERPRINT = bytes(range(0xC0, 0xE0))


@pytest.mark.parametrize(
    ("address", "words"),
    [  # of the proposal that defines proquints
        ((127, 0, 0, 1), "lusab-babad"),
        ((63, 84, 220, 193), "gutih-tugad"),
        ((63, 118, 7, 35), "gutuk-bisog"),
        ((140, 98, 193, 141), "mudof-sakat"),
        ((64, 255, 6, 200), "haguz-biram"),
        ((128, 30, 52, 45), "mabiv-gibot"),
        ((147, 67, 119, 2), "natag-lisaf"),
        ((212, 58, 253, 68), "tibup-zujah"),
        ((216, 35, 68, 215), "tobog-higil"),
        ((216, 68, 232, 21), "todah-vobij"),
        ((198, 81, 129, 136), "sinid-makam"),
        ((12, 110, 110, 204), "budov-kuras"),
    ],
)
def test_words_are_those_of_the_proposal(address: tuple[int, ...], words: str) -> None:
    assert to_words(bytes(address)) == words


def test_every_word_reads_back() -> None:
    for number in range(0, 1 << 16, 7):
        data = number.to_bytes(2, "big") * 16
        assert parse_fingerprint(to_words(data)) == data


@pytest.mark.parametrize("kept", [16, 18, 32])
def test_a_fingerprint_or_its_beginning_is_read_in_any_form(kept: int) -> None:
    beginning = FINGERPRINT[:kept]
    words = to_words(beginning)
    digits = beginning.hex()
    for text in (
        words,
        words.upper(),
        words.replace("-", " "),
        f"  {words}\n",
        digits,
        digits.upper(),
        beginning.hex(":"),
        beginning.hex(" ", 2),
        beginning.hex("-", 4),
    ):
        assert parse_fingerprint(text) == beginning
    assert is_prefix(beginning, FINGERPRINT)
    assert not is_prefix(beginning[:-1] + b"\0", FINGERPRINT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        FINGERPRINT[:15].hex(),
        FINGERPRINT.hex() + "00",
        FINGERPRINT.hex()[:33],
        to_words(FINGERPRINT[:14]),
        to_words(FINGERPRINT + b"ab"),
        to_words(FINGERPRINT)[:-1],
        to_words(FINGERPRINT) + "a",
        to_words(FINGERPRINT).replace("a", "e"),
        "\u0660" * 32,
        "g" * 64,
        "correct horse battery staple",
    ],
    ids=ascii,
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigInvalid, match="is no fingerprint"):
        parse_fingerprint(text)


def test_a_short_beginning_proves_nothing() -> None:
    assert not is_prefix(FINGERPRINT[:15], FINGERPRINT)
    assert not is_prefix(b"", FINGERPRINT)
    assert not is_prefix(FINGERPRINT + b"x", FINGERPRINT)


def test_words_of_hex_letters_are_words() -> None:
    data = bytes(32)
    assert to_words(data).startswith("babab-babab")
    assert parse_fingerprint(to_words(data)) == data

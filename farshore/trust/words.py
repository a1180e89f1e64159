"""A fingerprint as hex digits and as words that can be read out: proquints, 16 bits a word. Pure.

A proquint (Wilkerson, 2009) is consonant, vowel, consonant, vowel, consonant of 4 + 2 + 4 + 2 + 4 bits, highest first.
"""

from __future__ import annotations

from farshore.errors import ConfigInvalid
from farshore.format.header import PREFIX_BYTES_MIN

_CONSONANTS = "bdfghjklmnprstvz"
_VOWELS = "aiou"
_LETTERS = ((_CONSONANTS, 12), (_VOWELS, 10), (_CONSONANTS, 6), (_VOWELS, 4), (_CONSONANTS, 0))
FINGERPRINT_BYTES = 32


def to_words(fingerprint: bytes) -> str:
    """Return one word for each two bytes, joined by hyphens."""
    numbers = (int.from_bytes(fingerprint[at : at + 2], "big") for at in range(0, len(fingerprint), 2))
    return "-".join(_word(number) for number in numbers)


def parse_fingerprint(text: str) -> bytes:
    """Return the fingerprint, or its beginning of at least 16 bytes, that a person or a file gives as words or in hex.

    Capital letters, and spaces, hyphens and colons between words or digits, mean nothing.

    Raises:
        ConfigInvalid: It is neither, too short, or longer than a fingerprint.
    """
    parts = text.lower().replace("-", " ").replace(":", " ").split()
    data = _from_words(parts)
    if data is None:
        data = _from_hex("".join(parts))
    if data is None or not PREFIX_BYTES_MIN <= len(data) <= FINGERPRINT_BYTES:
        raise ConfigInvalid(
            f"{text!r} is no fingerprint",
            "Give the 16 words that 'farshore init' printed or at least 8 of them, or at least 32 hex digits.",
        )
    return data


def _word(number: int) -> str:
    return "".join(letters[number >> shift & len(letters) - 1] for letters, shift in _LETTERS)


def _from_words(words: list[str]) -> bytes | None:
    found = b""
    for word in words:
        places = [letters.find(letter) for (letters, _), letter in zip(_LETTERS, word, strict=False)]
        if len(word) != len(_LETTERS) or -1 in places:
            return None
        number = sum(place << shift for place, (_, shift) in zip(places, _LETTERS, strict=True))
        found += number.to_bytes(2, "big")
    return found or None


def _from_hex(digits: str) -> bytes | None:
    if not digits.isascii():
        return None
    try:
        return bytes.fromhex(digits)
    except ValueError:
        return None

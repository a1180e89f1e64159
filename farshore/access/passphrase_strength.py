"""How easy a passphrase is to guess, for somebody who can choose another one now. Pure."""

from __future__ import annotations

from farshore.crypto import normal_form
from farshore.plural import count_of

PASSPHRASE_LENGTH_MIN = 8  # shorter ones are refused where a person types them
PASSPHRASE_LENGTH_GOOD = 12  # shorter ones are warned of
_DISTINCT_MIN = 5
_COMMON = frozenset(  # alone, or with figures or signs around them
    (
        "abcdef", "admin", "backup", "battery", "changeme", "default", "dragon", "farshore", "football", "hunter",
        "iloveyou", "letmein", "login", "master", "monkey", "passphrase", "passwd", "password", "princess", "qwerty",
        "qwertyuiop", "qwertz", "root", "secret", "sunshine", "test", "trustno", "welcome",
    )
)  # fmt: skip


def is_short_passphrase(passphrase: str | bytes) -> bool:
    """Whether it is too short to be accepted from somebody who can choose another one now."""
    return _length(normal_form(passphrase)) < PASSPHRASE_LENGTH_MIN


def passphrase_weakness(passphrase: str | bytes) -> str:
    """Return why it is easy to guess, as the end of "the passphrase ...", or nothing."""
    plain = normal_form(passphrase)
    length = _length(plain)
    text = plain.decode("utf-8", "replace").casefold()
    core = "".join(character for character in text if character.isalpha())
    if length < PASSPHRASE_LENGTH_GOOD:
        return f"has only {count_of(length, 'character')}"
    if len(set(text)) < _DISTINCT_MIN:
        return "repeats the same few characters"
    if core in _COMMON or core == "":
        return "is one word that everybody tries first" if core else "has no letter"
    return ""


def _length(plain: bytes) -> int:
    """Count characters, or bytes where they are no text."""
    try:
        return len(plain.decode("utf-8"))
    except UnicodeDecodeError:
        return len(plain)

from __future__ import annotations

import unicodedata

import pytest

from farshore import limits
from farshore.crypto import PassphraseCost, key_from_passphrase
from farshore.errors import HeaderDamaged

CHEAP = PassphraseCost(memory_kib=64, iterations=1, lanes=1)
SALT = bytes(range(32))


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        (CHEAP, "0365a8ff716f72d8087d9cccf72c5dde9f89bd4232bc5d04720c430d8329f24e"),
        (PassphraseCost(256, 2, 4), "0b9e28ec709c909d0002281e4c698680b29e59585bd2f16576cf02ea5b7e143a"),
    ],
)
def test_known_answers(cost: PassphraseCost, expected: str) -> None:
    assert key_from_passphrase("grüße", SALT, cost).hex() == expected


def test_a_passphrase_types_alike_on_every_keyboard() -> None:
    decomposed = unicodedata.normalize("NFD", "grüße")
    assert decomposed != "grüße"
    assert key_from_passphrase(decomposed, SALT, CHEAP) == key_from_passphrase("grüße", SALT, CHEAP)


def test_no_other_folding_is_done() -> None:
    keys = {key_from_passphrase(text, SALT, CHEAP) for text in ("secret", "Secret", "secret ", "ﬁ", "fi")}
    assert len(keys) == 5


def test_the_default_cost_is_the_one_of_the_standard() -> None:
    assert PassphraseCost() == PassphraseCost(64 * 1024, 3, 4)
    assert PassphraseCost().checked() == PassphraseCost()


@pytest.mark.parametrize(
    "cost",
    [
        PassphraseCost(limits.ARGON2_MEMORY_KIB_MAX + 1, 1, 1),
        PassphraseCost(64, limits.ARGON2_ITERATIONS_MAX + 1, 1),
        PassphraseCost(64 * 1024, 1, limits.ARGON2_LANES_MAX + 1),
        PassphraseCost(64, 0, 1),
        PassphraseCost(64, 1, 0),
        PassphraseCost(7, 1, 1),
        PassphraseCost(31, 1, 4),
        PassphraseCost(-64, 1, 1),
        PassphraseCost(64, 1, -1),
    ],
    ids=str,
)
def test_absurd_work_is_refused_before_it_begins(cost: PassphraseCost) -> None:
    with pytest.raises(HeaderDamaged):
        key_from_passphrase("secret", SALT, cost)

from __future__ import annotations

import unicodedata

import pytest

from farshore import limits
from farshore.crypto import PassphraseCost, keys_from_passphrase
from farshore.errors import HeaderDamaged

CHEAP = PassphraseCost(memory_kib=64, iterations=1, lanes=1)
SALT = bytes(range(32))


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        (
            CHEAP,
            "53621c31f00bc618653d5b4d5dd497f67b7ee6fb69f3285c7c6a66c4d71724478bf394ba5e7d22e10a75097f65049b80597d4e61d0354fdef55b41561506d730",
        ),
        (
            PassphraseCost(256, 2, 4),
            "088aa6acbe77acbb0a78307e8bbadd90f094368b5bc54da3013afd15decbeb2b7eea11587f5778fb0c43b2358e8a12c2987b8684ede68810228574b505c5cfec",
        ),
    ],
)
def test_known_answers(cost: PassphraseCost, expected: str) -> None:
    assert b"".join(keys_from_passphrase("grüße", SALT, cost)).hex() == expected


def test_a_passphrase_types_alike_on_every_keyboard() -> None:
    decomposed = unicodedata.normalize("NFD", "grüße")
    assert decomposed != "grüße"
    assert keys_from_passphrase(decomposed, SALT, CHEAP) == keys_from_passphrase("grüße", SALT, CHEAP)


def test_no_other_folding_is_done() -> None:
    keys = {keys_from_passphrase(text, SALT, CHEAP) for text in ("secret", "Secret", "secret ", "ﬁ", "fi")}
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
        keys_from_passphrase("secret", SALT, cost)

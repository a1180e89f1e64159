"""A secret in word lists: enough of them give it, fewer or others never do."""

from __future__ import annotations

import secrets
from itertools import combinations

import pytest

from farshore.errors import ConfigInvalid, WrongPassphrase
from farshore.sealed.shares import join_shares, split_secret

SECRET = secrets.token_bytes(32)


@pytest.mark.parametrize(("threshold", "shares"), [(2, 2), (2, 3), (3, 5)])
def test_any_that_are_enough_give_the_secret_and_fewer_do_not(threshold: int, shares: int) -> None:
    made = split_secret(SECRET, threshold, shares)
    for chosen in combinations(made, threshold):
        assert join_shares(chosen) == SECRET
    for chosen in combinations(made, threshold - 1):
        with pytest.raises(WrongPassphrase, match="more are needed"):
            join_shares(chosen)
    assert join_shares([made[0], *made]) == SECRET, "more than are needed, or one twice, do no harm"
    assert join_shares([f"  {one.upper()}\n" for one in made]) == SECRET, "as somebody types them"


def test_a_word_that_is_wrong_and_a_list_of_another_set_are_refused() -> None:
    made, other = split_secret(SECRET, 2, 3), split_secret(SECRET, 2, 3)
    words = made[0].split()
    words[5] = "academic" if words[5] != "academic" else "acid"
    for wrong in ([" ".join(words), made[1]], [made[0], other[1]], [made[0], "no such words"], []):
        with pytest.raises(WrongPassphrase):
            join_shares(wrong)


@pytest.mark.parametrize(("threshold", "shares"), [(1, 3), (4, 3), (2, 17), (0, 0)])
def test_numbers_that_protect_nothing_are_refused(threshold: int, shares: int) -> None:
    with pytest.raises(ConfigInvalid, match="cannot be made"):
        split_secret(SECRET, threshold, shares)

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tidy import code_rules, handler_rules, room_rules, text_rules, walks, word_rules
from tests.tidy.tree import Rule, Tree


@pytest.fixture(scope="module")
def checkout() -> Tree:
    return Tree(Path(__file__).parents[2])


@pytest.mark.parametrize(
    "rule",
    [*code_rules.RULES, *handler_rules.RULES, *room_rules.RULES, *text_rules.RULES, *walks.RULES, *word_rules.RULES],
    ids=lambda rule: rule.__name__,
)
def test_nothing_in_the_tree_breaks(rule: Rule, checkout: Tree) -> None:
    findings = [str(finding) for finding in rule(checkout)]
    assert not findings, "\n".join([rule.__doc__ or rule.__name__, *findings])


def test_the_tree_is_the_whole_checkout(checkout: Tree) -> None:
    paths = {file.path for file in checkout.files}
    assert {"pyproject.toml", "farshore/errors/user.py", "tests/tidy/tree.py", "LICENSE"} <= paths
    assert not any(path.startswith((".venv/", ".git/")) for path in paths)


def test_the_ceiling_of_words_follows_the_count(checkout: Tree) -> None:
    total = word_rules.count_all(checkout).total()
    assert total >= word_rules.WORDS_MAX - word_rules.SLACK, f"lower WORDS_MAX in tests/tidy/word_rules.py to {total}"

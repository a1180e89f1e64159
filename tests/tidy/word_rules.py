"""Words that name a relation instead of a thing are counted in names and docstrings; the count only falls.

Name the thing, then the verb. These words have a plainer one in almost every sentence: report or print for tell, need
or read for take, is for lie and stand. Decision 0017 has the list with better sentences.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator

from tests.tidy.code_rules import OURS
from tests.tidy.tree import Finding, Source, Tree

WORDS_MAX = 15  # in the whole tree; lower it with every change that lowers the count
SLACK = 15  # below the ceiling before it has to be lowered: two changes at once need not touch the same line
WORST_SHOWN = 10

_VERBS = (
    r"tell(?:s|ing)?|told|tak(?:e|es|en|ing)|took|com(?:e|es|ing)|came|lie[sd]?|lying|stands?|stood|standing|whoever"
)
IN_NAMES = re.compile(rf"(?:^|_)(?:{_VERBS})(?=_|$)", re.IGNORECASE)
IN_SENTENCES = re.compile(
    rf"\b(?:{_VERBS})\b|\b(?:is|are|was|were) to be\b|\bso (?:many|much)\b|(?:(?<=\. )|(?<=: )|^)What\b(?![^.]*\?)",
    re.IGNORECASE | re.MULTILINE,
)


def relational_words(tree: Tree) -> Iterator[Finding]:
    """The listed words are no more than they were."""
    counts = count_all(tree)
    total = counts.total()
    if total > WORDS_MAX:
        for path, count in counts.most_common(WORST_SHOWN):
            yield Finding(path, 1, f"{count} relational words; {total} in the tree, {WORDS_MAX} is the ceiling")


def count_all(tree: Tree) -> Counter[str]:
    """Return the count of each shipped file, by path."""
    return Counter({file.path: count_words(file) for file in tree.python(*OURS)})


def count_words(file: Source) -> int:
    """Return how often the words stand in what a file defines and in its docstrings."""
    names = {name for node in file.nodes for name in _defined(node)}
    sentences = [
        docstring
        for node in file.nodes
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and (docstring := ast.get_docstring(node))
    ]
    in_names = sum(len(IN_NAMES.findall(name)) for name in names)
    return in_names + sum(len(IN_SENTENCES.findall(sentence)) for sentence in sentences)


def _defined(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield name
        case ast.ClassDef(name=name):
            yield "_".join(re.findall(r"[A-Z][a-z0-9]*", name))
        case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
            yield name


RULES = (relational_words,)

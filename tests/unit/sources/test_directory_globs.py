"""Patterns that choose paths behave as in .gitignore; git itself is the judge."""

from __future__ import annotations

import pickle
import subprocess
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farshore.sources.directory.globs import Globs
from farshore.sources.glob_expressions import expression, read_line
from tests.benchmarks.patterns import worst_cases


@pytest.mark.parametrize(
    ("pattern", "path", "chosen"),
    [
        ("*.tmp", b"a.tmp", True),
        ("*.tmp", b"deep/below/a.tmp", True),
        ("*.tmp", b"a.tmp.txt", False),
        ("*.tmp", b".tmp", True),
        ("**/.cache/**", b"home/me/.cache/thing", True),
        ("**/.cache/**", b".cache/thing", True),
        ("**/.cache/**", b"home/me/.cache", False),
        ("/top", b"top", True),
        ("/top", b"below/top", False),
        ("a/b", b"a/b", True),
        ("a/b", b"x/a/b", False),
        ("a/**/z", b"a/z", True),
        ("a/**/z", b"a/b/c/z", True),
        ("a/*/z", b"a/b/c/z", False),
        ("a?c", b"abc", True),
        ("a?c", b"a/c", False),
        ("a?c", "aéc".encode(), False),  # bytes, as git does
        ("a??c", "aéc".encode(), True),
        ("[a-c]x", b"bx", True),
        ("[!a-c]x", b"bx", False),
        ("[^a-c]x", b"dx", True),
        ("[]x]", b"]", True),
        ("[a-]", b"-", True),
        ("[a", b"[a", False),
        ("[[:alpha:]]", b"x", True),
        ("#x", b"#x", False),
        ("\\#x", b"#x", True),
        ("x ", b"x", True),
        ("x\\ ", b"x ", True),
        ("a**/z", b"ab/c/z", True),
        ("\\*", b"*", True),
        ("\\*", b"x", False),
        ("\\!x", b"!x", True),
        ("a b", b"a b", True),
        ("*", b"\xff\xfe\n", True),
        ("*.log", b"new\nline.log", True),
        ("x", b"x\n", False),
    ],
)
def test_one_pattern(pattern: str, path: bytes, chosen: bool) -> None:
    assert Globs([pattern]).match(path, directory=False) is chosen


def test_a_pattern_with_a_slash_at_its_end_is_for_directories() -> None:
    globs = Globs(["build/"])
    assert globs.match(b"src/build", directory=True)
    assert not globs.match(b"src/build", directory=False)


def test_the_last_match_wins() -> None:
    globs = Globs(["*.log", "!keep.log", "/keep.log"])
    assert globs.match(b"a.log", directory=False)
    assert not globs.match(b"below/keep.log", directory=False)
    assert globs.match(b"keep.log", directory=False)


def test_no_pattern_chooses_nothing() -> None:
    assert not Globs([])
    assert not Globs(["", "/", "!"])
    assert not Globs([]).match(b"x", directory=False)


# The alphabet of patterns, and names that such a pattern may well mean.
WORDS = r"""a b ab * ** *** ? / // /**/ **/ /** \ \a \* \/ \[ [ ] [ab] [!a] [^a-b] []-a] [a-] [b-a] [\]] [[] [a [/] [!/]
    [a/b] [[:alpha:]] [![:space:]] [[:x:]] [[:a] [[:] [[::]] [[:digit:]-z] [[:punct:]\-] . - # ! é [é] 1"""
ALPHABET = (
    *WORDS.split(),
    *("\\ ", " ", "  ", "\t", "\r", "\udcff", "[\x01-\udcff]"),
)
PIECES = st.sampled_from(ALPHABET)
MEANT = [
    *rb"a b ab ba a\  [ ] [a a] - a- # #a ! !a * \ A Z 1 d d/a a/b a/a/b ab/b : x".split(),
    *(b"a ", b" ", b"\t", b"a\t", b"\r", b"\xff", "é".encode(), b"d/a b", b"\x01", b"\x0b"),
]
PATTERNS = st.one_of(
    st.lists(PIECES, min_size=1, max_size=7).map("".join),
    st.builds(
        lambda negated, names, end: "!" * negated + "/".join(names) + end,
        st.booleans(),
        st.lists(
            st.sampled_from(["**", "*", "a", "b", "a*", "*b*", "?", "[ab]*", "**a", "a**"]), min_size=1, max_size=5
        ),
        st.sampled_from(["", "", "/", " ", "\\ ", "/**"]),
    ),
)
LETTERS = st.sampled_from([*rb"a b ab [ ] \ * . - # ! 1".split(), " é".encode(), b"\xff", b"\t", b"\n", b"\x01"])
NAMES = st.lists(LETTERS, min_size=1, max_size=4).map(b"".join).filter(lambda name: name not in (b".", b".."))
PATHS = st.lists(NAMES | st.sampled_from([b"a", b"b", b"ab", b"d"]), min_size=1, max_size=5).map(b"/".join)
CASES = st.tuples(st.lists(PATTERNS, min_size=1, max_size=4), st.lists(PATHS, min_size=1, max_size=12))


def git_chooses(top: Path, cases: Sequence[tuple[list[str], list[bytes]]]) -> list[list[bool]]:
    """Ask one git about many lists of patterns: each has a directory and a .gitignore of its own."""
    asked = []
    for number, (patterns, paths) in enumerate(cases):
        place = top / str(number)
        (place / "d").mkdir(parents=True, exist_ok=True)  # the one name that is a directory
        (place / ".gitignore").write_bytes("\n".join(patterns).encode("utf-8", "surrogateescape") + b"\n")
        asked += [b"%d/%b" % (number, path) for path in paths]
    answer = subprocess.run(
        ["git", "-C", top, "check-ignore", "--no-index", "-z", "--stdin"],
        input=b"\0".join(asked),
        capture_output=True,
        check=False,
    )
    assert answer.returncode in (0, 1), answer.stderr
    ignored = set(answer.stdout.split(b"\0"))
    return [[b"%d/%b" % (number, path) in ignored for path in paths] for number, (_, paths) in enumerate(cases)]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("checkout")
    subprocess.run(["git", "init", "-q", top], check=True)
    return top


def test_git_chooses_the_same_by_every_pair_of_pieces(checkout: Path) -> None:
    """Trial F18: comments, blanks at the end, an open `[` and all else mean what they mean to git."""
    pairs = [[one + other] for one in ("", *ALPHABET) for other in ALPHABET]
    compare(checkout, [(pair, MEANT) for pair in pairs])
    compare(checkout, [(["*", f"!{pair}"], MEANT) for [pair] in pairs[:: len(ALPHABET) - 1]])


@settings(max_examples=20, deadline=None)
@given(cases=st.lists(CASES, min_size=10, max_size=40))
def test_git_chooses_the_same(checkout: Path, cases: list[tuple[list[str], list[bytes]]]) -> None:
    """Trial F18, with patterns of any length."""
    compare(checkout, cases)


def compare(checkout: Path, cases: Sequence[tuple[list[str], list[bytes]]]) -> None:
    """Fail at the first list of patterns by which git chooses other paths than `Globs`."""
    for (patterns, paths), expected in zip(cases, git_chooses(checkout, cases), strict=True):
        globs = Globs(patterns)

        def chosen(path: bytes, globs: Globs = globs) -> bool:
            levels = [path[:at] for at, byte in enumerate(path) if byte == ord("/")]
            if any(globs.match(level, directory=True) for level in levels):
                return True  # what is below a directory that is left out is left out
            return globs.match(path, directory=path == b"d")

        assert [chosen(path) for path in paths] == expected, (patterns, paths)


@settings(max_examples=300, deadline=None)
@given(pattern=PATTERNS)
def test_an_expression_leaves_nothing_to_be_tried_in_two_ways_at_once(pattern: str) -> None:
    """Trial F5: backtracking multiplies where one repetition may give back to another; here each is alone."""
    line = read_line(pattern)
    text = expression(line) if line is not None else None
    if text is not None:
        parse = import_module("re._parser").parse
        check_alone(parse(text))


def check_alone(sequence: Iterable[tuple[Any, Any]]) -> None:
    sequence = list(sequence)
    repeats = [value for name, value in sequence if str(name) in ("MAX_REPEAT", "MIN_REPEAT")]
    assert len(repeats) <= 1
    for _, _, inner in repeats:
        assert all(str(name) in ("NOT_LITERAL", "IN", "POSSESSIVE_REPEAT", "LITERAL") for name, _ in inner)
    for name, value in sequence:
        if str(name) == "ATOMIC_GROUP":
            check_alone(value)
        assert str(name) not in ("SUBPATTERN", "BRANCH", "GROUPREF")


@pytest.mark.parametrize("length", [240, 60_000])
def test_no_pattern_takes_long_for_any_name(length: int) -> None:
    """Trial F5: each took longer than the age of the world, by backtracking."""
    for pattern, path in worst_cases(length):
        globs = Globs([pattern])
        assert not globs.match(path, directory=False)
        assert not globs.match(path, directory=True)


def test_patterns_travel_to_another_process() -> None:
    globs = pickle.loads(pickle.dumps(Globs(["*.tmp", "!/a*/b"])))
    assert globs.match(b"x/y.tmp", directory=False)
    assert not globs.match(b"ax/b", directory=False)

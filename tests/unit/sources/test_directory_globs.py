"""Patterns that choose paths behave as in .gitignore; git itself is the judge."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farshore.sources.posix_globs import Globs


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
        ("a?c", "aéc".encode(), True),
        ("[a-c]x", b"bx", True),
        ("[!a-c]x", b"bx", False),
        ("[^a-c]x", b"dx", True),
        ("[]x]", b"]", True),
        ("[a-]", b"-", True),
        ("[a", b"[a", True),
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


PIECES = st.sampled_from(["a", "b", "ab", "*", "?", "[ab]", "[!a]", "\\a", ".", "-", "[a-b]x"])
# `**` stands alone: beside other characters git reads `a**/b` one way in theory and another in practice.
NAMES = st.lists(PIECES, min_size=1, max_size=2).map("".join) | st.just("**")
PATTERNS = st.builds(
    lambda negated, rooted, names, directory: "!" * negated + "/" * rooted + "/".join(names) + "/" * directory,
    st.sampled_from([False, False, False, True]),
    st.booleans(),
    st.lists(NAMES, min_size=1, max_size=3),
    st.booleans(),
)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git checkout with the same few names at every level: directories a and b, files ab, aa, .a, -x and bx."""
    top = tmp_path_factory.mktemp("checkout")
    subprocess.run(["git", "init", "-q", top], check=True)
    for first in ("", "a/", "b/"):
        for second in ("", "a/", "b/"):
            (top / first / second).mkdir(parents=True, exist_ok=True)
            for name in ("ab", "aa", ".a", "-x", "bx"):
                (top / first / second / name).write_text("")
    return top


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(patterns=st.lists(PATTERNS, min_size=1, max_size=4))
def test_git_chooses_the_same(checkout: Path, patterns: list[str]) -> None:
    (checkout / ".git" / "info" / "exclude").write_text("\n".join(patterns) + "\n")
    names = ["a", "b", "ab", "aa", ".a", "-x", "bx"]
    paths = {f"{x}{y}{name}" for x in ("", "a/", "b/") for y in ("", "a/", "b/") for name in names}
    existing = sorted(path for path in paths if os.path.lexists(checkout / path))
    answer = subprocess.run(
        ["git", "-C", checkout, "check-ignore", "--no-index", "-z", "--stdin"],
        input="\0".join(existing).encode(),
        capture_output=True,
        check=False,
    )
    assert answer.returncode in (0, 1), answer.stderr
    ignored = {path for path in answer.stdout.decode().split("\0") if path}
    globs = Globs(patterns)

    def chosen(path: str) -> bool:
        parts = path.split("/")
        for count in range(1, len(parts)):  # what is below a directory that is left out is left out
            if globs.match("/".join(parts[:count]).encode(), directory=True):
                return True
        return globs.match(path.encode(), directory=(checkout / path).is_dir())

    assert {path for path in existing if chosen(path)} == ignored

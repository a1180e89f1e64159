"""Spans of a walk, put together, are the walk: for any tree, and for cuts at any path, there or not."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from farshore.format.choosing import sort_key
from farshore.handles import DirectoryHandles, Handle
from farshore.sources.directory.globs import Globs
from farshore.sources.directory.walk import Found, Span, Walk, WalkOptions
from tests.contract.directory_trees import ROOT

# Their order as bytes of a path is not that of a walk: `a b`, `a.b` and `a/b` all follow `a`.
NAMES = st.sampled_from([b"a", b"a b", b"a.b", b"ab", b"a\x01", b"b", b"\xff\xfe", b"skip", b"tag"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(b"/".join)
OPTIONS = WalkOptions(Globs(["skip", "b/ab"]), tags=(b"tag",))
Problem = tuple[bytes, str, str]


def build(top: bytes, paths: Sequence[bytes], locked: Sequence[bytes]) -> None:
    for path in sorted(paths, key=len):
        *above, _ = path.split(b"/")
        if all(not os.path.isfile(os.path.join(top, *above[:end])) for end in range(1, len(above) + 1)):
            os.makedirs(os.path.join(top, *above), exist_ok=True)
            if not os.path.exists(os.path.join(top, path)):
                Path(os.fsdecode(os.path.join(top, path))).touch()
    for path in locked:
        if os.path.isdir(os.path.join(top, path)) and not ROOT:
            os.chmod(os.path.join(top, path), 0)


def walk_of(top: bytes, problems: list[Problem]) -> Walk:
    root = Handle(os.open(top, os.O_RDONLY))
    handles = DirectoryHandles(root=root, open_max=2)
    return Walk(handles=handles, options=OPTIONS, report=lambda *problem: problems.append(problem))


def shown(found: Found) -> tuple[object, ...]:
    path, kind, status, target = found
    return path, kind, status.st_ino, target


@given(st.lists(PATHS, max_size=25), st.lists(PATHS, max_size=8), st.integers(1, 3), st.lists(PATHS, max_size=2))
def test_spans_together_are_the_walk(
    paths: list[bytes], cuts: list[bytes], processes: int, locked: list[bytes]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        top = os.fsencode(name)
        build(top, paths, locked)
        try:
            problems: list[Problem] = []
            whole = [shown(found) for found in walk_of(top, problems).find()]
            assert [path for path, *_ in whole] == sorted((path for path, *_ in whole), key=_key)
            reported: list[Problem] = []
            walks = [walk_of(top, reported) for _ in range(processes)]
            bounds = [b"", *sorted(set(cuts), key=sort_key), None]
            parts: list[tuple[object, ...]] = []
            before: list[bytes] = []
            for number, (start, end) in enumerate(pairwise(bounds)):
                walk = walks[number % processes]
                part = [shown(found) for found in walk.find(Span(start or b"", end))]
                assert all(sort_key(start or b"") <= _key(path) for path, *_ in part)
                assert end is None or all(_key(path) < sort_key(end) for path, *_ in part)
                assert walk.entered == before, "a span enters what the one before it has entered"
                assert walk.lost is None or walk.lost[0] not in before
                before = walk.straddling
                parts += part
            assert parts == whole
            assert reported == problems
        finally:
            for path in locked:
                if os.path.isdir(os.path.join(top, path)):
                    os.chmod(os.path.join(top, path), 0o700)


def _key(path: object) -> bytes:
    assert isinstance(path, bytes)
    return sort_key(path)

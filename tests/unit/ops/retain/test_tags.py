"""Tags: a backup's own, those of notes, in rules; and what a thief's tags are worth."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from farshore.catalog import list_commits
from farshore.catalog.notes import kept_commits, read_notes, with_tags
from farshore.catalog.snapshots import list_snapshots, resolve_snapshot
from farshore.config import RetentionConfig
from farshore.errors import ObjectCorrupt
from farshore.format import decode_object, encode_canonical
from farshore.format.commit import decode_commit, encode_details
from farshore.ops.retain.annotate import tag_snapshots
from farshore.ops.retain.judging import JudgedSource, judge_repository
from farshore.run import Run
from farshore.signing import generate_signing_key
from tests.unit.ops.engine import Engine, fresh_memory_urls
from tests.unit.ops.retain.test_keeping import put_note
from tests.unit.ops.tree_source import TreeSource


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "engine", urls=fresh_memory_urls("a"), quorum=1).initialize()


@pytest.fixture
def before(engine: Engine) -> list[str]:
    """Three snapshots; the first was made with two tags."""
    tree = TreeSource(clock=engine.clock)
    tree.file(b"one", b"1")
    return [engine.backup(tree, tags=tags).snapshot_id for tags in (("release", "v=1"), (), ())]


def tagged(engine: Engine) -> list[tuple[str, ...]]:
    with engine.opened() as repository:
        return [one.tags for one in with_tags(list_snapshots(repository), read_notes(repository))]


def tag(engine: Engine, snapshot: str, add: Collection[str] = (), remove: Collection[str] = ()) -> int:
    with engine.opened() as repository:
        chosen = [resolve_snapshot(repository, snapshot)]
        done = tag_snapshots(repository, chosen, add=add, remove=remove, run=Run.start(engine.clock))
        return len(done.snapshots)


def judged(engine: Engine, rules: RetentionConfig) -> JudgedSource:
    with engine.opened() as repository:
        (found,) = judge_repository(repository, replace(engine.config, retention=rules))
        return found


def test_tags_are_added_and_removed_whoever_gave_them(engine: Engine, before: list[str]) -> None:
    assert tagged(engine) == [("release", "v=1"), (), ()]
    tag(engine, before[0], add=["old"], remove=["release"])
    tag(engine, before[1], add=["a", "b"])
    assert tagged(engine) == [("old", "v=1"), ("a", "b"), ()]
    tag(engine, before[1], remove=["a"])
    tag(engine, before[0], remove=["v=1"])
    tag(engine, before[0], add=["release"])
    assert tagged(engine) == [("old", "release"), ("b",), ()]
    assert tag(engine, before[1], add=["b"], remove=["none"]) == 0, "nothing to say is no note"
    assert not any(b"release" in data for data in engine.objects("a").values()), "tags are sealed"


def test_rules_keep_what_is_tagged_and_it_displaces_nothing(engine: Engine, before: list[str]) -> None:
    found = judged(engine, RetentionConfig(keep_last=2, keep_tags=("release",)))
    assert [one.kept for one in found.verdicts] == [True, True, True]
    assert [str(one) for one in found.verdicts[0].reasons] == ["tagged release"]
    tag(engine, before[0], remove=["release"])
    assert [one.snapshot_id for one in judged(engine, RetentionConfig(keep_last=2, keep_tags=("release",))).going] == [
        before[0]
    ]


def test_a_misspelled_tag_forgets_nothing(engine: Engine, before: list[str]) -> None:
    rules = RetentionConfig(keep_tags=("relaese",))
    assert judged(engine, rules).stopped == "untagged"
    assert not judged(engine, rules).going
    assert [one.snapshot_id for one in judged(engine, RetentionConfig(keep_tags=("release",))).going] == [before[1]]


def test_a_thief_s_tags_say_nothing_of_what_is_there(engine: Engine, before: list[str]) -> None:
    """With put rights and a key that nobody certified: neither a tag, nor the loss of one."""
    commit = engine.commit_of(before[0])
    put_note(engine, "a", generate_signing_key(), before[0], {"keep": "", "lifts": [commit.hash]})
    assert tagged(engine)[0] == ("release", "v=1")


def test_a_note_with_tags_keeps_nothing(engine: Engine, before: list[str]) -> None:
    tag(engine, before[0], add=["hold"])
    with engine.opened() as repository:
        assert not kept_commits(repository, list_commits(repository))


def test_tags_that_cannot_be_are_a_damaged_commit(engine: Engine, before: list[str]) -> None:
    commit = engine.commit_of(before[0])
    details = decode_object(encode_details(commit), "details")
    assert decode_commit(commit, encode_canonical(details), "a commit").tags == ("release", "v=1")
    for tags in ("release", ["a b"], ["b", "a"], ["a", "a"], [""], [1], [f"t{at:02}" for at in range(65)]):
        with pytest.raises(ObjectCorrupt):
            decode_commit(commit, encode_canonical({**details, "tags": tags}), "a commit")

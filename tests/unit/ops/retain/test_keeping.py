"""Pins and holds: what they keep, for how long, who may put them, and what a thief's are worth."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from farshore.access.unlock import Need
from farshore.catalog import list_commits
from farshore.catalog.notes import join_notes, kept_commits, list_notes
from farshore.catalog.snapshots import resolve_snapshot
from farshore.config import RetentionConfig
from farshore.errors import KeyMissing, SnapshotProtected, SnapshotUnknown, StateUnknown
from farshore.format import decode_object, encode_canonical, names
from farshore.format.note import Keep, Note, encode_note
from farshore.ops.retain.annotate import KeptSnapshot, Noted, keep_snapshots, lift_keeping, list_kept, refuse_kept
from farshore.ops.retain.judging import judge_repository
from farshore.ops.setup.enroll import enroll
from farshore.ops.setup.revoke import apply_revocation, plan_revocation
from farshore.run import Run
from farshore.sealed import Role
from farshore.signing import SignedKind, SigningKey, generate_signing_key
from tests.doubles.trust import signed_text
from tests.unit.ops.engine import Engine, fresh_memory_urls
from tests.unit.ops.heal.healing_world import heal
from tests.unit.ops.lease_world import Calls, forget, maintainer, put
from tests.unit.ops.tree_source import TreeSource

DAY_S = 86_400


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "engine", urls=fresh_memory_urls("a", "b"), quorum=1).initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    """Four snapshots, one a day."""
    tree = TreeSource(clock=engine.clock)
    for number in range(4):
        tree.file(f"{number}".encode(), random.Random(number).randbytes(2_000))
        engine.backup(tree)
        engine.clock.advance(DAY_S)
    return tree


def ids(engine: Engine) -> list[str]:
    return [one.snapshot_id for one in engine.snapshots()]


def keep(engine: Engine, snapshot: str, how: Keep = Keep.HOLD, until: datetime | None = None) -> Noted:
    with engine.opened() as repository:
        chosen = [resolve_snapshot(repository, snapshot)]
        return keep_snapshots(repository, chosen, how, reason="a test", until_utc=until, run=Run.start(engine.clock))


def lift(engine: Engine, snapshot: str, how: Keep = Keep.HOLD) -> None:
    with engine.opened() as repository:
        lift_keeping(repository, snapshot, how, reason="done", run=Run.start(engine.clock))


def kept(engine: Engine, need: Need = Need.READ) -> set[str]:
    """Return the snapshots that a pruner takes as roots because of notes."""
    with engine.opened(need) as repository:
        listed = list_commits(repository)
        heads = {**listed.heads, **listed.forgotten}
        return {heads[one].snapshot for one in kept_commits(repository, listed)}


def shown(engine: Engine) -> list[KeptSnapshot]:
    with engine.opened() as repository:
        return list_kept(repository)


def going(engine: Engine) -> list[str]:
    config = replace(engine.config, retention=RetentionConfig(keep_last=1))
    with engine.opened() as repository:
        (judged,) = judge_repository(repository, config)
        return [one.snapshot_id for one in judged.going]


def put_note(
    engine: Engine, replica: str, key: SigningKey | None, snapshot: str, changed: Mapping[str, object] | None = None
) -> str:
    """Put a note as somebody with put rights and this key would; return its name."""
    assert key is not None
    _, fingerprint, log = maintainer(engine)
    commit = engine.commit_of(snapshot)
    body = {**decode_object(encode_note(Note(
        snapshot, commit.hash, commit.domain, commit.epoch, Keep.HOLD, None, (), engine.clock.now_utc(), log
    ), b""), "a note"), **(changed or {})}  # fmt: skip
    data = signed_text(key, SignedKind.NOTE, names.note_subject(snapshot), encode_canonical(body), fingerprint)
    name = names.note(snapshot, names.hash_of(data))
    put(engine, replica, name, data)
    return name


@pytest.mark.parametrize("how", [Keep.PIN, Keep.HOLD])
def test_what_is_kept_no_rule_and_no_hand_forgets(engine: Engine, source: TreeSource, how: Keep) -> None:
    before = ids(engine)
    keep(engine, before[0], how)
    assert going(engine) == before[1:3]
    with engine.opened() as repository:
        with pytest.raises(SnapshotProtected, match=f"a {how} keeps snapshot {before[0][:12]} of home: a test"):
            refuse_kept(repository, [resolve_snapshot(repository, one) for one in before[:2]])
        refuse_kept(repository, [resolve_snapshot(repository, before[1])])
    forget(engine, "a", before[0])  # by somebody who did not look
    assert kept(engine) == {before[0]}
    assert [(one.snapshot, one.source, one.reason, one.ended) for one in shown(engine)] == [
        (before[0], "home", "a test", False)
    ]
    lift(engine, before[0][:8], how)
    assert kept(engine) == set()
    assert shown(engine) == []
    with engine.opened() as repository, pytest.raises(SnapshotUnknown, match=f"is no snapshot with a {how}"):
        lift_keeping(repository, before[0], how, reason="", run=Run.start(engine.clock))


def test_a_pin_ends_by_a_later_snapshot_and_by_no_clock(engine: Engine, source: TreeSource) -> None:
    before = ids(engine)
    keep(engine, before[0], Keep.PIN, engine.clock.now_utc() + timedelta(days=2))
    engine.clock.advance(50 * DAY_S)
    assert kept(engine) == {before[0]}, "time alone ends no pin"
    engine.backup(source)
    assert kept(engine) == set()
    assert [one.ended for one in shown(engine)] == [True]
    assert before[0] in going(engine)


def test_a_snapshot_that_is_dated_too_late_ends_no_pin(engine: Engine, source: TreeSource) -> None:
    before = ids(engine)
    keep(engine, before[0], Keep.PIN, engine.clock.now_utc() + timedelta(days=30))
    newest = ids(engine)[-1]
    engine.clock.advance(60 * DAY_S)
    later = engine.backup(source).snapshot_id
    engine.clock.advance(-60 * DAY_S)
    for shelf in (engine.shelf(name) for name in "ab"):
        for name, (data, stored_utc) in list(shelf.objects.items()):
            shelf.objects[name] = (data, min(stored_utc, engine.clock.now_utc()))
    assert later != newest
    assert kept(engine) == {before[0]}


def test_only_who_may_maintain_keeps_a_snapshot(engine: Engine, source: TreeSource) -> None:
    """A thief's notes, with put rights, a writer's key or none, keep no space and lift nothing."""
    before = ids(engine)
    keep(engine, before[0])
    (held,) = (one.note for one in shown(engine))
    with engine.opened(Need.OWNER) as repository:
        writer = enroll(repository, "another host").credential.signing_key
    for key in (generate_signing_key(), writer):
        put_note(engine, "a", key, before[1])
        put_note(engine, "b", key, before[0], {"keep": "", "lifts": [held]})
    put(engine, "a", names.note(before[1], "0" * 64), b"garbage")
    assert kept(engine) == {before[0]}
    host = engine.at("writer", reads=False)
    host.repository_config = replace(host.repository_config, credential=Path(engine.at("writer").enroll(name="writer")))
    with engine.opened() as repository:
        chosen = [resolve_snapshot(repository, before[1])]
    with host.opened(Need.WRITE) as repository, pytest.raises(KeyMissing, match="right to maintain"):
        keep_snapshots(repository, chosen, Keep.PIN, reason="", run=Run.start(engine.clock))


def test_a_note_that_is_not_whole_says_nothing(engine: Engine, source: TreeSource) -> None:
    key, _, _ = maintainer(engine)
    wrong: tuple[Mapping[str, object], ...] = (
        {"snapshot": "0" * 32}, {"commit": "x"}, {"keep": "for-ever"}, {"until_utc": "2030-01-01T00:00:00.000000Z"},
        {"lifts": ["x"]}, {"lifts": ["b" * 64, "a" * 64]}, {"epoch": -1}, {"format": "farshore-tombstone"},
    )  # fmt: skip
    for changed in wrong:
        put_note(engine, "a", key, ids(engine)[0], changed)
    assert len(engine.objects("a", names.NOTES)) == 8
    assert kept(engine) == set()


def test_what_a_later_version_says_is_a_hold(engine: Engine, source: TreeSource) -> None:
    key, _, _ = maintainer(engine)
    snapshot = ids(engine)[0]
    put_note(engine, "a", key, snapshot, {"version": 2, "keep": "embargo"})
    assert kept(engine) == {snapshot}


def test_a_hold_outlasts_its_maker_and_a_thief_s_does_not(engine: Engine, source: TreeSource) -> None:
    """A revocation names what was noted before; what the key signs afterwards keeps nothing and lifts nothing."""
    before = ids(engine)
    with engine.opened(Need.OWNER) as repository:
        leaving = enroll(repository, "colleague", role=Role.MAINTAINER).credential.signing_key
    held = put_note(engine, "a", leaving, before[0])
    doubted = put_note(engine, "a", leaving, before[1])
    with engine.opened(Need.OWNER) as repository:
        apply_revocation(repository, plan_revocation(repository, "colleague", [doubted[-64:]]), "left")
    assert kept(engine) == {before[0]}
    put_note(engine, "a", leaving, before[2])
    put_note(engine, "a", leaving, before[0], {"keep": "", "lifts": [held[-64:]]})
    assert kept(engine) == {before[0]}


def test_notes_unite_in_any_order(engine: Engine, source: TreeSource) -> None:
    """What was lifted stays lifted, whichever note was read first; what keeps again is a new note."""
    before = ids(engine)
    keep(engine, before[0])
    lift(engine, before[0])
    engine.clock.advance(1)
    keep(engine, before[0])
    keep(engine, before[1], Keep.PIN)
    with engine.opened() as repository:
        read, _ = list_notes(repository)
    assert len(read) == 4
    outcomes = {
        frozenset(one.hash for found in join_notes(dict(order)).of_snapshot.values() for one in found if one.note.keep)
        for order in itertools.permutations(read.items())
    }
    assert len(outcomes) == 1
    assert kept(engine) == set(before[:2])


def test_one_replica_that_has_the_note_suffices_and_heal_brings_it_before_tombstones(
    engine: Engine, source: TreeSource
) -> None:
    before = ids(engine)
    with engine.away("b"):
        assert set(keep(engine, before[0]).failed) == {"b"}
    forget(engine, "a", before[0])
    assert kept(engine) == {before[0]}
    with Calls(engine) as calls:
        heal(engine)
    put_at_b = [name.partition("/")[0] for verb, name in calls.at("b") if verb == "put"]
    assert put_at_b.index("notes") < put_at_b.index("forgotten")
    with engine.away("a"):
        assert kept(engine) == {before[0]}
    assert engine.verify().clean


def test_a_damaged_note_is_found_by_verify(engine: Engine, source: TreeSource) -> None:
    keep(engine, ids(engine)[0])
    (name,) = engine.objects("b", names.NOTES)
    put(engine, "b", name, b"damaged")
    assert [(one.replica, one.name) for one in engine.verify().damaged] == [("b", name)]


def test_of_a_pin_and_a_forget_at_one_moment_one_sees_the_other(engine: Engine, source: TreeSource) -> None:
    before = ids(engine)
    with engine.opened() as repository:
        chosen = [resolve_snapshot(repository, before[0])]
        forget(engine, "a", before[0])  # between choosing and pinning
        with pytest.raises(StateUnknown, match="was forgotten at the same time"):
            keep_snapshots(repository, chosen, Keep.PIN, reason="", run=Run.start(engine.clock))
    assert kept(engine) == {before[0]}


def test_whoever_deletes_needs_no_key_for_it(engine: Engine, source: TreeSource) -> None:
    before = ids(engine)
    keep(engine, before[0])
    keyless = engine.at("keyless", reads=False)
    assert kept(keyless, Need.NONE) == {before[0]}


def test_reasons_are_sealed(engine: Engine, source: TreeSource) -> None:
    keep(engine, ids(engine)[0])
    stored = b"".join(engine.objects("a", names.NOTES).values())
    assert b"a test" not in stored

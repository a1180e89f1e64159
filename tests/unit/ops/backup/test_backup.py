"""Whole backups of a tree in memory to replicas in memory: what is read, what is stored, what comes back."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from farshore import limits
from farshore.access.unlock import Need
from farshore.catalog.contents import iterate_entries
from farshore.catalog.snapshots import list_snapshots
from farshore.errors import QuorumNotReached, SourceCorrupt, SourceMissing, StoreDenied
from farshore.format import names
from farshore.ops.backup.backup import run_backup
from farshore.replicas.repository import BackupSizes
from farshore.results import BackupResult, Progress
from farshore.run import Run
from farshore.stores.base import Store
from tests.doubles.faulty import FAIL, TRUNCATE, VANISH, Fault, FaultKind, FaultyStore
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource

NOISE = random.Random(1).randbytes(8_000_000)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path).initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    """A small tree of everything, old enough that nothing of it is racy."""
    tree = TreeSource(clock=engine.clock)
    tree.directory(b"docs")
    tree.file(b"docs/a", b"first")
    tree.file(b"docs/empty")
    tree.file(b"docs/same", b"first")
    tree.symlink(b"docs/to", b"../\xff")
    tree.directory(b"empty")
    tree.file(b"large", NOISE)
    tree.link(b"linked", b"docs/a")
    tree.file(b"odd \xff\n name", b"odd")
    tree.file(b"sparse", b"x" * 5000, 3_000_000, b"y", 70_000)
    engine.clock.wait_s(60)
    return tree


def test_a_lane_that_breaks_ends_the_run_and_says_why(engine: Engine, source: TreeSource) -> None:
    """Nobody empties its queue any more, and sealing must not wait for that."""
    engine.sizes = BackupSizes(segment_bytes=64 * limits.KIB, pack_bytes=64 * limits.KIB)

    def tell(progress: Progress) -> None:
        if progress.stage.startswith("replicate"):
            raise ValueError("the paper has run out")

    with engine.opened(Need.WRITE) as repository, pytest.raises(ValueError, match="the paper has run out"):
        run_backup(repository, source, run=Run.start(engine.clock, progress=tell))
    assert engine.snapshots() == []
    assert engine.backup(source).replicas[0].committed


def test_everything_comes_back_from_each_replica_alone(engine: Engine, source: TreeSource) -> None:
    result = engine.backup(source)
    assert [outcome.committed for outcome in result.replicas] == [True] * 3
    assert not result.warned
    for replica in "abc":
        restored, shown = engine.restore(result.snapshot_id, replica=replica)
        assert shown == source.contents()
        assert restored.replicas == (replica,)
        assert restored.problems == ()
    assert engine.verify().clean


def test_counts_say_what_was_done(engine: Engine, source: TreeSource) -> None:
    counts = engine.backup(source).counts
    assert (counts.entries, counts.files) == (11, 6)
    assert counts.bytes_total == len(NOISE) + 5 + 5 + 3 + 5001 + 3_070_000
    assert counts.bytes_read == len(NOISE) + 5 + 5 + 3 + 5001
    assert counts.bytes_new == len(NOISE) + 5 + 3 + 5001  # two files have one content
    assert counts.packs_new == 1
    assert counts.entries_unchanged == 0
    stored = sum(map(len, engine.data_objects("a").values()))
    unmade = sum(len(engine.data_objects("a")[name]) for name in engine.objects("a") if _not_of_a_run(name))
    commit = sum(len(data) for name, data in engine.objects("a").items() if name.startswith(names.SNAPSHOTS))
    assert counts.bytes_stored == stored - unmade - commit


def _not_of_a_run(name: str) -> bool:
    return name == names.HEADER or name.startswith((names.LOG, names.SLOTS))


def test_all_replicas_hold_the_same_bytes(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    assert engine.data_objects("a") == engine.data_objects("b") == engine.data_objects("c")


def test_no_name_and_no_content_shows_in_a_bucket(engine: Engine, source: TreeSource) -> None:
    source.file(b"docs/canary-name", b"canary-content" * 1000)
    engine.backup(source)
    for name, data in engine.objects("a").items():
        for secret in (b"canary", b"docs", b"home"):
            assert secret not in name.encode()
            by_chance = len(secret) < 6 and len(data) > limits.MIB  # four letters turn up in megabytes of noise
            assert secret not in data or name.startswith(names.AUDIT) or by_chance, name


def test_unchanged_files_are_not_read(engine: Engine, source: TreeSource) -> None:
    first = engine.backup(source)
    reads = dict(source.reads)
    engine.clock.wait_s(60)
    second = engine.backup(source)
    assert source.reads == reads
    assert second.counts.entries_unchanged == second.counts.entries == first.counts.entries
    assert (second.counts.bytes_read, second.counts.bytes_new, second.counts.packs_new) == (0, 0, 0)
    assert second.counts.bytes_total == first.counts.bytes_total
    for replica in "abc":
        assert engine.restore(second.snapshot_id, replica=replica)[1] == source.contents()


def test_only_what_changed_is_read_and_only_what_is_new_is_stored(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    engine.clock.wait_s(60)
    source.reads.clear()
    source.write(b"docs/same", b"second")
    source.write(b"large", NOISE[:4_000_000] + b"inserted" + NOISE[4_000_000:])
    source.touch(b"odd \xff\n name")
    source.remove(b"docs/empty", b"empty")
    source.file(b"new", b"brand new")
    result = engine.backup(source)
    assert source.reads == {b"docs/same": 1, b"large": 1, b"odd \xff\n name": 1, b"new": 1}
    assert result.counts.bytes_new < 6 + 9 + 3 * limits.CHUNK_BYTES_MAX
    assert result.counts.entries == 10
    assert engine.restore(result.snapshot_id)[1] == source.contents()


def test_an_earlier_snapshot_stays_as_it_was(engine: Engine, source: TreeSource) -> None:
    before = source.contents()
    first = engine.backup(source)
    engine.clock.wait_s(60)
    source.write(b"docs/a", b"changed")
    source.remove(b"large")
    engine.backup(source)
    for replica in "abc":
        assert engine.restore(first.snapshot_id, replica=replica)[1] == before


def test_a_change_of_metadata_alone_is_kept(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    engine.clock.wait_s(60)
    node = source.nodes[b"docs/a"]
    source.directory(b"docs", mode=0o700)
    assert node.entry.mode == 0o644
    second = engine.backup(source)
    assert second.counts.entries_unchanged == second.counts.entries - 1


@pytest.mark.parametrize("gap_s", [0, 1.9])
def test_a_file_that_changed_within_the_grain_of_the_clock_is_read_again(
    engine: Engine, source: TreeSource, gap_s: float
) -> None:
    """Equal times prove nothing when they are as young as the run: a second write could hide behind them."""
    source.write(b"docs/a", b"just now")
    engine.clock.wait_s(gap_s)
    engine.backup(source)
    source.nodes[b"docs/a"].pieces = [b"just NOW"]  # the same size and times
    source.reads.clear()
    result = engine.backup(source)
    assert source.reads == {b"docs/a": 1}
    assert engine.restore(result.snapshot_id)[1][b"docs/a"] == b"just NOW"


def test_any_difference_of_identity_is_a_change(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    engine.clock.wait_s(60)
    for field, value in (("inode", 9999), ("device", 8), ("ctime_ns", 5), ("mtime_ns", 5)):
        source.reads.clear()
        source.put(source.nodes[b"docs/a"].entry, **{field: value})
        source.nodes[b"docs/a"].pieces = [b"first"]
        engine.backup(source)
        assert source.reads == {b"docs/a": 1}, field
        engine.clock.wait_s(60)


def test_what_had_no_ctime_is_always_read(engine: Engine, source: TreeSource) -> None:
    source.file(b"copy", b"of a database", ctime_ns=0, inode=0)
    engine.backup(source)
    engine.clock.wait_s(60)
    source.reads.clear()
    engine.backup(source)
    assert source.reads == {b"copy": 1}


def test_many_small_files_share_segments(engine: Engine) -> None:
    source = TreeSource(clock=engine.clock)
    for number in range(3000):
        source.file(f"dir-{number % 7}-{number:05}".encode(), f"content of file {number}".encode())
    result = engine.backup(source)
    assert result.counts.packs_new == 1
    assert result.counts.chunks_new == 3000
    assert result.counts.bytes_stored < 600_000
    assert engine.restore(result.snapshot_id, replica="b")[1] == source.contents()


# --- problems with single entries ------------------------------------------------------------------------------------


def problems(result: BackupResult) -> list[tuple[bytes, str]]:
    return [(problem.path, problem.code) for problem in result.problems]


def test_a_file_that_changes_once_is_read_again_and_whole(engine: Engine, source: TreeSource) -> None:
    source.nodes[b"docs/a"].changes = 1
    source.nodes[b"large"].changes = 2
    result = engine.backup(source)
    assert result.problems == ()
    assert (source.reads[b"docs/a"], source.reads[b"large"]) == (2, 3)
    assert engine.restore(result.snapshot_id)[1] == source.contents()


@pytest.mark.parametrize("path", [b"docs/a", b"large", b"sparse"])
def test_a_file_that_never_rests_is_kept_as_last_read_and_reported(
    engine: Engine, source: TreeSource, path: bytes
) -> None:
    source.nodes[path].changes = 1000
    result = engine.backup(source)
    assert problems(result) == [(path, "changing")]
    assert result.warned
    assert result.complete  # it is stored, of two moments
    assert source.reads[path] == limits.CHANGED_FILE_ATTEMPTS
    restored, shown = engine.restore(result.snapshot_id)
    assert shown == source.contents()
    assert [(problem.path, problem.code) for problem in restored.problems] == [(path, "changing")]


def test_what_was_changing_is_read_again_next_time_even_if_it_looks_the_same(
    engine: Engine, source: TreeSource
) -> None:
    source.nodes[b"large"].changes = limits.CHANGED_FILE_ATTEMPTS
    engine.backup(source)
    engine.clock.wait_s(60)
    source.reads.clear()
    result = engine.backup(source)
    assert source.reads == {b"large": 1}
    assert result.problems == ()


@pytest.mark.parametrize("path", [b"docs/same", b"large"])
@pytest.mark.parametrize(("trouble", "code"), [("vanished", "vanished"), ("unreadable", "unreadable")])
def test_a_file_that_cannot_be_read_is_reported_and_absent(
    engine: Engine, source: TreeSource, path: bytes, trouble: str, code: str
) -> None:
    setattr(source.nodes[path], trouble, True)
    result = engine.backup(source)
    assert problems(result) == [(path, code)]
    assert result.counts.problems == 1
    assert result.complete == (trouble == "vanished")  # D5: what is gone is not lacking, what is there and unread is
    assert engine.snapshots()[0].complete == result.complete
    assert [one.code for one in result.warnings] == ["snapshot-incomplete"] * (not result.complete) + [
        "entries-incomplete"
    ]
    expected = source.contents()
    del expected[path]
    assert engine.restore(result.snapshot_id)[1] == expected


def test_when_the_first_name_of_a_file_is_lost_the_next_one_holds_it(engine: Engine, source: TreeSource) -> None:
    source.link(b"linked again", b"docs/a")
    source.nodes[b"docs/a"].vanished = True
    result = engine.backup(source)
    assert problems(result) == [(b"docs/a", "vanished")]
    _, shown = engine.restore(result.snapshot_id)
    assert b"docs/a" not in shown
    assert (shown[b"linked"], shown[b"linked again"]) == (b"first", b"first")
    with engine.opened() as repository:
        kinds = {
            one.path: (one.kind.value, one.target) for one in iterate_entries(repository, list_snapshots(repository)[0])
        }
    assert kinds[b"linked"] == ("file", b"")
    assert kinds[b"linked again"] == ("hardlink", b"linked")


def test_when_a_first_name_comes_back_the_links_are_right_again(engine: Engine, source: TreeSource) -> None:
    source.nodes[b"docs/a"].unreadable = True
    engine.backup(source)
    source.nodes[b"docs/a"].unreadable = False
    engine.clock.wait_s(60)
    result = engine.backup(source)
    assert engine.restore(result.snapshot_id)[1] == source.contents()
    assert result.problems == ()


def test_a_file_that_grew_far_beyond_what_the_walk_saw_is_streamed(engine: Engine, source: TreeSource) -> None:
    """A file of a few bytes may be one of gigabytes a moment later; a batch of small files must not hold it."""
    source.nodes[b"docs/a"].grows_by = random.Random(2).randbytes(30_000_000)
    result = engine.backup(source)
    grown = b"first" + source.nodes[b"docs/a"].grows_by
    assert engine.restore(result.snapshot_id)[1][b"docs/a"] == grown
    assert source.reads[b"docs/a"] == 2
    assert result.counts.problems == 0


# --- a source as a whole ---------------------------------------------------------------------------------------------


def test_a_source_that_fails_at_its_end_is_no_snapshot(engine: Engine, source: TreeSource) -> None:
    source.finish_error = SourceCorrupt("the dump has no trailer")
    with pytest.raises(SourceCorrupt):
        engine.backup(source)
    assert engine.snapshots() == []
    assert not [name for name in engine.objects("a") if name.startswith(names.SNAPSHOTS)]
    source.finish_error = None
    result = engine.backup(source)
    assert engine.restore(result.snapshot_id, replica="a")[1] == source.contents()


def test_facts_of_the_source_are_kept(engine: Engine, source: TreeSource) -> None:
    source.facts = {"lsn": "0/16B3748", "version": "18"}
    engine.backup(source)
    assert engine.snapshots()[0].facts == (("lsn", "0/16B3748"), ("version", "18"))


@pytest.mark.parametrize("forgotten", [False, True], ids=["with-cache", "without-cache"])
@pytest.mark.parametrize("reads", [True, False], ids=["reader", "write-only"])
def test_a_source_that_is_suddenly_empty_is_refused(
    tmp_path: Path, source: TreeSource, reads: bool, forgotten: bool
) -> None:
    """A volume that is not mounted looks like an empty directory."""
    engine = Engine(tmp_path / "other").initialize(write_only=not reads)
    host = engine.at("host", reads=reads)
    if not reads:
        credential = host.repository_config.credential
        assert credential is not None
        (made,) = host.state_dir.rglob("credential.json")
        made.rename(credential)
    host.backup(source)
    if forgotten:
        host.forget_cache()
    for path in list(source.nodes):
        if path:
            source.remove(path)
    with pytest.raises(SourceMissing, match="empty now"):
        host.backup(source)
    assert len(engine.snapshots()) == 1
    result = host.backup(source, allow_empty=True)
    assert result.counts.entries == 1
    assert host.backup(source).counts.entries == 1


def test_a_new_source_may_be_empty_only_where_that_is_allowed(engine: Engine) -> None:
    """Trial F14: everything excluded, or a volume that was not mounted when it was backed up first."""
    with pytest.raises(SourceMissing, match="nothing would be backed up"):
        engine.backup(TreeSource(clock=engine.clock))
    assert engine.snapshots() == []
    result = engine.backup(TreeSource(clock=engine.clock), allow_empty=True)
    assert result.counts.entries == 1
    assert engine.restore(result.snapshot_id)[1] == {b"": None}


# --- replicas --------------------------------------------------------------------------------------------------------


def test_a_replica_that_fails_is_named_and_left_behind(engine: Engine, source: TreeSource) -> None:
    denied = Fault(FaultKind.FAIL, StoreDenied)
    engine.wrap = lambda name, store: (
        FaultyStore(store, clock=engine.clock, plan=lambda _verb, item, _number: denied if "packs" in item else None)
        if name == "b"
        else store
    )
    result = engine.backup(source)
    outcomes = {outcome.replica: outcome for outcome in result.replicas}
    assert {name: outcome.committed for name, outcome in outcomes.items()} == {"a": True, "b": False, "c": True}
    assert outcomes["b"].error_code == "store-denied"
    assert result.warned
    assert not [name for name in engine.objects("b") if name.startswith(names.SNAPSHOTS)]
    assert engine.snapshots()[0].replicas == ("a", "c")


def test_below_the_quorum_nothing_is_committed_and_nothing_is_sent_twice(engine: Engine, source: TreeSource) -> None:
    engine.wrap = lambda name, store: (
        FaultyStore(
            store, clock=engine.clock, plan=lambda _verb, item, _number: FAIL if item.startswith(names.RUNS) else None
        )
        if name in "bc"
        else store
    )
    with pytest.raises(QuorumNotReached):
        engine.backup(source)
    assert engine.snapshots() == []
    engine.wrap = lambda _, store: store
    result = engine.backup(source)
    assert (result.counts.bytes_new, result.counts.packs_new) == (0, 0)
    for replica in "abc":
        assert engine.restore(result.snapshot_id, replica=replica)[1] == source.contents()


def test_a_replica_that_came_back_gets_what_the_next_snapshot_needs(engine: Engine, source: TreeSource) -> None:
    """Invariant: a snapshot listed at a replica restores from that replica alone, also the packs it reuses."""
    with engine.away("c"):
        engine.backup(source)
    engine.clock.wait_s(60)
    source.write(b"docs/a", b"changed")
    result = engine.backup(source)
    assert all(outcome.committed for outcome in result.replicas)
    assert [one.replicas for one in engine.snapshots()] == [("a", "b"), ("a", "b", "c")]
    assert engine.restore(result.snapshot_id, replica="c")[1] == source.contents()
    assert engine.verify(replica="c").clean


def test_a_reused_pack_that_is_gone_everywhere_is_noticed_and_its_content_read_again(
    engine: Engine, source: TreeSource
) -> None:
    engine.backup(source)
    (pack,) = engine.objects("a", "packs/")
    for replica in "abc":
        engine.lose(replica, pack)
    engine.clock.wait_s(60)
    result = engine.backup(source)
    assert result.counts.bytes_read > len(NOISE)
    for replica in "abc":
        assert engine.restore(result.snapshot_id, replica=replica)[1] == source.contents()


def test_a_replica_that_lost_a_pack_is_reported_and_dropped(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    (pack,) = engine.objects("a", "packs/")
    engine.lose("b", pack)
    engine.clock.wait_s(60)
    result = engine.backup(source)
    assert [outcome.committed for outcome in result.replicas] == [True, False, True]
    assert result.replicas[1].error_code == "objects-lost"
    assert "'farshore heal'" in result.replicas[1].error
    assert pack not in engine.objects("b"), "it is no business of a backup to hide a loss"
    assert result.counts.bytes_new == 0


def test_replicas_that_the_quorum_needs_take_part_although_they_lost_a_pack(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    (pack,) = engine.objects("a", "packs/")
    for replica in "bc":
        engine.lose(replica, pack)
    engine.clock.wait_s(60)
    result = engine.backup(source)
    assert all(outcome.committed for outcome in result.replicas)
    assert [(one.code, one.subject) for one in result.warnings] == [("objects-lost", "b"), ("objects-lost", "c")]
    for replica in "abc":
        assert engine.restore(result.snapshot_id, replica=replica)[1] == source.contents()


@pytest.mark.parametrize(
    ("fault", "prefixes", "believed"),
    [
        (TRUNCATE, ("packs/",), False),
        (VANISH, ("packs/",), False),
        (VANISH, ("packs/", "index/"), False),
        (VANISH, ("index/",), True),  # nothing that must be there is missing, only unnamed
        (VANISH, ("packs/", "index/", "snapshots/"), True),  # like a new replica; its packs are found by name
    ],
    ids=["cut-off", "no-packs", "no-packs-and-fragments", "no-fragments", "nothing"],
)
def test_a_listing_that_lacks_what_is_there_is_an_error_of_that_replica(
    engine: Engine, source: TreeSource, fault: Fault, prefixes: tuple[str, ...], believed: bool
) -> None:
    for number in range(3):
        source.write(b"large", random.Random(number).randbytes(50_000))
        engine.backup(source)
        engine.clock.wait_s(60)

    def plan(verb: str, name: str, _number: int) -> Fault | None:
        return fault if verb == "list" and name.startswith(prefixes) else None

    engine.wrap = lambda name, store: FaultyStore(store, clock=engine.clock, plan=plan) if name == "b" else store
    before = engine.objects("b", "packs/")
    result = engine.backup(source)
    assert result.counts.bytes_new == 0
    assert [outcome.committed for outcome in result.replicas] == [True, believed, True]
    if not believed:
        assert result.replicas[1].error_code == "listing-shrunken"
        assert "does not list" in result.replicas[1].error
    assert engine.objects("b", "packs/") == before, "nothing was copied again"
    engine.wrap = lambda _, store: store
    result = engine.backup(source)
    assert all(outcome.committed for outcome in result.replicas)
    for replica in "abc":
        assert engine.restore(result.snapshot_id, replica=replica)[1] == source.contents()


def test_a_listing_that_lacks_a_page_of_many_packs_copies_nothing(engine: Engine, source: TreeSource) -> None:
    """Where packs are asked for by listing at commit, a few that it lacks are asked for by name."""
    engine.sizes = BackupSizes(head_objects_max=0)
    engine.backup(source)
    engine.clock.wait_s(60)
    engine.wrap = lambda name, store: (
        FaultyStore(store, clock=engine.clock, plan=lambda verb, _name, _number: VANISH if verb == "list" else None)
        if name == "b"
        else store
    )
    result = engine.backup(source)
    assert [outcome.error_code for outcome in result.replicas] == ["", "listing-shrunken", ""]


def test_a_new_replica_and_a_healthy_one_raise_no_alarm_and_cost_no_request(engine: Engine, source: TreeSource) -> None:
    with engine.away("c"):
        engine.backup(source)
        source.write(b"docs/a", b"changed")
        engine.clock.wait_s(60)
        engine.backup(source)
    engine.clock.wait_s(60)
    asked: dict[str, FaultyStore] = {}

    def watched(name: str, store: Store) -> Store:
        asked[name] = FaultyStore(store, clock=engine.clock)
        return asked[name]

    engine.wrap = watched
    result = engine.backup(source)
    assert all(outcome.committed for outcome in result.replicas)
    assert result.warnings == ()
    for name in "abc":
        lists = [one.name for one in asked[name].calls if one.verb == "list"]
        assert lists.count("packs/") == lists.count("index/") == 1
        needs = [one for one in asked[name].calls if one.verb == "get" and one.name.startswith(names.RUNS)]
        assert needs == [], "this host made the snapshot and remembers what it needs"


def test_a_replica_that_came_back_is_given_no_damaged_key(engine: Engine, source: TreeSource) -> None:
    """A data key is copied by hosts that cannot open it, and what is written once stays."""
    with engine.away("c"):
        engine.backup(source)
    (key,) = engine.objects("a", names.DATA_KEYS)
    engine.flip("a", key)
    engine.clock.wait_s(60)
    result = engine.backup(source)
    assert engine.objects("c")[key] == engine.objects("b")[key]
    assert engine.restore(result.snapshot_id, replica="c")[1] == source.contents()


@pytest.mark.parametrize("kind", [names.DATA_KEYS, names.FRAGMENTS, names.PACKS])
def test_what_no_replica_has_whole_is_copied_nowhere(engine: Engine, source: TreeSource, kind: str) -> None:
    with engine.away("c"):
        engine.backup(source)
    for replica in "ab":
        for name in engine.objects(replica, kind):
            engine.flip(replica, name)
    engine.clock.wait_s(60)
    result = engine.backup(source)
    made = {name for name in engine.objects("a", kind) if name not in engine.objects("c")}
    assert all(engine.objects("c").get(name) != engine.objects("a")[name] for name in made)
    assert [outcome.committed for outcome in result.replicas][2] is (kind == names.FRAGMENTS)


def test_a_replica_whose_reused_pack_is_cut_short_is_not_committed_to(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    (pack,) = engine.objects("a", "packs/")
    engine.alter("b", pack, lambda data: data[:-1])
    engine.clock.wait_s(60)
    result = engine.backup(source)
    assert [outcome.committed for outcome in result.replicas] == [True, False, True]


def test_an_identity_that_is_committed_is_done_once(engine: Engine, source: TreeSource) -> None:
    first = engine.backup(source, identity="2026-01-01T00:00")
    source.write(b"docs/a", b"changed")
    again = engine.backup(source, identity="2026-01-01T00:00")
    assert again.already_done
    assert again.snapshot_id == first.snapshot_id
    assert len(engine.snapshots()) == 1
    assert not engine.backup(source, identity="2026-01-01T01:00").already_done


def test_an_identity_that_only_some_replicas_hold_is_done_once_the_others_have_it(
    engine: Engine, source: TreeSource
) -> None:
    first = engine.backup(source, identity="hourly")
    for replica in "bc":
        for name in engine.objects(replica, names.SNAPSHOTS):
            engine.lose(replica, name)
        for name in engine.objects(replica, names.LEASES):  # or what their ends decided would be finished
            engine.lose(replica, name)
    again = engine.backup(source, identity="hourly")
    assert (again.already_done, again.snapshot_id) == (True, first.snapshot_id)
    assert all(outcome.committed for outcome in again.replicas)
    assert all(len(engine.objects(replica, names.SNAPSHOTS)) == 1 for replica in "abc")


def test_objects_are_never_overwritten_and_never_deleted(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    before = {name: engine.objects(name) for name in "abc"}
    engine.clock.wait_s(60)
    source.write(b"large", NOISE[::-1])
    engine.backup(source)
    for name, objects in before.items():
        assert objects.items() <= engine.objects(name).items()


def test_a_run_ends_its_lease(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    source.finish_error = SourceCorrupt("half a dump")
    with pytest.raises(SourceCorrupt):
        engine.backup(source)
    leases = {name.split("/")[1] for name in engine.objects("a", "leases/")}
    ended = {name.split("/")[1] for name in engine.objects("a", "leases/") if "/end/" in name}
    assert leases == ended
    assert len(leases) == 2


def test_an_unordered_source_is_stored_in_order(engine: Engine, source: TreeSource) -> None:
    source.ordered, source.sequential = False, True
    source.remove(b"linked")
    first = engine.backup(source)
    assert engine.restore(first.snapshot_id)[1] == source.contents()
    second = engine.backup(source)
    assert second.counts.bytes_new == 0
    assert engine.restore(second.snapshot_id, replica="c")[1] == source.contents()


def test_two_sources_share_their_content_and_not_their_snapshots(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    other = TreeSource(clock=engine.clock, name="other")
    other.file(b"copy", NOISE)
    result = engine.backup(other)
    assert result.counts.bytes_new == 0
    assert [one.source for one in engine.snapshots()] == ["home", "other"]
    assert [one.source for one in engine.snapshots("other")] == ["other"]
    assert engine.restore(result.snapshot_id, replica="b")[1] == other.contents()


def test_a_backup_needs_a_writers_keys_alone(engine: Engine, source: TreeSource) -> None:
    assert engine.backup(source, need=Need.WRITE).counts.entries == 11


def test_an_unreachable_replica_is_named(engine: Engine, source: TreeSource, tmp_path: Path) -> None:
    engine.urls["d"] = (tmp_path / "not-there").as_uri()
    result = engine.backup(source)
    assert [(one.replica, one.committed) for one in result.replicas][-1] == ("d", False)
    assert result.replicas[-1].error_code

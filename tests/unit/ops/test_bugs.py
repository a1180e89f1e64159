"""A broken promise of our own reaches the caller from wherever a fallback would hide trouble of a replica."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from farshore.access.unlock import Need
from farshore.errors import Bug, StoreUnavailable
from farshore.format import names
from farshore.frames import read_frame, reporting_failure
from farshore.ops.backup.backup import run_backup
from farshore.replicas.reader import open_reader
from farshore.replicas.repository import Replica
from farshore.results import Progress
from farshore.run import Run
from tests.doubles.faulty import Fault, FaultKind, FaultyStore
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource

BUG = Fault(FaultKind.FAIL, Bug)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path).initialize()


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    tree = TreeSource(clock=engine.clock)
    tree.file(b"a", b"first")
    engine.clock.wait_s(60)
    return tree


@contextmanager
def broken(engine: Engine, verb: str, prefix: str) -> Iterator[None]:
    """Have every replica break a promise of ours when asked for objects below a prefix."""

    def plan(called: str, name: str, _number: int) -> Fault | None:
        return BUG if called == verb and name.startswith(prefix) else None

    before = engine.wrap
    engine.wrap = lambda _, store: FaultyStore(store, clock=engine.clock, plan=plan)
    yield
    engine.wrap = before


@pytest.mark.parametrize(
    ("verb", "prefix"),
    [
        ("get", names.SNAPSHOTS),  # the base, where this host keeps none: else every backup would be a full read
        ("get", names.FRAGMENTS),  # the index, where what it names would be stored once more
        ("list", names.LEASES),  # leases of other attempts, where one that cannot be read counts as none
        ("put", names.PACKS),  # one replica's upload queue, which would be dropped
        ("put", "audit/"),  # audit rows, which another run would send
    ],
)
def test_a_backup_ends_with_it(engine: Engine, source: TreeSource, verb: str, prefix: str) -> None:
    engine.backup(source, need=Need.READ)
    source.file(b"b", b"second")
    engine.clock.wait_s(60)
    engine.forget_cache()
    with broken(engine, verb, prefix), pytest.raises(Bug):
        engine.backup(source, need=Need.READ, identity="tonight")


def test_a_backup_whose_progress_cannot_be_shown_for_a_bug_ends_with_it(engine: Engine, source: TreeSource) -> None:
    def show(progress: Progress) -> None:
        if progress.stage.startswith("replicate"):
            raise Bug("the figures ran backwards")

    with pytest.raises(Bug, match="ran backwards"), engine.opened(Need.WRITE) as repository:
        run_backup(repository, source, run=Run.start(engine.clock, progress=show))


def test_a_verify_whose_rows_cannot_be_put_for_a_bug_ends_with_it(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    engine.forget_cache()
    with broken(engine, "put", names.AUDIT), pytest.raises(Bug):
        engine.verify()


@pytest.mark.parametrize(("verb", "prefix"), [("get", names.PACKS), ("get", names.FRAGMENTS), ("put", names.AUDIT)])
def test_a_restore_ends_with_it(engine: Engine, source: TreeSource, verb: str, prefix: str) -> None:
    made = engine.backup(source)
    engine.forget_cache()
    with broken(engine, verb, prefix), pytest.raises(Bug):
        engine.restore(made.snapshot_id)


def test_replicas_that_are_asked_together_raise_it(engine: Engine) -> None:
    def ask(replica: Replica) -> None:
        if replica.name == "b":
            raise Bug("no such question")

    with pytest.raises(Bug, match="no such question"), engine.opened() as repository:
        repository.ask_all(ask)


@pytest.mark.parametrize("trouble", [None, StoreUnavailable("b is away")], ids=["done", "failed"])
def test_a_thread_that_nobody_waits_for_raises_it_when_the_repository_is_closed(
    engine: Engine, trouble: StoreUnavailable | None
) -> None:
    def ask(_: Replica) -> None:
        raise Bug("late")

    def read() -> None:
        with engine.opened() as repository:
            with suppress(Bug):  # as an answer that is dropped
                open_reader(repository).ask("an object", ask)
            if trouble:
                raise trouble

    with pytest.raises(Bug, match="late"):
        read()


def test_a_repair_beside_a_restore_raises_it_when_the_repository_is_closed(engine: Engine, source: TreeSource) -> None:
    made = engine.backup(source)
    engine.lose("a", next(name for name in engine.objects("a") if name.startswith(names.PACKS)))
    with broken(engine, "put", names.PACKS), pytest.raises(Bug):
        engine.restore(made.snapshot_id)


def test_a_child_process_sends_it_to_its_parent() -> None:
    pipe = io.BytesIO()

    def walk() -> None:
        raise Bug("a name came twice")

    with reporting_failure(pipe, b"E", "a walk"):
        walk()
    pipe.seek(0)
    frame = read_frame(pipe)
    assert frame is not None
    error = pickle.loads(frame[1])
    assert (type(error), error.message) == (Bug, "a name came twice")

"""A new owner where the owner's key is lost: what opens before, in the middle and after, for whom."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from farshore.access import open_repository
from farshore.access.open_replica import Writes
from farshore.access.secrets import read_secrets
from farshore.access.unlock import Need
from farshore.audit.chain import Authority, verify_seals
from farshore.audit.names import SEALS
from farshore.catalog.snapshots import list_snapshots
from farshore.clock import SystemClock
from farshore.errors import ConfigInvalid, FarshoreError, KeyMissing, RepositoryMismatch, StoreUnavailable
from farshore.format import names
from farshore.ops.heal.context import open_context
from farshore.ops.heal.heal import HealOptions, heal_repository
from farshore.ops.setup.new_owner import give_new_owner
from farshore.ops.setup.pins import trust
from farshore.run import Run
from farshore.signing import SigningKey, generate_signing_key
from farshore.stores.base import Body, PutOutcome, Store
from farshore.stores.object_retention import DEFAULT_RETENTION, LockMode, ObjectRetention
from farshore.stores.wrappers import WrappingStore
from farshore.trust.actions import Right
from farshore.trust.later_header import make_later_header, name_of
from farshore.trust.log_entry import LogHead, make_entry
from tests.unit.ops.engine import Engine
from tests.unit.ops.owners import lose_owner, new_owner, under
from tests.unit.ops.tree_source import TreeSource
from tests.unit.replicas.clocks import StillClock

CONTENT = b"from before" * 1000


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """A repository whose owner's identity is lost, and whose reader has one."""
    made = Engine(tmp_path / "engine").initialize()
    lose_owner(made, Right.VERIFY, Right.HEAL, Right.BACKUP)
    return made


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    made = TreeSource(engine.clock)
    made.file(b"a", CONTENT)
    return made


def contents(engine: Engine) -> list[dict[bytes, bytes | None]]:
    """Return what each snapshot restores to, from all replicas and from each alone."""
    found = []
    for only in (None, *engine.urls):
        alone = engine if only is None else replace(engine, urls={only: engine.urls[only]})
        alone.repository_config = replace(engine.repository_config, quorum=1)
        found += [alone.restore(one.snapshot_id)[1] for one in alone.snapshots()]
    return found


def test_every_older_snapshot_restores_and_new_hosts_are_admitted(engine: Engine, source: TreeSource) -> None:
    first = engine.backup(source, need=Need.READ).snapshot_id

    done = new_owner(engine)

    assert done.before == engine.repository_config.fingerprint != done.fingerprint
    assert [one.role for one in done.made] == ["reader", "owner"]
    assert any("writer" in one for one in done.enroll)
    after = under(engine, done.fingerprint)
    assert len(contents(after)) == 4
    assert all(CONTENT in one.values() for one in contents(after))
    owner = under(engine, done.fingerprint, identity="owner")
    with owner.opened(Need.OWNER) as repository:
        assert repository.writing_keys().owner_key is not None
    owner.enroll(name="db7", domain="main")
    writer = replace(owner, host="host")
    writer.repository_config = replace(owner.repository_config, identity=None)
    second = writer.backup(source, need=Need.WRITE).snapshot_id
    assert {one.snapshot_id for one in after.snapshots()} == {first, second}
    assert new_owner_twice(after) == done.fingerprint


def new_owner_twice(after: Engine) -> str:
    """Give the repository one more owner; return the fingerprint of before."""
    done = new_owner(after)
    assert len(contents(under(after, done.fingerprint))) == 8
    return done.before


def test_a_host_that_holds_to_the_one_before_reads_on_and_writes_nothing(
    engine: Engine, source: TreeSource, caplog: pytest.LogCaptureFixture
) -> None:
    engine.backup(source, need=Need.READ)
    away = engine.at("elsewhere")
    with away.opened():
        pass
    done = new_owner(engine)

    with pytest.raises(RepositoryMismatch, match=f"new owner.*{done.fingerprint}"):
        away.backup(source, need=Need.READ)
    with (
        caplog.at_level(logging.WARNING),
        open_repository(away.config, need=Need.READ, writes=Writes.ROWS, clock=away.clock) as repository,
    ):
        assert len(list_snapshots(repository)) == 1
        assert repository.header.fingerprint.hex() == done.before
    assert done.fingerprint in caplog.text
    away.repository_config = replace(away.repository_config, fingerprint="")
    trust(away.config, done.fingerprint, clock=away.clock)
    away.backup(source, need=Need.READ)
    assert len(under(engine, done.fingerprint).snapshots()) == 2


def test_an_identity_that_was_pinned_goes_over_by_a_persons_word(engine: Engine, source: TreeSource) -> None:
    engine.backup(source, need=Need.READ)
    trust(engine.config, engine.repository_config.fingerprint, identity=engine.identity, clock=engine.clock)
    done = new_owner(engine)
    stranger = under(engine, "", host="stranger")
    with open_repository(stranger.config, need=Need.READ, writes=Writes.NONE, clock=engine.clock) as repository:
        assert repository.header.fingerprint.hex() == done.before, "the identity is pinned to it"

    trust(stranger.config, done.fingerprint, identity=engine.identity, clock=engine.clock)

    another = under(engine, "", host="another")
    assert len(contents(another)) == 4
    with another.opened() as repository:
        assert repository.header.fingerprint.hex() == done.fingerprint


def test_a_chain_of_seals_goes_on_over_a_new_owner_where_the_host_was_set_back(
    engine: Engine, source: TreeSource
) -> None:
    engine.backup(source, need=Need.READ)
    shutil.copytree(engine.state_dir, engine.root / "image")
    engine.backup(source, need=Need.READ)
    after = under(engine, new_owner(engine).fingerprint)
    shutil.rmtree(engine.state_dir)
    (engine.root / "image").rename(engine.state_dir)
    after.backup(source, need=Need.READ)

    with after.opened() as repository:
        authority = Authority(repository.trust, repository.header.fingerprint)
        objects = engine.objects("a", "audit/")
        seals = [(name, data) for name, data in objects.items() if name.startswith(SEALS)]
        assert verify_seals(seals, authority, {name: len(data) for name, data in objects.items()}) == []


class Dying(WrappingStore):
    """The stores of a process that is killed before its n-th put."""

    def __init__(self, store: Store, puts: Iterator[int], last: int) -> None:
        super().__init__(store)
        self._puts, self._last = puts, last

    def put(self, name: str, body: Body, retention: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
        if next(self._puts) >= self._last:
            raise StoreUnavailable("the process was killed")
        return super().put(name, body, retention)


@pytest.mark.sweep
def test_killed_at_each_write_the_old_or_the_new_opens(engine: Engine, source: TreeSource) -> None:
    engine.backup(source, need=Need.READ)
    before = engine.repository_config.fingerprint
    later: list[str] = []
    last = 0
    while not later:
        puts = itertools.count()
        engine.wrap = lambda _, store, puts=puts, last=last: Dying(store, puts, last)  # type: ignore[misc]
        with pytest.raises(FarshoreError, match="accepted the header"):
            new_owner(engine)
        old = under(engine, before, host="reader")
        with open_repository(old.config, need=Need.READ, writes=Writes.ROWS, clock=engine.clock) as repository:
            assert len(list_snapshots(repository)) == last + 1
        later = sorted({name for one in "abc" for name in engine.objects(one, names.log_subject(0))})
        if not later:
            old.backup(source, need=Need.READ)  # nothing has changed for anybody
            engine.forget_cache()
        last += 1
    assert last == 5, "killed before each of two slots, an entry and the header, and right after these"
    new = under(engine, later[0][-64:], host="new")
    assert all(CONTENT in new.restore(one.snapshot_id)[1].values() for one in new.snapshots())
    with new.opened() as repository:
        assert len(repository.trust.slots) == 2


def test_a_replica_that_was_away_is_brought_over_where_a_pin_decides(engine: Engine, source: TreeSource) -> None:
    engine.backup(source, need=Need.READ)
    with engine.away("c"):
        done = new_owner(engine)
    assert done.failed == ("c",)
    only_c = under(engine, done.fingerprint, host="only-c")
    only_c.urls = {"c": engine.urls["c"]}
    with pytest.raises(RepositoryMismatch, match="no replica shows"), only_c.opened():
        pass

    after = under(engine, done.fingerprint)
    with open_context(after.config, clock=after.clock) as context:
        heal_repository(context, HealOptions(), run=Run.start(after.clock))

    assert len(contents(after)) == 4
    assert name_of(bytes.fromhex(done.fingerprint)) in engine.objects("c", names.LOG)


def test_who_still_owns_the_repository_is_told_to_rotate(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "engine").initialize()
    with pytest.raises(ConfigInvalid, match="is not lost"):
        new_owner(engine)


def plant(engine: Engine, signer: SigningKey) -> str:
    """Put a later header of somebody's own at one replica; return its fingerprint."""
    with engine.opened() as repository:
        head = repository.trust.head
        assert head is not None
        made, data = make_later_header(
            repository.header,
            signer,
            created_utc=engine.clock.now_utc(),
            owner=generate_signing_key().verify_key,
            head=head,
        )
        repository.replicas["a"].store.put(name_of(made.fingerprint), data)
    return made.fingerprint.hex()


def test_a_header_that_no_reader_signed_stops_nobody(engine: Engine, source: TreeSource) -> None:
    plant(engine, generate_signing_key())
    with engine.opened() as repository:
        assert repository.keys is not None
        reader = repository.keys.signing_key
    engine.backup(source, need=Need.READ)
    assert reader is not None
    plant(engine, reader)  # the mutant: what a reader signs is heard
    with pytest.raises(RepositoryMismatch, match="new owner"):
        engine.backup(source, need=Need.READ)


def test_the_lost_owner_key_signs_nothing_under_the_new_fingerprint(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "engine").initialize()
    with engine.opened(Need.OWNER) as repository:
        first_key, old = repository.writing_keys().owner_key, repository.header
    assert first_key is not None
    lose_owner(engine)
    after = under(engine, new_owner(engine).fingerprint)
    with after.opened() as repository:
        certified, last = repository.trust.certificates.keys(), repository.trust.head
    assert last is not None
    for previous in (None, LogHead(1, first_entry(engine))):  # beside the first entry, and beside the rotation
        entry, data = make_entry(
            first_key, fingerprint=old.fingerprint, previous=previous, made_utc=engine.clock.now_utc(), actions=[]
        )
        engine.shelf("a").objects[entry.name] = (data, engine.clock.now_utc())

    with after.opened() as repository:
        assert repository.trust.certificates.keys() == certified
        assert repository.trust.may_write
        assert not repository.trust.forked
        assert repository.log is not None
        assert ["before this one" in one.reason for one in repository.log.state.refused] == [True, True]
    elsewhere = engine.at("elsewhere").config
    with open_repository(elsewhere, need=Need.READ, writes=Writes.NONE, clock=engine.clock) as repository:
        assert repository.trust.forked, "who holds to the one before sees a fork"


def first_entry(engine: Engine) -> str:
    return next(name[-64:] for name in engine.objects("a", names.log_subject(1)))


def test_without_a_certificate_nobody_would_believe_the_reader(engine: Engine) -> None:
    with engine.opened() as repository:
        repository.keys = replace(repository.reading_keys(), signing_key=generate_signing_key())
        with pytest.raises(KeyMissing, match="no certificate"):
            give_new_owner(repository, read_secrets(engine.config), [])


class Killing(WrappingStore):
    """The stores of a process that is killed right after its n-th put."""

    def __init__(self, store: Store, puts: Iterator[int], last: int) -> None:
        super().__init__(store)
        self._puts, self._last = puts, last

    def put(self, name: str, body: Body, retention: ObjectRetention = DEFAULT_RETENTION) -> PutOutcome:
        outcome = super().put(name, body, retention)
        if next(self._puts) == self._last:
            os.kill(os.getpid(), signal.SIGKILL)
        return outcome


@pytest.mark.parametrize("last", [0, 2, 3])
def test_a_process_that_is_killed_leaves_what_opens_under_the_old_or_the_new(tmp_path: Path, last: int) -> None:
    places = {name: tmp_path / name for name in "abc"}
    for place in places.values():
        place.mkdir()
    urls = {name: place.as_uri() for name, place in places.items()}
    engine = Engine(tmp_path / "engine", urls=urls)
    engine.clock = StillClock(SystemClock().now_utc())  # the time of a directory is that of the machine
    engine.initialize()
    lose_owner(engine, Right.VERIFY, Right.HEAL, Right.BACKUP)
    tree = TreeSource(engine.clock)
    tree.file(b"a", CONTENT)
    snapshot = engine.backup(tree, need=Need.READ).snapshot_id
    stored = {path: path.read_bytes() for place in places.values() for path in place.rglob("*") if path.is_file()}
    child = os.fork()
    if child == 0:
        puts = itertools.count()
        engine.wrap = lambda _, store: Killing(store, puts, last)
        with contextlib.suppress(BaseException):
            new_owner(engine)
        os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    later = sorted(path.name for place in places.values() for path in place.glob(f"{names.log_subject(0)}*"))
    assert bool(later) is (last == 3), "two slots, an entry, and the header at the first replica"
    fingerprint = later[0][-64:] if later else engine.repository_config.fingerprint
    opened = under(engine, fingerprint, host="another")
    assert opened.restore(snapshot)[1][b"a"] == CONTENT
    assert {path: path.read_bytes() for path in stored} == stored, "nothing was overwritten or deleted"


def test_a_repository_whose_replicas_are_locked_gets_a_new_owner(tmp_path: Path) -> None:
    locked = {"lock": LockMode.COMPLIANCE, "lock_for": timedelta(days=30)}
    engine = Engine(tmp_path / "engine", settings={"a": locked, "b": locked}).initialize()
    lose_owner(engine, Right.VERIFY, Right.HEAL, Right.BACKUP)
    tree = TreeSource(engine.clock)
    tree.file(b"a", CONTENT)
    engine.backup(tree, need=Need.READ)
    before = {replica: dict(engine.objects(replica)) for replica in "abc"}
    done = new_owner(engine)
    for replica in "abc":
        now = engine.objects(replica)
        assert {name: now.get(name) for name in before[replica]} == before[replica]
    for replica in "ab":
        put = engine.objects(replica).keys() - before[replica].keys()
        assert all(engine.shelf(replica).kept[name].lock for name in put if not name.startswith(names.LEASES))
    assert len(contents(under(engine, done.fingerprint))) == 4

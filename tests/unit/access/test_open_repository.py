"""Making a repository and opening it: what is refused, what is done without, and what each error says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from farshore.access import open_repository
from farshore.access.open_replica import uploads_at_once
from farshore.access.unlock import Need
from farshore.catalog.snapshots import resolve_snapshot
from farshore.config.secret import Secret
from farshore.config.settings import ReplicaConfig, RepositoryConfig
from farshore.errors import (
    ConfigInvalid,
    FarshoreError,
    FeatureMissing,
    FormatTooNew,
    HeaderDamaged,
    KeyMissing,
    QuorumNotReached,
    RepositoryExists,
    RepositoryMismatch,
    RepositoryMissing,
    SecretUnavailable,
    SnapshotUnknown,
    WrongPassphrase,
)
from farshore.format import names
from farshore.format.header import decode_header, encode_header
from farshore.model import ReplicaRequests
from farshore.ops.backup.backup import run_backup
from farshore.ops.setup.initialize import initialize
from farshore.ops.setup.keys import add_passphrase_slot, add_recipient_slot, generate_identity
from farshore.ops.setup.slot_files import list_slots
from farshore.run import Run
from farshore.sealed import Role, key_files, slots
from tests.doubles.headers import changed
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource
from tests.unit.replicas.clocks import StillClock


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path).initialize()


def test_every_replica_gets_the_same_header_and_slots(engine: Engine) -> None:
    first = engine.data_objects("a")
    assert sorted({name.split("/")[0] for name in first}) == ["farshore.json", "keys"]
    assert engine.data_objects("b") == engine.data_objects("c") == first


def test_a_repository_that_exists_is_not_touched(engine: Engine) -> None:
    before = {name: engine.objects(name) for name in "abc"}
    with pytest.raises(RepositoryExists):
        initialize(engine.config, recipients=[_recipient(engine)], clock=engine.clock)
    engine.urls["d"] = engine.urls["a"].replace("-a", "-d")
    with pytest.raises(RepositoryExists):
        initialize(engine.config, recipients=[_recipient(engine)], clock=engine.clock)
    assert {name: engine.objects(name) for name in "abc"} == before
    assert engine.objects("d") == {}


def _recipient(engine: Engine) -> str:
    path = engine.root / "another-identity"
    path.unlink(missing_ok=True)
    return generate_identity(path)


def test_where_a_damaged_header_stands_nothing_is_made(engine: Engine) -> None:
    for replica in "abc":
        engine.flip(replica, names.HEADER, at=100)
    with pytest.raises((RepositoryExists, HeaderDamaged)):
        initialize(engine.config, recipients=[_recipient(engine)], clock=engine.clock)


def test_a_repository_that_nobody_could_read_is_not_made(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    with pytest.raises(ConfigInvalid, match="nobody could ever read"):
        initialize(engine.config, clock=engine.clock)
    empty = replace(engine.repository_config, passphrase=Secret("env", "EMPTY"))
    engine.repository_config = empty
    with pytest.raises(SecretUnavailable):
        initialize(replace(engine.config, environment={"EMPTY": ""}), clock=engine.clock)
    with pytest.raises(ConfigInvalid):
        initialize(engine.config, recipients=["farshore-recipient-1:AAAA"], clock=engine.clock)
    assert engine.objects("a") == {}


def test_a_replica_that_cannot_be_written_leaves_no_header_anywhere(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    recipient = generate_identity(engine.identity)
    with engine.away("b"), pytest.raises(FarshoreError):
        initialize(engine.config, recipients=[recipient], clock=engine.clock)
    assert names.HEADER not in {**engine.objects("a"), **engine.objects("c")}
    initialize(engine.config, recipients=[recipient], clock=engine.clock)
    with engine.opened() as repository:
        assert repository.reading_keys().role is Role.READER


def test_what_an_interrupted_init_left_does_not_disturb_the_next(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    stale = Engine(tmp_path / "stale", clock=StillClock(seed=2)).initialize()
    for name, data in stale.objects("a", names.SLOTS).items():
        engine.shelf("a").objects[name] = (data, engine.clock.now_utc())
    engine.initialize()
    with engine.opened() as repository:
        assert repository.reading_keys().role is Role.READER


# --- opening ---------------------------------------------------------------------------------------------------------


def test_each_need_gives_the_keys_it_names(engine: Engine) -> None:
    with engine.opened(Need.NONE) as repository:
        assert repository.keys is None
        with pytest.raises(KeyMissing):
            repository.writing_keys()
    with engine.opened(Need.READ) as repository:
        assert repository.reading_keys().can_read


def test_no_repository_is_reported_only_when_every_replica_says_so(tmp_path: Path) -> None:
    engine = Engine(tmp_path)
    generate_identity(engine.identity)
    with pytest.raises(RepositoryMissing), engine.opened():
        pass
    with engine.away("b"), pytest.raises(FarshoreError) as caught, engine.opened():
        pass
    assert not isinstance(caught.value, RepositoryMissing)


def test_one_damaged_header_is_done_without(engine: Engine) -> None:
    engine.flip("a", names.HEADER, at=50)
    with engine.opened() as repository:
        assert list(repository.replicas) == ["b", "c"]
        assert isinstance(repository.unreachable["a"], HeaderDamaged)
        with pytest.raises(HeaderDamaged):
            repository.replica("a")


def _rewrite_header(engine: Engine, replica: str, **more: object) -> None:
    header = decode_header(engine.objects(replica)[names.HEADER], "")
    engine.alter(replica, names.HEADER, lambda _: encode_header(changed(header, **more)))


def test_damaged_newer_and_unknown_headers_each_have_their_error(engine: Engine) -> None:
    with engine.away("b", "c"):
        original = engine.objects("a")[names.HEADER]
        engine.flip("a", names.HEADER, at=50)
        with pytest.raises(HeaderDamaged), engine.opened():
            pass
        engine.alter("a", names.HEADER, lambda _: original.replace(b'"version":1', b'"version":2'))
        with pytest.raises(FormatTooNew), engine.opened():
            pass
        engine.alter("a", names.HEADER, lambda _: original)
        _rewrite_header(engine, "a", must_understand=("tape",))
        with pytest.raises(FeatureMissing, match="tape"), engine.opened():
            pass


def test_replicas_of_two_repositories_are_never_mixed(tmp_path: Path, engine: Engine) -> None:
    other = Engine(tmp_path / "other", clock=StillClock(seed=2)).initialize()
    engine.urls["c"] = other.urls["c"]
    with engine.opened() as repository:
        assert list(repository.replicas) == ["a", "b"]
        assert "another repository" in str(repository.unreachable["c"])
    stranger = engine.at("stranger")
    stranger.repository_config = replace(stranger.repository_config, fingerprint="")
    with pytest.raises(RepositoryMismatch, match="different repositories"), stranger.opened():
        pass
    with pytest.raises(RepositoryMismatch):
        initialize(engine.config, recipients=[_recipient(engine)], clock=engine.clock)


def test_another_repository_at_all_known_places_is_refused(tmp_path: Path, engine: Engine) -> None:
    """A whole false repository has another id, so what a host remembers by the id does not show it."""
    false = Engine(tmp_path / "false", clock=StillClock(seed=3)).initialize()
    for name in engine.urls:
        engine.shelf(name).objects.clear()
        engine.shelf(name).objects.update(false.shelf(name).objects)
    bare = replace(engine)
    bare.repository_config = RepositoryConfig(quorum=2)
    with pytest.raises(RepositoryMismatch, match="what this host remembers of these replicas"), bare.opened(Need.NONE):
        pass
    fresh = bare.at("fresh")
    fresh.repository_config = RepositoryConfig(quorum=2)
    with fresh.opened(Need.NONE) as repository:
        assert repository.repository_id


def test_a_repository_that_a_person_makes_anew_is_another_one(engine: Engine) -> None:
    for name in engine.urls:
        engine.shelf(name).objects.clear()
    engine.clock.advance(1)
    engine.repository_config = replace(engine.repository_config, fingerprint="")
    made = initialize(engine.config, recipients=[_recipient(engine)], clock=engine.clock)
    engine.repository_config = replace(engine.repository_config, fingerprint=made.fingerprint)
    with engine.opened(Need.NONE) as repository:
        assert repository.repository_id == made.repository_id


def test_a_header_that_was_exchanged_is_reported_and_the_others_still_open(engine: Engine) -> None:
    """Whoever can write one replica must not be able to lock the others or to put a key of their own in place."""
    _rewrite_header(engine, "a", owner=bytes(1984))
    with engine.opened() as repository:
        assert list(repository.replicas) == ["b", "c"]
        assert "exchanged" in str(repository.unreachable["a"])
    with pytest.raises(RepositoryMismatch, match="no replica shows"), engine.opened(replica="a"):
        pass
    with engine.opened(replica="b") as repository:
        assert repository.reading_keys().role is Role.READER


def test_a_wrong_identity_and_a_wrong_passphrase_open_nothing(engine: Engine) -> None:
    other = engine.root / "other"
    generate_identity(other)
    engine.repository_config = replace(engine.repository_config, identity=other)
    with pytest.raises(WrongPassphrase), engine.opened():
        pass
    engine.repository_config = RepositoryConfig(quorum=2, passphrase=Secret("env", "P"))
    config = replace(engine.config, environment={"P": "wrong"})
    with pytest.raises(WrongPassphrase), open_repository(config, need=Need.READ, clock=engine.clock):
        pass


def test_a_slot_damaged_at_one_replica_is_read_from_the_next(engine: Engine) -> None:
    slot = _slot_of(engine, Role.READER)
    for at in (1, 60, -1):
        engine.flip("a", slot, at=at)
        with engine.opened() as repository:
            assert repository.reading_keys().role is Role.READER
    engine.lose("b", slot)
    with engine.opened() as repository:
        assert repository.reading_keys().role is Role.READER
    engine.lose("c", slot)
    with pytest.raises((HeaderDamaged, WrongPassphrase)), engine.opened():
        pass


def _slot_of(engine: Engine, role: Role) -> str:
    found = engine.objects("a", names.SLOTS).items()
    return next(name for name, data in found if slots.describe_slot(data).role == role)


def test_without_any_slot_the_error_says_so(engine: Engine) -> None:
    for replica in "abc":
        for slot in engine.objects(replica, names.SLOTS):
            engine.lose(replica, slot)
    with pytest.raises(HeaderDamaged, match="no key slot"), engine.opened():
        pass


def test_only_a_named_replica_is_opened(engine: Engine) -> None:
    with engine.opened(replica="b") as repository:
        assert list(repository.replicas) == ["b"]
        assert repository.configured == ("a", "b", "c")
    with pytest.raises(RepositoryMissing, match="no replica is named x"), engine.opened(replica="x"):
        pass
    with engine.opened() as repository, pytest.raises(RepositoryMissing):
        repository.replica("x")


def test_too_few_replicas_for_the_quorum_stop_a_backup_before_it_reads(engine: Engine) -> None:
    source = TreeSource(clock=engine.clock)
    source.file(b"a", b"content")
    with engine.away("b", "c"), pytest.raises(QuorumNotReached, match="1 of 3"):
        engine.backup(source)
    assert source.reads == {}


def test_a_header_that_is_far_too_large_is_refused(engine: Engine) -> None:
    engine.alter("a", names.HEADER, lambda data: data + b" " * 20_000_000)
    with engine.opened() as repository:
        assert isinstance(repository.unreachable["a"], HeaderDamaged)


# --- who may open it -------------------------------------------------------------------------------------------------


def test_an_identity_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "identity"
    text = generate_identity(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert key_files.decode_recipient(text)
    data = path.read_bytes()
    with pytest.raises(ConfigInvalid, match="exists"):
        generate_identity(path)
    assert path.read_bytes() == data
    with pytest.raises(ConfigInvalid):
        generate_identity(tmp_path / "no-folder" / "identity")


def test_one_more_recipient_may_open_every_replica(engine: Engine) -> None:
    path = engine.root / "second"
    text = generate_identity(path)
    with engine.opened(Need.OWNER) as repository:
        slot_id = add_recipient_slot(repository, text, clock=engine.clock).slot_id
        assert slot_id in [one.slot_id for one in list_slots(repository)]
    engine.repository_config = replace(engine.repository_config, identity=path)
    for replica in "abc":
        with engine.opened(replica=replica) as repository:
            assert repository.reading_keys().role is Role.READER


def test_one_more_passphrase_may_open_it(engine: Engine) -> None:
    with engine.opened(Need.OWNER) as repository:
        add_passphrase_slot(repository, "correct horse", clock=engine.clock)
        with pytest.raises(ConfigInvalid):
            add_passphrase_slot(repository, "", clock=engine.clock)
    engine.repository_config = RepositoryConfig(quorum=2, passphrase=Secret("env", "P"))
    config = replace(engine.config, environment={"P": "correct horse"})
    with open_repository(config, need=Need.READ, clock=engine.clock) as repository:
        assert repository.reading_keys().role is Role.READER


def test_a_slot_is_added_everywhere_or_not_at_all(engine: Engine) -> None:
    text = _recipient(engine)
    with engine.away("c"), engine.opened(Need.OWNER) as repository, pytest.raises(QuorumNotReached):
        add_recipient_slot(repository, text, clock=engine.clock)
    assert len(engine.objects("a", names.SLOTS)) == 2, "of the owner and of the reader, as before"


def test_an_enrolled_host_holds_a_private_file_that_only_writes(engine: Engine) -> None:
    host = engine.at("server")
    path = Path(host.enroll())
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"private_key" not in path.read_bytes()
    host.repository_config = replace(host.repository_config, identity=None)
    with host.opened(Need.WRITE) as repository:
        assert repository.writing_keys().role is Role.WRITER
        with pytest.raises(SnapshotUnknown):
            resolve_snapshot(repository, "home")


def test_each_request_is_reported_by_one_run(engine: Engine) -> None:
    source = TreeSource(clock=engine.clock)
    source.file(b"a", b"one")
    with engine.opened(Need.WRITE) as repository:
        runs = [run_backup(repository, source, run=Run.start(engine.clock)).requests for _ in range(2)]
        meters = {name: replica.meter.snapshot() for name, replica in repository.replicas.items()}
        nothing = repository.drain_requests()
    for number, (name, meter) in enumerate(meters.items()):
        reported = [run[number] for run in runs]
        assert {one.replica for one in reported} == {name}
        assert sum(one.total for one in reported) == sum(meter.requests.values())
        assert sum(one.bytes_up for one in reported) == meter.bytes_out
        assert sum(one.bytes_down for one in reported) == meter.bytes_in
        assert reported[0].gets >= 1  # opening reads the header
        assert nothing[number] == ReplicaRequests(name)


def test_what_a_failed_run_asked_is_not_reported_by_the_next(engine: Engine) -> None:
    source = TreeSource(clock=engine.clock)
    source.file(b"a", b"one")
    with engine.opened(Need.WRITE) as repository:
        alone = run_backup(repository, source, run=Run.start(engine.clock)).requests
        empty = TreeSource(clock=engine.clock)
        for _ in range(3):
            with pytest.raises(FarshoreError):
                run_backup(repository, empty, run=Run.start(engine.clock))
        after = run_backup(repository, source, run=Run.start(engine.clock)).requests
    assert sum(one.total for one in after) < 2 * sum(one.total for one in alone)


@pytest.mark.parametrize(
    ("bandwidth_up", "uploads", "at_once"),
    [(None, 4, 4), (1_000_000, 4, 1), (5_000_000, 4, 2), (10**9, 4, 4), (10**9, 16, 16)],
)
def test_packs_do_not_share_a_small_bandwidth(bandwidth_up: int | None, uploads: int, at_once: int) -> None:
    replica = ReplicaConfig(name="far", url="memory://far", bandwidth_up=bandwidth_up, uploads=uploads)
    assert uploads_at_once(replica) == at_once

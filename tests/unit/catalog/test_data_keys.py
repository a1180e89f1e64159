"""Several objects stand for one data key, because anybody can seal another key under its id: the valid one counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from farshore import limits
from farshore.access.unlock import Need
from farshore.catalog.contents import reader_of
from farshore.catalog.data_keys import RunKeys, note_data_keys
from farshore.catalog.snapshots import list_snapshots
from farshore.catalog.verified_objects import open_manifest
from farshore.config import Dedupe
from farshore.errors import Corrupt, FarshoreError, ObjectCorrupt, ObjectNotFound
from farshore.format import names
from farshore.format.needs import NeededKey
from farshore.results import BackupResult
from farshore.sealed.data_key import DataKey, generate_data_key, seal_data_key
from tests.unit.ops.engine import Engine
from tests.unit.ops.liar import CONTENT, deduping, keys_of, member, plant, shared_domain, source_of

PLANTED = 6


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return shared_domain(tmp_path)


def real_key(engine: Engine) -> NeededKey:
    (snapshot,) = engine.snapshots()
    (real,) = engine.needs_of(snapshot.snapshot_id).data_keys
    return real


def plant_keys(engine: Engine) -> list[NeededKey]:
    """Put other keys under the id of the run's, at every replica, whose names all sort before the right one."""
    keys, real = keys_of(engine), real_key(engine)
    made: list[NeededKey] = []
    while len(made) < PLANTED:
        other = DataKey(bytes.fromhex(real.key_id), generate_data_key(engine.clock).secret)
        sealed = seal_data_key(keys, other)
        if names.hash_of(sealed) > real.blake3:
            continue
        one = NeededKey(real.key_id, real.recipient, names.hash_of(sealed))
        plant(engine, {one.name: sealed})
        made.append(one)
    return made


def content_of(engine: Engine, snapshot_id: str) -> bytes | None:
    return engine.restore(snapshot_id)[1][b"file"]


def reuse(engine: Engine) -> BackupResult:
    """Back up the same content from a host that believes the domain: nothing that it reads names the right object."""
    laptop = deduping(member(engine, "laptop"), Dedupe.DOMAIN)
    return laptop.backup(source_of(laptop, "laptop"))


def test_a_snapshot_whose_needs_name_several_restores_by_the_valid_one(engine: Engine) -> None:
    planted, real = plant_keys(engine), real_key(engine)
    made = reuse(engine)
    assert made.counts.bytes_new == 0
    named = [key for key in engine.needs_of(made.snapshot_id).data_keys if key.key_id == real.key_id]
    assert named == [*sorted(planted), real], "the planted ones sort first"
    assert content_of(engine, made.snapshot_id) == CONTENT


def test_with_one_candidate_tried_the_planted_one_loses_the_snapshot(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant_keys(engine)
    made = reuse(engine)
    monkeypatch.setattr(limits, "DATA_KEYS_OF_RUN_MAX", 1)
    with pytest.raises(FarshoreError):
        content_of(engine, made.snapshot_id)


def test_a_manifest_opens_by_the_valid_one_where_only_a_listing_has_them(engine: Engine) -> None:
    plant_keys(engine)
    with engine.opened(Need.READ) as repository:
        (snapshot,) = list_snapshots(repository)
        reader = reader_of(repository, snapshot)
        assert not repository.key_names
        rows = list(open_manifest(repository, reader, snapshot.commit).rows())
    assert b"file" in {row.entry.path for row in rows}


def test_what_a_snapshots_own_needs_name_is_tried_before_what_those_of_others_say(engine: Engine) -> None:
    planted, real = plant_keys(engine), real_key(engine)
    with engine.opened(Need.READ) as repository:
        replica = repository.replicas["a"]
        note_data_keys(repository, planted)
        note_data_keys(repository, [real])
        assert next(iter(repository.key_names[real.key_id])) == real
        tried: list[bytes] = []
        RunKeys(repository, replica, real.key_id).open(lambda key: tried.append(key.secret))
    assert len(tried) == 1


def test_the_key_that_opened_is_the_only_one_from_then_on(engine: Engine) -> None:
    plant_keys(engine)
    with engine.opened(Need.READ) as repository:
        repository.key_names.clear()
        keys = RunKeys(repository, repository.replicas["a"], real_key(engine).key_id)
        tried: list[bytes] = []

        def attempt(key: DataKey) -> bytes:
            tried.append(key.secret)
            if len(set(tried)) < 3:
                raise ObjectCorrupt("sealed with another key")
            return key.secret

        right = keys.open(attempt)
        assert keys.open(lambda key: key.secret) == right == tried[-1]
        assert len(tried) == 3
        with pytest.raises(Corrupt):
            keys.open(lambda _: (_ for _ in ()).throw(ObjectCorrupt("damaged")))


def test_an_id_without_any_object_is_an_error_each_time(engine: Engine) -> None:
    with engine.opened(Need.READ) as repository:
        keys = RunKeys(repository, repository.replicas["a"], "ab" * 16)
        for _ in range(2):
            with pytest.raises(ObjectNotFound):
                keys.require()
            with pytest.raises(ObjectNotFound):
                keys.open(lambda key: key)

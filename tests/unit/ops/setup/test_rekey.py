"""Rotation of keys: who opens what before and after, at any replica, and what a half-made one leaves."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from farshore.access.open_slots import Secrets
from farshore.access.secrets import read_secrets
from farshore.access.unlock import Need
from farshore.config import Config, Secret
from farshore.errors import CredentialCannotRead, FarshoreError, KeyMissing, WrongPassphrase
from farshore.ops.setup.accepted import accepted_now
from farshore.ops.setup.keys import add_passphrase_slot, add_recipient_slot, generate_identity, reader_slot_keys
from farshore.ops.setup.rekey import Rotated, Rotation, rotate
from farshore.ops.setup.slot_files import StoredSlot, put_slots, read_slots
from farshore.ops.setup.ways import Way
from farshore.sealed import slots
from farshore.sealed.key_files import decode_recipient
from farshore.trust.actions import Right
from tests.doubles.keys import CHEAP
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "engine").initialize()


def turn(engine: Engine, rotation: Rotation) -> Rotated:
    with engine.opened(Need.OWNER) as repository:
        secrets = read_secrets(engine.config)
        return rotate(repository, rotation, secrets, secrets)


def with_identity(engine: Engine, path: Path) -> Engine:
    other = replace(engine)
    other.repository_config = replace(engine.repository_config, identity=path)
    return other


def add_friend(engine: Engine) -> Path:
    path = engine.root / "friend"
    line = generate_identity(path)
    with engine.opened(Need.OWNER) as repository:
        add_recipient_slot(repository, line, label="friend", clock=engine.clock)
    return path


@pytest.fixture
def source(engine: Engine) -> TreeSource:
    made = TreeSource(engine.clock)
    made.file(b"a", b"first" * 1000)
    return made


def kept(engine: Engine) -> dict[bytes, bytes | None]:
    """Return what is restored of the newest snapshot."""
    return engine.restore(engine.snapshots()[-1].snapshot_id)[1]


def test_a_new_recipient_reads_what_was_and_what_will_be(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)

    done = turn(engine, Rotation(recipient=True))

    assert (len(done.made), done.older, done.ended, done.entry) == (1, (), (), 2)
    engine.backup(source)
    with engine.opened() as repository:
        assert len(repository.reading_keys().private_keys) == 2
        assert repository.reading_keys().recipient_id.hex() == done.made[0].newest
    assert len({tuple(engine.restore(one.snapshot_id)[1]) for one in engine.snapshots()}) == 1
    assert len(engine.snapshots()) == 2


def test_a_new_owner_signs_and_the_one_before_does_not(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    with engine.opened(Need.OWNER) as repository:
        before = repository.writing_keys()

    done = turn(engine, Rotation(owner=True))

    assert [one.role for one in done.made] == ["reader", "owner"]
    with engine.opened(Need.OWNER) as repository:
        assert repository.writing_keys().owner_key != before.owner_key
        repository.keys = before
        with pytest.raises(KeyMissing, match="was replaced"):
            rotate(repository, Rotation(recipient=True), Secrets(), Secrets())
    turn(engine, Rotation(owner=True, recipient=True))
    assert kept(engine)


def test_who_is_left_out_reads_nothing_and_admits_nobody(engine: Engine, source: TreeSource) -> None:
    friend = add_friend(engine)
    engine.backup(source)
    with engine.opened() as repository:
        signer = repository.writing_keys().signing_key
    assert signer is not None
    recipient = next(one.info.recipient for one in stored(engine) if one.info.label == "friend")

    done = turn(
        engine,
        Rotation(
            owner=True, recipient=True, root=True, domains=("main",), reader_rights=frozenset({Right.RESTORE}),
            left_out=frozenset({recipient}),
        ),
    )  # fmt: skip

    assert [one.label for one in done.ended] == ["friend"]
    assert done.revoked == signer.signer_id
    with pytest.raises(WrongPassphrase), with_identity(engine, friend).opened():
        pass
    assert kept(engine), "what was backed up before can be read with the new keys"
    with engine.opened() as repository:
        trust = repository.trust
        source_id = repository.source_id("files")
        assert not trust.may(signer.signer_id, Right.BACKUP)
        assert (
            trust.judge_commit(signer.signer_id, accepted_now(repository, []).commits[0].hash, source_id) == "accepted"
        )
        assert trust.judge_commit(signer.signer_id, "00" * 32, source_id) == "revoked"
        assert len(repository.writing_keys().roots) == 2
        assert [(one.epoch, one.root) for one in trust.domains["main"]] == [(1, 0), (2, 1)]


def test_a_host_of_a_new_epoch_follows_what_it_cannot_open(engine: Engine, source: TreeSource) -> None:
    """Else it would begin the source again: a fork, whose last snapshot no rule keeps and nobody calls the newest."""
    host = engine.at("db7", reads=False)
    how: dict[str, Any] = {"name": "db7", "sources": ["home"], "domain": "db"}
    host.repository_config = replace(host.repository_config, credential=Path(engine.enroll(**how)))
    host.backup(source)
    turn(engine, Rotation(domains=("db",)))
    host.repository_config = replace(host.repository_config, credential=Path(engine.enroll(**how)))
    source.file(b"later", b"of the second epoch")
    host.backup(source)
    host.backup(source)

    found = engine.snapshots()
    assert [one.commit.epoch for one in found] == [1, 2, 2]
    assert [(one.sequence, one.forked) for one in found] == [(1, False), (2, False), (3, False)]
    assert [one.commit.parent for one in found] == ["", *(one.snapshot_id for one in found[:2])]
    assert kept(engine)


def test_a_slot_that_cannot_be_made_anew_goes_on_opening_what_was(engine: Engine, source: TreeSource) -> None:
    with engine.opened(Need.OWNER) as repository:
        add_passphrase_slot(repository, "another passphrase", label="safe", clock=engine.clock)
    engine.backup(source)

    done = turn(engine, Rotation(recipient=True))

    assert [one.label for one in done.older] == ["safe"]
    other = with_passphrase(engine, "another passphrase")
    assert len(other.snapshots()) == 1
    assert kept(other)
    source.file(b"later", b"with a key for the new recipient alone")
    engine.backup(source)
    with pytest.raises(CredentialCannotRead, match="sealed to a recipient"):
        other.restore(engine.snapshots()[-1].snapshot_id)


def test_the_owner_alone_has_a_passphrase_after_a_split(engine: Engine, source: TreeSource) -> None:
    way = Way(passphrase=b"of the owner", cost=CHEAP, label="owner")

    done = turn(engine, Rotation(owner=True, owner_only=(way,), reader_rights=frozenset({Right.RESTORE})))

    assert [one.role for one in done.ended] == ["owner"]
    with pytest.raises(WrongPassphrase, match="of an owner"), engine.opened(Need.OWNER):
        pass
    with engine.opened() as repository:
        assert repository.writing_keys().owner_key is None
    with with_passphrase(engine, "of the owner").opened(Need.OWNER) as repository:
        assert repository.writing_keys().owner_key is not None
        assert not repository.writing_keys().can_read


def test_nothing_has_changed_where_one_replica_takes_no_slot(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    with engine.away("c"), pytest.raises(FarshoreError, match="c cannot be reached"):
        turn(engine, Rotation(owner=True, recipient=True))
    assert kept(engine)
    with engine.opened(Need.OWNER) as repository:
        assert repository.trust.head is not None
        assert repository.trust.head.number == 1


def test_slots_without_their_entry_hinder_nobody(engine: Engine, source: TreeSource) -> None:
    """A rotation that ended before its last step."""
    engine.backup(source)
    before = {name: set(engine.objects(name, "keys/log/")) for name in engine.urls}
    turn(engine, Rotation(owner=True, recipient=True))
    for name, entries in before.items():
        for entry in set(engine.objects(name, "keys/log/")) - entries:
            engine.lose(name, entry)
    fresh = engine.at("another host")  # which has not seen the entry

    assert kept(fresh)
    with fresh.opened(Need.OWNER) as repository:
        assert repository.writing_keys().owner_key is not None


def test_each_replica_alone_opens_after_a_rotation(engine: Engine, source: TreeSource) -> None:
    engine.backup(source)
    turn(engine, Rotation(owner=True, recipient=True))
    for name in engine.urls:
        with engine.opened(Need.OWNER, replica=name) as repository:
            assert len(repository.reading_keys().private_keys) == 2


def test_a_planted_slot_of_a_retired_owner_counts_no_more(engine: Engine, source: TreeSource) -> None:
    with engine.opened(Need.OWNER) as repository:
        retired = repository.writing_keys().owner_key
    assert retired is not None
    turn(engine, Rotation(owner=True))
    path = engine.root / "thief"
    public_key = decode_recipient(generate_identity(path))
    with engine.opened() as repository:
        keys = reader_slot_keys(repository)
        body = slots.seal_recipient_slot(keys, repository.header, retired, public_key, engine.clock)
        put_slots(repository, [body])
    with pytest.raises(WrongPassphrase), with_identity(engine, path).opened():
        pass


def stored(engine: Engine) -> list[StoredSlot]:
    with engine.opened() as repository:
        return read_slots(repository)


def with_passphrase(engine: Engine, passphrase: str) -> Engine:
    other = PassphraseEngine(**{one.name: getattr(engine, one.name) for one in fields(engine)})
    other.words = passphrase
    secret = Secret("env", "WORDS")
    other.repository_config = replace(engine.repository_config, identity=None, passphrase=secret)
    return other


class PassphraseEngine(Engine):
    words: str = ""

    @property
    def config(self) -> Config:
        return replace(super().config, environment={"WORDS": self.words})

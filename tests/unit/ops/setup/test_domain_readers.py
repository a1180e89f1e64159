"""An identity that reads some sources only: what it reads, what it does not, and who must be enrolled anew."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from farshore import crypto
from farshore.access.secrets import read_secrets
from farshore.access.unlock import Need
from farshore.catalog import list_commits
from farshore.errors import ConfigInvalid, FarshoreError, KeyMissing, ObjectCorrupt, WrongPassphrase
from farshore.format import names
from farshore.ops.backup import publish
from farshore.ops.setup.rekey import Rotation, rotate
from farshore.sealed import KeySet
from farshore.sealed.data_key import open_data_key
from farshore.sealed.key_files import decode_identity
from farshore.sealed.packs import entry_of, open_footer
from tests.unit.ops.domain_hosts import SHARED, add, backup, friend
from tests.unit.ops.engine import Engine
from tests.unit.ops.owners import lose_owner, new_owner, under


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path / "engine").initialize()


def test_it_reads_its_source_and_nothing_of_another(engine: Engine) -> None:
    before = backup(engine, "db1")
    backup(engine, "db2")

    added = add(engine, "orders")

    assert (added.domains, added.enroll) == (("db1",), ("db1",))
    mine, other = backup(engine, "db1"), backup(engine, "db2")
    reader = friend(engine)
    assert [one.snapshot_id for one in reader.snapshots()] == [mine]
    assert reader.restore(mine)[1] == {b"": None, b"shared": SHARED, b"own": b"db1" * 3000}
    with reader.opened() as repository:
        foreign = {one.snapshot for one in list_commits(repository).foreign}
        assert {before, other} <= foreign, "they are listed, and not as damage"
        keys = repository.reading_keys()
        assert (keys.roots, keys.signing_key, {one.domain for one in keys.domains}) == ((), None, {"db1"})
    assert reader.verify().damaged == ()
    assert engine.verify().doubts == (), "runs are sealed to it beside the repository's recipient"
    for one in (mine, other):
        assert engine.restore(one)[1], "who reads everything goes on doing so"


def test_no_key_that_it_has_opens_anything_of_another_domain(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    backup(engine, "db1")
    backup(engine, "db2")
    add(engine, "orders")
    own = engine.commit_of(backup(engine, "db1"))
    other = engine.commit_of(backup(engine, "db2"))
    with friend(engine).opened() as repository:
        keys = repository.reading_keys()
    assert data_keys_opened(engine, keys) == {own.data_key}
    footers = set()
    for name, data in engine.objects("a", names.PACKS).items():
        entry = entry_of(data)
        for one in keys.domains:
            with suppress(KeyMissing, ObjectCorrupt):
                open_footer(keys.at(one.tag), entry.header, entry.sealed_footer)
                footers.add(name)
    assert footers == {names.pack(one.pack_id) for one in engine.needs_of(own.snapshot).packs}
    assert footers.isdisjoint(names.pack(one.pack_id) for one in engine.needs_of(other.snapshot).packs)

    everybody = (public_key_of(engine, "friend"),)
    original = publish.seal_to_each  # the mutant: a run seals its key to the readers of another domain
    monkeypatch.setattr(publish, "seal_to_each", lambda keys, key: original(with_readers(keys, everybody), key))
    more = engine.commit_of(backup(engine, "db2"))
    assert data_keys_opened(engine, keys) == {own.data_key, more.data_key}


def data_keys_opened(engine: Engine, keys: KeySet) -> set[str]:
    """Return the ids of all data keys at a replica that these keys open."""
    opened = set()
    for name, data in engine.objects("a", names.DATA_KEYS).items():
        with suppress(ObjectCorrupt):
            opened.add(open_data_key(keys, bytes.fromhex(name.split("/")[2]), data).key_id.hex())
    return opened


def with_readers(keys: KeySet, readers: tuple[bytes, ...]) -> KeySet:
    return replace(keys, domains=tuple(replace(one, readers=readers) for one in keys.domains))


def public_key_of(engine: Engine, path: str) -> bytes:
    private_key, _ = decode_identity((engine.root / path).read_bytes(), path)
    return crypto.public_key_of(private_key)


def test_only_whole_domains_can_be_read_alone(engine: Engine) -> None:
    backup(engine, "db1")
    with engine.opened(Need.OWNER):
        pass
    with pytest.raises(ConfigInvalid, match="no certificate names a source 'home'"):
        add(engine, "home", path="one")
    engine.enroll(name="db3", sources=["invoices"], domain="db1")
    with pytest.raises(ConfigInvalid, match="db3 backs up invoices in domain db1"):
        add(engine, "orders", path="two")
    assert add(engine, "orders", "invoices", path="three").enroll == ("db1", "db3")
    with pytest.raises(WrongPassphrase), friend(engine, "two").opened():
        pass


def test_it_reads_on_after_rotations_until_it_is_left_out(engine: Engine) -> None:
    backup(engine, "db1")
    add(engine, "orders")
    add(engine, "orders", path="another")
    first = backup(engine, "db1")

    turn(engine, Rotation(domains=("db1",)))
    second = backup(engine, "db1")
    turn(engine, Rotation(owner=True, recipient=True, root=True, domains=("db1", "main")))
    third = backup(engine, "db1")

    reader = friend(engine)
    assert [one.snapshot_id for one in reader.snapshots()] == [first, second, third]
    assert all(reader.restore(one)[1] for one in (first, second, third))
    gone = crypto.recipient_id(public_key_of(engine, "friend")).hex()
    turn(engine, Rotation(owner=True, recipient=True, root=True, domains=("db1",), left_out=frozenset({gone})))
    fourth = backup(engine, "db1")
    with pytest.raises(FarshoreError), reader.opened():
        pass
    assert fourth in [one.snapshot_id for one in friend(engine, "another").snapshots()]


def turn(engine: Engine, rotation: Rotation) -> None:
    with engine.opened(Need.OWNER) as repository:
        secrets = read_secrets(engine.config)
        rotate(repository, rotation, secrets, secrets)


def test_a_new_owner_keeps_it(engine: Engine) -> None:
    backup(engine, "db1")
    add(engine, "orders")
    mine = backup(engine, "db1")
    lose_owner(engine)
    after = under(engine, new_owner(engine).fingerprint)
    assert friend(after).restore(mine)[1]

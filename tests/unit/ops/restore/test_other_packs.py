"""Packs and fragments of a thief inside the domain that lie: what is restored is hashed, and found elsewhere."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from farshore.config import Dedupe
from farshore.crypto import ZERO_NONCE, associated, derive_key
from farshore.format import names
from farshore.format.pack import decode_footer, decode_header, encode_footer
from farshore.sealed.packs import entry_of, open_footer
from tests.unit.ops.engine import Engine
from tests.unit.ops.liar import deduping, fragment_of, keys_of, lying_pack, member, plant
from tests.unit.ops.tree_source import TreeSource

FILES = {f"{number}".encode(): random.Random(number).randbytes(1000 + number) for number in range(20)}


def source_of(engine: Engine, name: str) -> TreeSource:
    source = TreeSource(clock=engine.clock, name=name)
    for path, content in FILES.items():
        source.file(path, content)
    return source


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return Engine(tmp_path).initialize()


def chunks_of(engine: Engine) -> dict[bytes, int]:
    """The chunks of all packs, with their lengths."""
    keys, found = keys_of(engine), dict[bytes, int]()
    for data in engine.objects("a", names.PACKS).values():
        entry = entry_of(data)
        footer = decode_footer(open_footer(keys, entry.header, entry.sealed_footer))
        found |= {chunk_id: length for chunk_id, _, _, length in footer.chunks.tolist()}
    return found


def lose_all(engine: Engine, prefixes: Sequence[str]) -> dict[str, bytes]:
    lost = {name: data for prefix in prefixes for name, data in engine.objects("a", prefix).items()}
    for replica in "abc":
        for name in lost:
            engine.lose(replica, name)
    return lost


def test_a_fragment_that_lies_about_a_genuine_pack_is_of_no_pack(engine: Engine) -> None:
    """A2: places exchanged in the footer, sealed with the key of the domain, signed by a certified host."""
    snapshot = engine.backup(source_of(engine, "home")).snapshot_id
    thief = member(engine, "thief")
    keys = keys_of(thief)
    (data,) = engine.objects("a", names.PACKS).values()
    entry = entry_of(data)
    footer = decode_footer(open_footer(keys, entry.header, entry.sealed_footer))
    chunks = footer.chunks.copy()
    chunks["id"] = chunks["id"][::-1]
    aead = AESGCM(derive_key(keys.index_key, "footer", keys.repository_id, decode_header(entry.header).origin.salt))
    sealed = aead.encrypt(
        ZERO_NONCE,
        encode_footer(replace(footer, chunks=chunks)),
        associated("footer", keys.repository_id, entry.header),
    )
    lying = replace(entry, sealed_footer=sealed)
    assert lying.pack_id != entry.pack_id
    plant(engine, fragment_of(keys, lying))
    lose_all(engine, [name for name in engine.objects("a", names.FRAGMENTS) if name not in fragment_of(keys, lying)])
    engine.forget_cache()
    assert engine.restore(snapshot)[1] == {b"": None, **FILES}
    assert engine.backup(source_of(engine, "other")).counts.bytes_new == 0
    found = engine.verify()
    assert found.clean, "no snapshot needs a pack that only the thief names"
    assert {(one.name, one.reason) for one in found.refused} == {(names.pack(lying.pack_id.hex()), "claimed")}


def test_a_pack_that_claims_chunks_for_other_content_is_no_source_of_a_backup(engine: Engine) -> None:
    """A4, of content to come: by the rule that believes the whole domain it would be lost."""
    thief = member(engine, "thief")
    laptop = member(engine, "laptop")
    chunks = {_chunk_id(engine, content): len(content) for content in FILES.values()}
    _, objects = lying_pack(thief, chunks)
    plant(engine, objects)
    kept = laptop.backup(source_of(laptop, "laptop"))
    assert kept.counts.bytes_new == sum(map(len, FILES.values()))
    assert engine.restore(kept.snapshot_id)[1] == {b"": None, **FILES}
    desktop = deduping(member(engine, "desktop"), Dedupe.DOMAIN)
    for name in engine.objects("a", names.PACKS):
        if name not in objects:
            for replica in "abc":
                engine.lose(replica, name)
    assert desktop.backup(source_of(desktop, "desktop")).counts.bytes_new == 0, "the lie was believed"


def test_what_a_lying_pack_does_not_give_is_restored_from_any_other(engine: Engine) -> None:
    """A4, of content that is there: the snapshot names only the pack that lies."""
    engine.backup(source_of(engine, "home"))
    thief = member(engine, "thief")
    lying, objects = lying_pack(thief, chunks_of(engine))
    good = lose_all(engine, [names.PACKS, names.FRAGMENTS])
    plant(engine, objects)
    laptop = deduping(member(engine, "laptop"), Dedupe.DOMAIN)
    snapshot = laptop.backup(source_of(laptop, "laptop"))
    assert snapshot.counts.bytes_new == 0
    for with_fragments in (True, False):
        plant(engine, {name: data for name, data in good.items() if with_fragments or name.startswith(names.PACKS)})
        engine.forget_cache()
        result, restored = engine.restore(snapshot.snapshot_id)
        assert restored == {b"": None, **FILES}, result
        lose_all(engine, list(good))
    plant(engine, good)
    found = {one.name: one.detail for one in engine.verify().damaged}
    assert list(found) == [names.pack(lying.pack_id.hex())]
    assert "signed by thief" in found[names.pack(lying.pack_id.hex())]


def test_a_needed_pack_that_is_gone_is_no_loss_where_others_have_its_chunks(engine: Engine) -> None:
    laptop = member(engine, "laptop")
    laptop.backup(source_of(laptop, "laptop"))
    there = set(engine.objects("a", names.PACKS))
    snapshot = engine.backup(source_of(engine, "home")).snapshot_id
    (needed,) = set(engine.objects("a", names.PACKS)) - there
    lose_all(engine, [needed])
    engine.forget_cache()
    assert engine.restore(snapshot)[1] == {b"": None, **FILES}


def _chunk_id(engine: Engine, content: bytes) -> bytes:
    return blake3(content, key=keys_of(engine).chunk_key).digest()

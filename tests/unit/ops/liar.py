"""A host of the domain whose credential was stolen: it makes packs and fragments that are signed and lie."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from farshore.access.unlock import Need
from farshore.config import Dedupe
from farshore.format import names
from farshore.format.fragments import FragmentEntry
from farshore.ops.setup.enroll import enroll
from farshore.ops.setup.initialize import write_credential
from farshore.sealed import KeySet
from farshore.sealed.data_key import generate_data_key, seal_data_key
from farshore.sealed.fragments import make_fragment
from farshore.sealed.packs import PackBuilder, SealedPack
from farshore.sealed.segments import PlainSegment, SegmentNumbers, seal_segment
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource, one_file

CONTENT = random.Random(2).randbytes(3000)


def source_of(engine: Engine, name: str, content: bytes = CONTENT) -> TreeSource:
    """Return a source of a host, by default one that holds what the first host backed up."""
    return one_file(engine.clock, content, name)


def shared_domain(root: Path) -> Engine:
    """Return a repository whose first host has backed up `CONTENT` as `home`."""
    engine = Engine(root).initialize()
    engine.backup(source_of(engine, "home"))
    return engine


def member(engine: Engine, host: str, domain: str = "main") -> Engine:
    """Enroll another host in a domain; return the repository as it sees it."""
    other = engine.at(host, reads=False)
    with engine.opened(Need.OWNER) as repository:
        made = enroll(repository, host, domain=domain)
        write_credential(other.config, made.credential, repository.header)
    return other


def deduping(engine: Engine, dedupe: Dedupe) -> Engine:
    """Return the same host, reusing packs by another rule."""
    other = replace(engine)
    other.repository_config = replace(engine.repository_config, dedupe=dedupe)
    return other


def keys_of(engine: Engine) -> KeySet:
    with engine.opened(Need.WRITE) as repository:
        return repository.writing_keys()


def lying_pack(engine: Engine, chunks: dict[bytes, int]) -> tuple[SealedPack, dict[str, bytes]]:
    """Return a pack of an engine's host that claims to have chunks of such lengths, and the objects that go with it."""
    keys = keys_of(engine)
    data_key = generate_data_key(engine.clock)
    origin, number = SegmentNumbers(data_key=data_key, clock=engine.clock).next_number()
    rows, at = [], 0
    for chunk_id, length in chunks.items():
        rows.append((chunk_id, at, length))
        at += length
    builder = PackBuilder(keys=keys, key_id=data_key.key_id, clock=engine.clock)
    builder.add(seal_segment(PlainSegment(origin, number, b"\xee" * at, tuple(rows)), data_key, keys.repository_id))
    pack = builder.build()
    sealed = seal_data_key(keys, data_key)
    return pack, {
        names.data_key(data_key.key_id.hex(), keys.recipient_id.hex(), names.hash_of(sealed)): sealed,
        names.pack(pack.pack_id.hex()): bytes(pack.body),
        **fragment_of(keys, pack.entry),
    }


def fragment_of(keys: KeySet, *entries: FragmentEntry) -> dict[str, bytes]:
    body = make_fragment(entries, keys)
    return {names.fragment(names.hash_of(body)): body}


def plant(engine: Engine, objects: dict[str, bytes], replicas: str = "abc") -> None:
    for replica in replicas:
        for name, body in objects.items():
            engine.shelf(replica).objects[name] = (body, engine.clock.now_utc())

"""Hosts with a source and a domain of their own, and identities that read them alone."""

from __future__ import annotations

from dataclasses import replace

from farshore.access.unlock import Need
from farshore.ops.setup.domain_readers import AddedReader, add_domain_reader
from farshore.ops.setup.keys import generate_identity
from tests.unit.ops.engine import Engine
from tests.unit.ops.tree_source import TreeSource

SHARED = b"the same in both" * 5000
HOSTS = {"db1": "orders", "db2": "users"}


def host(engine: Engine, name: str) -> Engine:
    """Return a host with its credential, enrolled for its one source."""
    made = engine.at(name, reads=False)
    made.state_dir.mkdir(mode=0o700, exist_ok=True)
    engine.repository_config = replace(engine.repository_config, credential=made.repository_config.credential)
    engine.enroll(name=name, sources=[HOSTS[name]], domain=name)
    engine.repository_config = replace(engine.repository_config, credential=None)
    return made


def source_of(engine: Engine, name: str) -> TreeSource:
    made = TreeSource(engine.clock, name=HOSTS[name])
    made.file(b"shared", SHARED)
    made.file(b"own", name.encode() * 3000)
    return made


def backup(engine: Engine, name: str) -> str:
    return host(engine, name).backup(source_of(engine, name)).snapshot_id


def add(engine: Engine, *sources: str, path: str = "friend") -> AddedReader:
    line = generate_identity(engine.root / path)
    with engine.opened(Need.OWNER) as repository:
        return add_domain_reader(repository, line, sources, label=path)


def friend(engine: Engine, path: str = "friend") -> Engine:
    """Return the repository as the holder of that identity sees it."""
    other = engine.at(f"{path}s-machine")
    other.repository_config = replace(engine.repository_config, identity=engine.root / path, credential=None)
    return other

"""Snapshots with a file that is to go from all of them, and what must hold afterwards."""

from __future__ import annotations

import random
from collections.abc import Collection

from blake3 import blake3

from farshore.catalog.contents import open_snapshot
from farshore.catalog.fragments import read_footer
from farshore.catalog.snapshots import list_snapshots
from farshore.catalog.verified_objects import open_verified
from farshore.format import names
from farshore.format.commit import CommitHead
from farshore.format.manifest import ManifestReader
from farshore.ops.prune.outcome import DeleteMax, PruneResult
from farshore.ops.retain.forget import forget_snapshots
from farshore.ops.rewrite.plan import RewritePlan
from farshore.ops.rewrite.planning import plan_rewrite
from farshore.ops.rewrite.removal import PatternRemoval
from farshore.ops.rewrite.rewrite import RewriteResult, make_successors
from farshore.replicas.reader import open_reader
from farshore.run import Run
from farshore.sealed import key_tag
from farshore.sealed.sealed_object import SealedKind
from farshore.signing import SigningKey
from tests.unit.ops.engine import Engine
from tests.unit.ops.prune import prune_world
from tests.unit.ops.tree_source import TreeSource

DAY_S = 86_400
SECRET = random.Random("secret").randbytes(30_000)


def content(number: int) -> bytes:
    return random.Random(number).randbytes(20_000)


def nights(engine: Engine, count: int = 4) -> TreeSource:
    """Make snapshots: the secret is in those from the second on but not in the last, beside a new file each night."""
    tree = TreeSource(clock=engine.clock)
    tree.directory(b"d")
    for number in range(count):
        tree.file(f"d/{number}".encode(), content(number))
        if number == 1:
            tree.file(b"d/secret", SECRET)
        if number == count - 1:
            tree.remove(b"d/secret")
        engine.backup(tree)
        engine.clock.advance(DAY_S)
    return tree


def plan(engine: Engine, *patterns: str, chosen: Collection[str] | None = None) -> RewritePlan:
    with engine.opened() as repository:
        run = Run.start(engine.clock)
        return plan_rewrite(repository, PatternRemoval(patterns), chosen, run=run)[0]


def rewrite(
    engine: Engine, *patterns: str, chosen: Collection[str] | None = None, forgets: bool = True,
    credential: SigningKey | None = None,
) -> RewriteResult:  # fmt: skip
    with engine.opened() as repository:
        run = Run.start(engine.clock)
        _, work = plan_rewrite(repository, PatternRemoval(patterns), chosen, run=run)
        result = make_successors(repository, work, credential=credential, run=run)
        if forgets:
            snapshots = [one for one in list_snapshots(repository) if one.commit.hash in {c.hash for c in work.going}]
            forget_snapshots(repository, snapshots, reason="rewritten", rule="", run=run)
        return result


def prune(engine: Engine) -> PruneResult:
    """Prune without a grace, however much goes."""
    result = prune_world.prune(engine, delete_max=DeleteMax(percent=100.0))
    assert result.done, result
    return result


def ids(engine: Engine) -> list[str]:
    return [one.snapshot_id for one in engine.snapshots()]


def in_order(engine: Engine) -> list[tuple[int, object, bool]]:
    return [(one.sequence, one.committed_utc, one.sound) for one in engine.snapshots()]


def paths_in_runs(engine: Engine, replica: str) -> set[bytes]:
    """Return every path that any manifest run at a replica has, superseded or not."""
    found: set[bytes] = set()
    with engine.opened(replica=replica) as repository:
        for one in list_snapshots(repository):
            reader = open_reader(repository)
            open_snapshot(repository, one.commit, reader)
            for ref in one.commit.manifest:
                run = ManifestReader(open_verified(repository, reader, ref, SealedKind.MANIFEST))
                for table in run.all_tables():
                    found.update(table.column("path").to_pylist())
    return found


def chunk_places(engine: Engine, replica: str, data: bytes, *, domain: CommitHead | None = None) -> list[str]:
    """Return the packs at a replica whose footers have a chunk of a file of one chunk, which are opened for it."""
    found = []
    with engine.opened(replica=replica) as repository:
        keys = repository.reading_keys()
        keys = keys if domain is None else keys.at(key_tag(domain.domain, domain.epoch))
        chunk_id = blake3(data, key=keys.chunk_key).digest()
        one = repository.replicas[replica]
        for info in one.store.list(names.PACKS):
            footer = read_footer(keys, one, info.name.rpartition("/")[2], info.size).footer
            if chunk_id in footer.chunks["id"].tolist():
                found.append(info.name)
    return found

"""Check the objects that the snapshots of a replica need: their runs by hash, packs and keys by the listing."""

from __future__ import annotations

import contextlib

from blake3 import blake3

from farshore.audit.rows import ProofState
from farshore.catalog.needs import NeededObject, objects_of, own_objects, read_needs, read_needs_runs
from farshore.errors import CACHED_READ_ERRORS, Corrupt, NotFound, Unsupported
from farshore.format import names
from farshore.format.commit import CommitHead
from farshore.format.needs import Needs
from farshore.format.object_kinds import Kind
from farshore.format.pack_id import hash_object
from farshore.ops.verify.findings import ReplicaCheck
from farshore.replicas.object_pieces import piece_ranges
from farshore.replicas.repository import ObjectSource, Repository


def check_snapshot(repository: Repository, check: ReplicaCheck, commit: CommitHead, anywhere: ObjectSource) -> None:
    """Hash the runs that the commit names, read its needs, and look for those in the listing.

    Args:
        anywhere: Other replicas, for the needs object where this replica has no good one.
    """
    own = {one.name for one in own_objects(commit)}
    for one in own_objects(commit):
        if _is_listed(check, one, commit.snapshot):
            _check_bytes(check, one.name, names.parse_run(one.name) or "", commit.snapshot)
    needs = _needs(repository, check, commit, anywhere)
    if needs is None:
        return
    check.needs[commit.snapshot] = needs
    for one in objects_of(commit, needs):
        if one.name in own or one.kind is Kind.COMMIT:  # that is what is being checked
            continue
        if check.sizes.get(one.name) not in (None, one.size) and _is_whole(check, one.name):
            said = f"it says that {one.name} has {one.size} bytes; that has {check.sizes[one.name]}, and is whole"
            check.blame(_said_by(repository, commit, one, anywhere), ProofState.UNDECODABLE, said, commit.snapshot)
            continue
        _is_listed(check, one, commit.snapshot)


def _said_by(repository: Repository, commit: CommitHead, needed: NeededObject, anywhere: ObjectSource) -> str:
    """Return the run of the needs that gives a pack the size it must have."""
    with contextlib.suppress(*CACHED_READ_ERRORS):
        for run in read_needs_runs(repository, anywhere, commit):
            if any((names.pack(pack.pack_id), pack.bytes) == (needed.name, needed.size) for pack in run.needs.packs):
                return run.ref.name
    return commit.needs[-1].name


def _is_whole(check: ReplicaCheck, name: str) -> bool:
    """Whether an object hashes to its name, whatever size the needs of somebody say that it has."""
    if name not in check.digests:
        data = check.read(name)
        check.digests[name] = hash_object(name, data) if data is not None else ""
    return bool(check.digests[name]) and check.digests[name] in name


def _is_listed(check: ReplicaCheck, needed: NeededObject, snapshot: str) -> bool:
    """Return whether the replica lists an object with the size it must have; blame it where it does not."""
    size = check.sizes.get(needed.name)
    if size is None:
        check.blame(needed.name, ProofState.MISSING, "it is not listed", snapshot)
    elif needed.size not in (None, size):
        check.blame(needed.name, ProofState.TRUNCATED, f"it has {size} bytes, not {needed.size}", snapshot)
    else:
        return True
    return False


def _check_bytes(check: ReplicaCheck, name: str, wanted: str, snapshot: str) -> None:
    """Hash an object, once for all snapshots that need it."""
    digest = check.digests.get(name) or _hash(check, name, check.sizes[name], snapshot)
    if digest is not None:
        check.digests[name] = digest
        if digest != wanted:
            check.blame(name, ProofState.ALTERED, "its bytes are not those that were committed", snapshot)


def _needs(repository: Repository, check: ReplicaCheck, commit: CommitHead, anywhere: ObjectSource) -> Needs | None:
    """Return the needs of a snapshot; None where no replica has them whole, which is a finding about that object."""
    try:
        return read_needs(repository, check.replica, commit)
    except (Corrupt, NotFound, Unsupported):
        with contextlib.suppress(*CACHED_READ_ERRORS):
            return read_needs(repository, anywhere, commit)
    return None


def _hash(check: ReplicaCheck, name: str, size: int, snapshot: str) -> str | None:
    """Hash an object in pieces: a manifest of millions of entries is larger than all else in memory."""
    digest = blake3()
    for offset, length in piece_ranges(size):
        data = check.read(name, snapshot, part=(offset, None if length == size else length))
        if data is None:
            return None
        digest.update(data)
    return digest.hexdigest()

"""Check what the snapshots of a replica need: their own objects by hash, packs and keys by the listing."""

from __future__ import annotations

import contextlib

from blake3 import blake3

from farshore import limits
from farshore.catalog.needs import read_needs
from farshore.errors import Corrupt, FarshoreError, NotFound, Unsupported
from farshore.format import names
from farshore.format.records import Commit, Needs
from farshore.ops.verify.findings import ReplicaCheck
from farshore.replicas.repository import ObjectSource, Repository

_PIECE_BYTES = 16 * limits.MIB


def check_snapshot(repository: Repository, check: ReplicaCheck, commit: Commit, anywhere: ObjectSource) -> None:
    """Hash the snapshot's own objects, read what it needs, and look for that in the listing.

    Args:
        anywhere: Tells what the snapshot needs where this replica does not.
    """
    for ref in commit.objects.values():
        size = check.sizes.get(ref.name)
        if size is None:
            check.blame(ref.name, "missing", "it is not listed", commit.snapshot)
        elif size != ref.bytes:
            check.blame(ref.name, "truncated", f"it has {size} bytes, not {ref.bytes}", commit.snapshot)
        else:
            digest = check.digests.get(ref.name) or _hash(check, ref.name, size, commit.snapshot)
            if digest is not None:
                check.digests[ref.name] = digest
            if digest is not None and digest != ref.blake3:
                check.blame(ref.name, "altered", "its bytes are not those that were committed", commit.snapshot)
    needs = _needs(repository, check, commit, anywhere)
    if needs is None:
        return
    check.needs[commit.snapshot] = needs
    for pack_id, size in needs.packs:
        name = names.pack(pack_id)
        held = check.sizes.get(name)
        if held is None:
            check.blame(name, "missing", "it is not listed", commit.snapshot)
        elif held != size:
            check.blame(name, "truncated", f"it has {held} bytes, not {size}", commit.snapshot)
    recipient = repository.writing_keys().recipient_id.hex()
    for key_id in needs.data_keys:
        name = names.data_key(key_id, recipient)
        if name not in check.sizes:
            check.blame(name, "missing", "it is not listed", commit.snapshot)


def _needs(repository: Repository, check: ReplicaCheck, commit: Commit, anywhere: ObjectSource) -> Needs | None:
    """Return what a snapshot needs; None where nobody can tell, which is told of the object itself."""
    try:
        return read_needs(repository, check.replica, commit)
    except (Corrupt, NotFound, Unsupported):
        with contextlib.suppress(FarshoreError):
            return read_needs(repository, anywhere, commit)
    return None


def _hash(check: ReplicaCheck, name: str, size: int, snapshot: str) -> str | None:
    """Hash an object in pieces: a manifest of millions of entries is larger than all else in memory."""
    digest = blake3()
    for start in range(0, size, _PIECE_BYTES):
        part = (start, min(_PIECE_BYTES, size - start)) if size > _PIECE_BYTES else (0, None)
        data = check.read(name, snapshot, part=part)
        if data is None:
            return None
        digest.update(data)
    return digest.hexdigest()

"""Read packs of a replica whole: hash them, because their names are the hashes of their bytes, and open them."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

from blake3 import blake3

from farshore.errors import Corrupt, FarshoreError, ObjectNotFound
from farshore.format import names
from farshore.model import Progress, ProgressCallback
from farshore.ops.pack_proof import PackProof
from farshore.ops.verifying.findings import ReplicaCheck

_THREADS = 4
_FULL = 100.0


def check_packs(check: ReplicaCheck, proof: PackProof, percent: float, progress: ProgressCallback, run_id: str) -> None:
    """Read a sample of the packs whole: hash them, because their names are the hashes of their bytes, and open them."""
    packs = sorted(name for name in check.sizes if names.parse_pack(name))
    if percent < _FULL:  # ordered by a hash of run and name, so that each run takes another sample
        packs.sort(key=lambda name: blake3(f"{run_id} {name}".encode()).digest())
        packs = packs[: math.ceil(len(packs) * percent / _FULL)]
    total = sum(check.sizes[name] for name in packs)
    done = 0
    with ThreadPoolExecutor(_THREADS) as pool:
        for name, finding in zip(packs, pool.map(lambda one: _read_pack(check, proof, one), packs), strict=True):
            done += check.sizes[name]
            if finding:
                _blame_pack(check, name, *finding)
            progress(Progress(f"verify:{check.replica.name}", len(packs), done, total))
    check.bytes_read += done


def _read_pack(check: ReplicaCheck, proof: PackProof, name: str) -> tuple[str, str] | None:
    try:
        data = check.replica.store.get(name)
    except ObjectNotFound:
        return "missing", "it is listed and cannot be read"
    except Corrupt as error:
        return "altered", str(error)
    if len(data) != check.sizes[name]:
        return "truncated", f"it has {len(data)} bytes, not the {check.sizes[name]} that are listed"
    digest = blake3(data).digest()
    if digest.hex() != names.parse_pack(name):
        return "altered", "its bytes do not hash to its name"
    try:
        proof.prove(digest, data)
    except FarshoreError as error:
        return "undecodable", str(error)
    return None


def _blame_pack(check: ReplicaCheck, name: str, code: str, detail: str) -> None:
    pack_id = names.parse_pack(name)
    touched = [snapshot for snapshot, needs in check.needs.items() if any(pack_id == one for one, _ in needs.packs)]
    for snapshot in touched or [""]:
        check.blame(name, code, detail, snapshot)

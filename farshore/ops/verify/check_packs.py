"""Read packs of a replica whole: hash them, because their names follow from their bytes, and open them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from farshore import limits
from farshore.audit.rows import ProofState
from farshore.catalog.signed_commits import Refusal
from farshore.errors import Corrupt, FarshoreError, ObjectNotFound
from farshore.format import names
from farshore.format.names import object_bytes_max
from farshore.format.pack_id import hash_pack
from farshore.model import dataclass
from farshore.ops.verify.findings import ReplicaCheck, proof_row
from farshore.ops.verify.proof_log import ProofKeeper
from farshore.process_memory import give_back_unused
from farshore.results import Progress
from farshore.run import Run
from farshore.sealed.check_pack import PackChecker

_THREADS = 4


@dataclass(frozen=True, slots=True)
class _Read:
    """One pack as it was read."""

    bytes: int = 0
    state: ProofState = ProofState.OK
    detail: str = ""
    checksum: str = ""
    planted: bool = False


def check_packs(check: ReplicaCheck, packs: Sequence[str], proof: PackChecker, run: Run, keeper: ProofKeeper) -> None:
    """Read packs, note damage, and keep a row of each.

    Raises:
        FarshoreError: The replica does not answer; what was read until then is kept.
    """
    try:
        _read_packs(check, packs, proof, run, keeper)
    except FarshoreError as ended:
        try:
            keeper.flush()
        except FarshoreError as trouble:  # the error that ended the reading is the one to report
            ended.add_note(f"what was read until then was not recorded: {trouble}")
        raise
    keeper.flush()


def _read_packs(check: ReplicaCheck, packs: Sequence[str], proof: PackChecker, run: Run, keeper: ProofKeeper) -> None:
    total = sum(check.sizes[name] for name in packs)
    done = 0
    run.progress(Progress(f"verify:{check.replica.name}", bytes_total=total))
    with ThreadPoolExecutor(_THREADS) as pool:
        for name, read in zip(packs, pool.map(lambda one: _read_pack(check, proof, one), packs), strict=True):
            done += check.sizes[name]
            give_back_unused(limits.READING_TRIM_BYTES_MIN)
            if read.state is not ProofState.OK:
                _blame_pack(check, name, read)
            keeper.add(proof_row(run, check.replica.name, name, read.state, read.bytes, read.checksum, read.detail))
            run.progress(Progress(f"verify:{check.replica.name}", len(packs), done, total))
    check.bytes_read += done


def _read_pack(check: ReplicaCheck, proof: PackChecker, name: str) -> _Read:
    try:
        data = check.replica.store.get(name, bytes_max=object_bytes_max(name))
    except ObjectNotFound:
        return _Read(0, ProofState.MISSING, "it is listed and cannot be read")
    except Corrupt as error:
        return _Read(check.sizes[name], ProofState.ALTERED, str(error))
    size = len(data)
    if size != check.sizes[name]:
        return _Read(size, ProofState.TRUNCATED, f"it has {size} bytes, not the {check.sizes[name]} that are listed")
    digest = hash_pack(data)
    if digest.hex() != names.parse_pack(name):
        return _Read(size, ProofState.ALTERED, "its bytes do not hash to its name")
    try:
        proof.check(digest, data)
    except FarshoreError as error:
        return _Read(size, ProofState.UNDECODABLE, str(error), planted=proof.is_planted(data))
    return _Read(size, checksum=check.replica.meter.checksum_of(data))


def _blame_pack(check: ReplicaCheck, name: str, read: _Read) -> None:
    """Note damage; a pack that nobody here made, and no snapshot needs, is refused and no damage of the replica."""
    pack_id = names.parse_pack(name)
    touched = [
        snapshot for snapshot, needs in check.needs.items() if any(pack_id == one.pack_id for one in needs.packs)
    ]
    if read.planted and not touched:
        check.note_refused({name: Refusal.UNKNOWN_SIGNER.value})
        return
    for snapshot in touched or [""]:
        check.blame(name, read.state, read.detail, snapshot)

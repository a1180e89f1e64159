"""Verify replicas: everything a listed snapshot needs is there, sound, and (read-data) hashes to its name.

Packs are checked by size from one listing, and read whole for the sample asked for; small objects are always read. Of
what is read, everything is opened that the keys at hand open. What a damaged object touches is answered from the
snapshots' needs, and from their manifests where a reader's keys are at hand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from blake3 import blake3

from farshore import limits
from farshore.audit import chain
from farshore.audit import names as audit_names
from farshore.audit.rows import AuditRow, CheckRow
from farshore.clock import Clock
from farshore.errors import Corrupt, FarshoreError, NotFound, ObjectNotFound, Unsupported
from farshore.format import names
from farshore.format.records import Commit, Needs
from farshore.model import UNREACHABLE, DamagedObject, Progress, ProgressCallback, VerifyResult, no_progress
from farshore.ops import auditing
from farshore.ops.allocation import settle_allocation
from farshore.ops.base_snapshot import read_data_key
from farshore.ops.impact import paths_touched
from farshore.ops.pack_proof import PackProof
from farshore.repository import slots
from farshore.repository.commits import list_commit_names, read_commits
from farshore.repository.holdings import open_fragment, read_needs
from farshore.repository.keys import DataKey, check_data_key, open_data_key
from farshore.repository.repository import Replica, Repository

_THREADS = 4
_FULL = 100.0
_PIECE_BYTES = 16 * limits.MIB


@dataclass
class _Check:
    """What one replica showed."""

    replica: Replica
    sizes: dict[str, int] = field(default_factory=dict)
    commits: list[Commit] = field(default_factory=list)
    needs: dict[str, Needs] = field(default_factory=dict)
    damaged: dict[str, DamagedObject] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)  # a full page map is named by the snapshots of many nights
    objects: int = 0
    bytes_read: int = 0
    error: FarshoreError | None = None

    def blame(self, name: str, code: str, detail: str, snapshot: str = "") -> None:
        """Note a damaged object; a second finding adds the snapshot it touches."""
        found = self.damaged.get(name) or DamagedObject(self.replica.name, name, code, detail)
        if snapshot and snapshot not in found.snapshots:
            found = replace(found, snapshots=(*found.snapshots, snapshot))
        self.damaged[name] = found


def verify_repository(
    repository: Repository,
    *,
    replica: str | None = None,
    read_data_percent: float = 0.0,
    engine: str = "cli",
    flow_run_id: str = "",
    progress: ProgressCallback = no_progress,
    clock: Clock,
) -> VerifyResult:
    """Check one replica, or all; write the findings as audit rows; return them. Damage is a result, not an error.

    Args:
        read_data_percent: Share of the packs to read whole and hash; 100 reads all.

    Raises:
        StoreUnavailable, StoreDenied: A replica that was asked for cannot be listed: unknown is not clean.
    """
    settle_allocation()
    keys = repository.writing_keys()
    started_utc = clock.now_utc()
    run_id = clock.random_bytes(16).hex()
    chosen = [repository.replica(replica)] if replica else list(repository.replicas.values())
    proof = PackProof(keys=keys, data_key=lambda key_id: _data_key(repository, chosen, key_id))
    checks = [_check_replica(repository, one, proof, read_data_percent, progress, run_id) for one in chosen]
    away = {} if replica else repository.unreachable
    snapshots = tuple({commit.snapshot: None for check in checks for commit in check.commits})
    damaged = [_absent(name, error, snapshots) for name, error in away.items()]
    for check in checks:
        found = list(check.damaged.values())
        if keys.private_key:
            found = paths_touched(repository, check.commits, check.needs, found)
        damaged += found
    result = VerifyResult(
        run_id=run_id,
        replicas=tuple(name for name in repository.configured if replica in (None, name)),
        started_utc=started_utc,
        finished_utc=clock.now_utc(),
        snapshots=len(snapshots),
        objects=sum(check.objects for check in checks),
        bytes_read=sum(check.bytes_read for check in checks),
        read_data_percent=read_data_percent,
        damaged=tuple(damaged),
    )
    _record(repository, result, checks, engine, flow_run_id)
    return replace(result, requests=repository.take_requests())


def _absent(name: str, error: FarshoreError, snapshots: tuple[str, ...]) -> DamagedObject:
    """Return the finding for a replica that could not be opened at all: what cannot be seen is not sound.

    Trouble that passes is told as `unreachable`, which is no damage that a later check would have to disprove. It
    touches every snapshot that the other replicas list, because this copy of each may be gone.
    """
    code = UNREACHABLE if error.retryable else "missing"
    return DamagedObject(name, names.HEADER, code, f"the replica cannot be opened: {error}", snapshots)


def _check_replica(
    repository: Repository, replica: Replica, proof: PackProof, percent: float, progress: ProgressCallback, run_id: str
) -> _Check:
    check = _Check(replica)
    for info in replica.store.list():
        check.sizes[info.name] = info.size
    listed = list_commit_names(replica)
    check.commits, bad = read_commits(repository, replica, listed, cached=False)
    for name, error in bad.items():
        parsed = names.parse_snapshot_object(name)
        check.blame(name, "undecodable", str(error), parsed.snapshot_id if parsed else "")
    _check_slots(check)
    for commit in check.commits:
        _check_snapshot(repository, check, commit)
    _check_keys(repository, check)
    _check_fragments(repository, check)
    _check_packs(check, proof, percent, progress, run_id)
    _check_audit(repository, check)
    check.objects = len(check.sizes)
    return check


def _check_slots(check: _Check) -> None:
    """The header was read when the replica was opened; here every slot is, and that there is one."""
    listed = [name for name in check.sizes if names.parse_slot(name)]
    for name in listed:
        data = _read(check, name)
        if data is None:
            continue
        try:
            if slots.describe_slot(data).slot_id != names.parse_slot(name):
                check.blame(name, "altered", "it is another slot than its name says")
        except (Corrupt, Unsupported) as error:
            check.blame(name, "undecodable", str(error))
    if not listed:
        check.blame(names.SLOTS, "missing", "there is no key slot, so this replica alone cannot be unlocked")


def _check_snapshot(repository: Repository, check: _Check, commit: Commit) -> None:
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
    try:
        needs = read_needs(repository, check.replica, commit)
    except (Corrupt, NotFound, Unsupported):
        return  # told above
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


def _check_keys(repository: Repository, check: _Check) -> None:
    """Check every data key by its own check, and open those that are sealed to the keys at hand."""
    keys = repository.writing_keys()
    for name in check.sizes:
        parsed = names.parse_data_key(name)
        if parsed is None:
            continue
        touched = [snapshot for snapshot, needs in check.needs.items() if parsed[0] in needs.data_keys]
        data = _read(check, name, *touched)
        if data is None:
            continue
        try:
            check_data_key(data, name)
            if keys.private_key and parsed[1] == keys.recipient_id.hex():
                open_data_key(keys, bytes.fromhex(parsed[0]), data)
        except (Corrupt, Unsupported) as error:
            for snapshot in touched or [""]:
                check.blame(name, "altered", str(error), snapshot)


def _check_fragments(repository: Repository, check: _Check) -> None:
    for name in check.sizes:
        fragment_id = names.parse_fragment(name)
        if fragment_id is None:
            continue
        data = _read(check, name)
        if data is None:
            continue
        try:
            packs = open_fragment(repository.writing_keys(), fragment_id, data)
        except (Corrupt, Unsupported) as error:
            check.blame(name, "altered", f"{error}; the index can be rebuilt from the packs")
            continue
        for packed in packs:
            pack_name = names.pack(packed.pack_id.hex())
            if pack_name not in check.sizes:
                check.blame(pack_name, "missing", "an index fragment names it")


def _check_packs(check: _Check, proof: PackProof, percent: float, progress: ProgressCallback, run_id: str) -> None:
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


def _read_pack(check: _Check, proof: PackProof, name: str) -> tuple[str, str] | None:
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


def _data_key(repository: Repository, replicas: Sequence[Replica], key_id: str) -> DataKey:
    last: FarshoreError = ObjectNotFound(f"no replica holds data key {key_id}")
    for replica in replicas:
        try:
            return read_data_key(repository, replica, key_id)
        except FarshoreError as error:
            last = error
    raise last


def _blame_pack(check: _Check, name: str, code: str, detail: str) -> None:
    pack_id = names.parse_pack(name)
    touched = [snapshot for snapshot, needs in check.needs.items() if any(pack_id == one for one, _ in needs.packs)]
    for snapshot in touched or [""]:
        check.blame(name, code, detail, snapshot)


def _check_audit(repository: Repository, check: _Check) -> None:
    """Follow the signed chain of audit files and hash each of them."""
    seals: list[tuple[str, bytes]] = []
    for name in check.sizes:
        if name.startswith(audit_names.SEALS):
            data = _read(check, name)
            seals += [(name, data)] if data is not None else []
    store = check.replica.store
    files = {info.name: info.size for info in store.list(audit_names.AUDIT)}
    public_key = bytes.fromhex(repository.header.audit_public)
    for finding in chain.verify_seals(seals, public_key, files, store.get):
        code = "missing" if finding.code.startswith("missing") else "altered"
        check.blame(finding.object, code, f"audit evidence: {finding.detail}")


def _hash(check: _Check, name: str, size: int, snapshot: str) -> str | None:
    """Hash an object in pieces: a manifest of millions of entries is larger than all else in memory."""
    digest = blake3()
    for start in range(0, size, _PIECE_BYTES):
        part = (start, min(_PIECE_BYTES, size - start)) if size > _PIECE_BYTES else (0, None)
        data = _read(check, name, snapshot, part=part)
        if data is None:
            return None
        digest.update(data)
    return digest.hexdigest()


def _read(check: _Check, name: str, *touched: str, part: tuple[int, int | None] = (0, None)) -> bytes | None:
    try:
        data = check.replica.store.get(name, *part)
    except (NotFound, Corrupt) as error:
        code = "missing" if isinstance(error, NotFound) else "altered"
        for snapshot in touched or ("",):
            check.blame(name, code, str(error), snapshot)
        return None
    check.bytes_read += len(data)
    return data


def _state(bad: Sequence[DamagedObject]) -> str:
    if not bad:
        return "ok"
    return UNREACHABLE if all(one.code == UNREACHABLE for one in bad) else "damaged"


def _snapshots_of(check: _Check) -> tuple[str, ...]:
    return tuple(commit.snapshot for commit in check.commits[: limits.PROBLEMS_KEPT_MAX])


def _record(
    repository: Repository, result: VerifyResult, checks: Sequence[_Check], engine: str, flow_run_id: str
) -> None:
    state = "completed" if result.clean else "completed-with-warnings"
    rows: list[AuditRow] = [
        auditing.run_row(
            run_id=result.run_id, engine=engine, operation="verify", started_utc=result.started_utc,
            finished_utc=result.finished_utc, state=state, flow_run_id=flow_run_id,
        )
    ]  # fmt: skip
    seen = {check.replica.name: check for check in checks}
    for name in result.replicas:
        check = seen.get(name)
        bad = [one for one in result.damaged if one.replica == name]
        shared: dict[str, Any] = {
            "run_id": result.run_id, "engine": engine, "check_id": result.run_id, "replica": name,
            "started_utc": result.started_utc, "finished_utc": result.finished_utc,
        }  # fmt: skip
        rows.append(
            CheckRow(
                state=_state(bad),
                snapshot_ids=_snapshots_of(check) if check else (),
                objects_checked=check.objects if check else 0,
                damaged=len(bad),
                bytes_read=check.bytes_read if check else 0,
                read_data_percent=result.read_data_percent,
                **shared,
            )
        )
        for one in bad:
            paths = tuple(path.decode("utf-8", "backslashreplace") for path in one.paths)
            rows.append(
                CheckRow(
                    object=one.name, state=one.code, detail=one.detail, snapshot_ids=one.snapshots,
                    paths_total=one.paths_total, paths=paths, **shared,
                )
            )  # fmt: skip
    auditing.record(repository, result.run_id, rows)

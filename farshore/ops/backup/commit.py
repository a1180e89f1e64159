"""Commit: copy to each replica the objects of the snapshot that it lacks, decide, put the commit, and read it back.

Steps W5 to W7 of docs/reference/format.md, section 6; `lease_steps.py` has those before. No replica is decided before a
quorum has everything; what is decided at a replica is finished there, by this run or by the next that finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from farshore.audit.rows import ObjectKind
from farshore.audit.run_rows import WrittenObject
from farshore.catalog.condemned import refuse_condemned
from farshore.catalog.data_keys import HEADS_MAX
from farshore.catalog.extend_locks import LockExtender
from farshore.catalog.fold_fragments import Fold, fold_own
from farshore.catalog.inventory import Inventory, copy_missing
from farshore.catalog.kept_runs import give_run
from farshore.catalog.needs import NeededObject, objects_of
from farshore.clock import Clock
from farshore.errors import Bug, Conflict, Failure, FarshoreError, StateUnknown, Unavailable
from farshore.format import names
from farshore.format.commit import Commit, RunRef
from farshore.format.names import object_bytes_max, parse_run
from farshore.format.needs import Needs
from farshore.format.object_kinds import Kind
from farshore.ops.backup.adopt import AdoptedPacks, adopt_packs
from farshore.ops.backup.clock_checks import check_service_clock
from farshore.replicas.fanout import Fanout
from farshore.replicas.lease_holder import LeaseHolder
from farshore.replicas.repository import Replica, Repository
from farshore.results import ReplicaOutcome


class Committer:
    """Commits one snapshot at the replicas of one run. Repeatable: steps that are done are found done."""

    def __init__(
        self,
        *,
        repository: Repository,
        fanout: Fanout,
        inventory: Inventory,
        lease: LeaseHolder,
        unleased: Mapping[str, FarshoreError],
        condemned: Collection[str],
        locks: LockExtender,
        clock: Clock,
    ) -> None:
        self._repository = repository
        self._fanout = fanout
        self._inventory = inventory
        self._lease = lease
        self._condemned = condemned
        self._locks = locks
        self._clock = clock
        self._promised: dict[str, datetime] = {}
        self._put: dict[str, set[str]] = {name: set() for name in repository.replicas}
        self._copied: dict[str, int] = {}
        self.checksums: dict[str, dict[str, str]] = {name: {} for name in repository.replicas}  # as providers gave them
        self._adopted: AdoptedPacks | None = None
        self._fold: Fold | None = None
        self._signed: tuple[Commit, bytes] | None = None
        self._before = {name: _requests(repository, name) for name in repository.replicas}
        self.unleased = dict(unleased)
        self.reused: Sequence[NeededObject] = ()  # what the snapshot needs of earlier runs

    @property
    def made(self) -> WrittenObject:
        """The commit as an object of this run."""
        commit, stored = self._require_signed()
        return WrittenObject(commit.name, ObjectKind.COMMIT, len(stored), commit.hash)

    @property
    def adopted(self) -> list[WrittenObject]:
        """Objects of killed runs that this snapshot reuses: packs, their keys, and the fragment that names them now."""
        return self._adopted.objects if self._adopted else []

    @property
    def folded(self) -> list[WrittenObject]:
        """The index fragment that holds the packs of earlier ones from now on, where there is one."""
        if self._fold is None:
            return []
        body = self._fold.body
        return [WrittenObject(self._fold.name, ObjectKind.INDEX, len(body), names.hash_of(body))]

    def put_at(self, replica: str) -> set[str]:
        """Names of objects that committing put at a replica."""
        return self._put[replica]

    def commit(
        self,
        commit: Commit,
        stored: bytes,
        needs: Needs,
        made: Sequence[WrittenObject],
        files: Mapping[str, Path],
    ) -> tuple[ReplicaOutcome, ...]:
        """Return the outcome at every configured replica.

        Args:
            commit: Signed; `stored` are its bytes.
            needs: By all runs that the commit names.
            files: Files of this host that may be copies of runs of earlier snapshots, by their names.

        Raises:
            QuorumNotReached: Fewer replicas than the quorum hold everything, or were read back.
            StateUnknown: The snapshot needs what a plan to delete condemns, so it is committed nowhere.
        """
        refuse_condemned((one.name for one in objects_of(commit, needs)), self._condemned)
        reused = self._reused(commit, needs, made)
        self._signed = commit, stored
        self._adopted = self._adopted or adopt_packs(self._repository, self._inventory, needs)
        if any(one.kind is ObjectKind.INDEX for one in made):  # a run that stores nothing new folds nothing
            self._fold = self._fold or fold_own(self._repository, self._inventory, self._condemned)
        errors: dict[str, FarshoreError] = {}
        finished = [name for name in self._repository.replicas if self._finished(name)]
        with ThreadPoolExecutor(max(len(finished), 1), thread_name_prefix="commit") as pool:
            prepared = {name: pool.submit(self._prepare, name, needs, made, reused, files, commit) for name in finished}
            ready = [name for name, future in prepared.items() if _succeeded(name, future.result, errors)]
            self._require(ready, errors)
            written = {name: pool.submit(self._write, name) for name in ready}
            committed = [name for name, future in written.items() if _succeeded(name, future.result, errors)]
            self._require(committed, errors)
        self.reused = reused
        return tuple(self._outcome(name, name in committed, errors) for name in self._repository.configured)

    def _prepare(
        self,
        name: str,
        needs: Needs,
        made: Sequence[WrittenObject],
        reused: Sequence[NeededObject],
        files: Mapping[str, Path],
        commit: Commit,
    ) -> None:
        """Ask this replica again for everything the snapshot needs, new and reused, and copy there what it lacks."""
        replica = self._repository.replicas[name]
        check_service_clock(replica)
        others = [other for other in self._repository.replicas.values() if other.name != name]
        key_names = [one.name for one in reused if one.kind is Kind.DATA_KEY]
        self._look_ahead(replica, key_names, reused, made)
        checksums = self.checksums[name]
        self._copied[name] = copy_missing(
            replica, others, self._inventory, needs.pack_sizes, key_names, checksums,
            head_objects_max=self._repository.backup_sizes.head_objects_max,
        )  # fmt: skip
        for one in reused:
            if one.kind is Kind.RUN:
                ref = RunRef(parse_run(one.name) or "", one.size or 0)
                self._copied[name] += give_run(self._repository, replica, others, ref, checksums, files)
        for item in made:
            if item.kind is ObjectKind.PACK:
                continue
            info = replica.store.head(item.name)
            checksums[item.name] = info.checksum
            if info.size != item.bytes:
                raise StateUnknown(f"{name} acknowledged {item.name} and holds another size of it")
        if self._adopted is not None:
            replica.store.put(self._adopted.fragment, self._adopted.body)
            self._put[name].add(self._adopted.fragment)
        if self._fold is not None and name in self._fold.replicas:
            replica.store.put(self._fold.name, self._fold.body)
            self._put[name].add(self._fold.name)
        if name in commit.locks:
            new = [item.name for item in made] + [item.name for item in self.folded if item.name in self._put[name]]
            self._locks.extend(replica, commit.locks[name], reused=reused, made=new)
            self._promised[name] = commit.locks[name].until_utc

    def _look_ahead(
        self, replica: Replica, key_names: Sequence[str], reused: Sequence[NeededObject], made: Sequence[WrittenObject]
    ) -> None:
        """Have a service look at all small objects of the snapshot at once, while its packs are looked at."""
        heads = [one.name for one in reused if one.kind is Kind.RUN]
        heads += [one.name for one in made if one.kind is not ObjectKind.PACK]
        heads += key_names if len(key_names) <= HEADS_MAX else ()
        self._repository.ask_ahead(heads=heads, replicas=[replica], again=True)

    def _write(self, name: str) -> None:
        commit, body = self._require_signed()
        store = self._repository.replicas[name].store
        self._lease.commit(name, body)  # W6: from here on the commit counts; W7 below may be late, or another's
        lost: FarshoreError | None = None
        try:
            store.put(commit.name, body)
        except (Unavailable, Conflict) as error:
            lost = error  # a lost reply looks like a lost race: what is there now decides
        limit = object_bytes_max(commit.name)
        try:
            there = store.get(commit.name, bytes_max=limit)
            if there != body:  # an answer that was cut says nothing of what is there
                there = store.get(commit.name, bytes_max=limit)
        except FarshoreError as error:
            raise lost or error from error
        if there != body:
            raise StateUnknown(f"{name} does not return the commit as it was written")
        self._put[name].add(commit.name)

    def _require_signed(self) -> tuple[Commit, bytes]:
        if self._signed is None:
            raise Bug("there is no commit yet")
        return self._signed

    def _reused(self, commit: Commit, needs: Needs, made: Sequence[WrittenObject]) -> list[NeededObject]:
        """Return the objects that a snapshot needs and this run did not make."""
        new = {item.name for item in made} | {commit.name}
        return [one for one in objects_of(commit, needs) if one.name not in new]

    def _finished(self, name: str) -> bool:
        return name not in self.unleased and self._fanout.finished(name)

    def _error_of(self, name: str, errors: dict[str, FarshoreError]) -> Failure | None:
        if name in errors:
            return errors[name]
        if name in self._repository.unreachable:
            return self._repository.unreachable[name]
        if name in self.unleased:
            return self.unleased[name]
        return self._fanout.error_of(name)

    def _outcome(self, name: str, committed: bool, errors: dict[str, FarshoreError]) -> ReplicaOutcome:  # noqa: FBT001
        if name not in self._repository.replicas or name in self.unleased:
            error = self._error_of(name, errors)
            return ReplicaOutcome(
                name, committed=False, error_code=error.code if error else "left-behind", error=str(error or "")
            )
        sent = self._fanout.acknowledged(name)
        error = None if committed else self._error_of(name, errors)
        return ReplicaOutcome(
            replica=name,
            committed=committed,
            bytes_sent=sum(size for _, size in sent) + self._copied.get(name, 0),
            objects_sent=len(sent) + len(self._put[name]),
            requests=_requests(self._repository, name) - self._before[name],
            error_code="" if committed else (error.code if error else "left-behind"),
            error="" if committed else str(error or "left behind"),
            locked_until_utc=self._promised.get(name) if committed else None,
            locks_extended=self._locks.extended.get(name, 0),
        )

    def _require(self, ready: list[str], errors: dict[str, FarshoreError]) -> None:
        if len(ready) >= self._repository.quorum:
            return
        reasons = {
            name: self._error_of(name, errors) or "left behind"
            for name in self._repository.configured
            if name not in ready
        }
        raise self._repository.too_few(len(ready), "hold everything", reasons)


def _succeeded(name: str, result: Callable[[], None], errors: dict[str, FarshoreError]) -> bool:
    try:
        result()
    except FarshoreError as error:
        errors[name] = error
        return False
    return True


def _requests(repository: Repository, name: str) -> int:
    return sum(repository.replicas[name].meter.snapshot().requests.values())

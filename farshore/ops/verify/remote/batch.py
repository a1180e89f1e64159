"""Judging a batch of names: all questions are asked at once, then each object is judged at each replica."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from farshore import limits
from farshore.audit.cached_query import tables_at
from farshore.audit.evidence import read_evidence
from farshore.audit.names import seal_name
from farshore.audit.rows import Against, ProofState
from farshore.errors import FarshoreError, ObjectNotFound
from farshore.format import names
from farshore.format.object_kinds import Kind
from farshore.ops.verify.remote.joining import Joined
from farshore.ops.verify.remote.judging import Verdict, judge
from farshore.ops.verify.remote.replica_scrub import ReplicaScrub
from farshore.repair.object_checks import check_itself
from farshore.repair.object_kinds import is_ignored, kind_of
from farshore.replicas.repository import Repository
from farshore.stores.base import ObjectInfo

_SELF_CHECKED = (Kind.HEADER, Kind.ACCEPTED, Kind.LOG, Kind.SLOT)  # few, small, and sound by what they say themselves
_AUDIT = (Kind.AUDIT_FILE, Kind.SEAL)


class BatchJudge:
    """Judges names of all replicas that are at work. One thread; asks with many."""

    def __init__(self, scrubs: Mapping[str, ReplicaScrub], repository: Repository, started_utc: datetime) -> None:
        self._scrubs = scrubs
        self._repository = repository
        self._started_utc = started_utc

    def judge(self, batch: Sequence[Joined], pools: Mapping[str, ThreadPoolExecutor]) -> None:
        """Judge each name of a batch at each replica. A replica that stops answering is left out from there on."""
        futures = {
            name: scrub.ask(self._wanted(scrub, batch), pools[name])
            for name, scrub in self._scrubs.items()
            if scrub.error is None
        }
        absent: dict[str, set[str]] = {name: set() for name in self._scrubs}
        for name, asked in futures.items():
            scrub = self._scrubs[name]
            by_name = {one.name: one for one in batch}
            for object_name, future in asked.items():
                info = scrub.answer(future)
                if scrub.error is not None:
                    break
                one = by_name[object_name]
                if name not in one.listed and info is not None and not self._is_new(info):
                    scrub.listing_complete = False  # it is there when asked for, and was not listed
                if info is None:
                    one.listed.pop(name, None)
                    absent[name].add(object_name)
                else:
                    one.listed[name] = info
        for one in batch:
            for name, scrub in self._scrubs.items():
                if scrub.error is None:
                    self._judge_one(scrub, one, absent[name])

    def _is_new(self, info: ObjectInfo) -> bool:
        """Whether an object was put since the check began, so that a listing need not have it."""
        return info.modified_utc is not None and info.modified_utc >= self._started_utc

    def _wanted(self, scrub: ReplicaScrub, batch: Sequence[Joined]) -> list[str]:
        """Return the names to ask a replica for: objects its listing lacks, and those it lists without a checksum."""
        wanted: list[str] = []
        for one in batch:
            if (info := one.listed.get(scrub.name)) is None:
                if _expects(scrub, one) and scrub.may_ask_absent():
                    wanted.append(one.name)
            elif self._asks_checksum(scrub, one, info):
                wanted.append(one.name)
        return wanted

    def _asks_checksum(self, scrub: ReplicaScrub, one: Joined, info: ObjectInfo) -> bool:
        capabilities = scrub.replica.store.capabilities
        if info.checksum or not capabilities.checksum or capabilities.checksum_listed:
            return False
        kind = kind_of(one.name)
        if kind is None or kind in _SELF_CHECKED:
            return False
        if one.record is not None and one.record.made:
            return one.record.bytes is None or one.record.bytes == info.size
        return any(  # only other replicas can show what it must be
            other.name in one.listed and other.algorithm == scrub.algorithm
            for other in self._scrubs.values()
            if other is not scrub
        )

    def _judge_one(self, scrub: ReplicaScrub, one: Joined, absent: set[str]) -> None:
        info = one.listed.get(scrub.name)
        if is_ignored(one.name):
            if info is not None:
                scrub.note_lease(info)
            return
        last = one.record.last_state(scrub.name) if one.record else ProofState.OK
        if info is None:
            self._judge_absent(scrub, one, last, asked=one.name in absent)
            return
        scrub.reports_checksums = scrub.reports_checksums or bool(info.checksum)
        kind = kind_of(one.name)
        if kind is None:
            _count_foreign(scrub, one.name, info, last)
        elif kind in _SELF_CHECKED:
            self._check_itself(scrub, one.name, kind, info, last)
        else:
            self._judge_listed(scrub, one, kind, info, last)

    def _judge_absent(self, scrub: ReplicaScrub, one: Joined, last: str, *, asked: bool) -> None:
        if asked:
            scrub.note(one.name, Verdict(ProofState.MISSING, Against.SENT, "it is not there"), None, last)
        elif not _expects(scrub, one):
            if last == ProofState.FOREIGN:
                scrub.note(one.name, Verdict(ProofState.OK, Against.NOTHING, "it is gone"), None, last)
        elif scrub.listing_complete:
            scrub.note(one.name, Verdict(ProofState.MISSING, Against.SENT, "it is not listed"), None, last)
        else:
            scrub.unproven += 1  # the listing omits existing objects, so it proves nothing

    def _judge_listed(self, scrub: ReplicaScrub, one: Joined, kind: Kind, info: ObjectInfo, last: str) -> None:
        peers = {name: other for name, other in one.listed.items() if name != scrub.name}
        recorded = one.record is not None and one.record.made
        verdict = judge(scrub.name, info, one.record if recorded else None, peers, scrub.algorithm)
        if verdict.damaged:
            scrub.note(one.name, verdict, info, last)
        elif kind in _AUDIT or not recorded:
            scrub.unrecorded += kind not in _AUDIT
            scrub.proven += kind in _AUDIT and verdict.state is ProofState.OK
            scrub.audit_unproven += kind in _AUDIT and verdict.state is not ProofState.OK
            if last != ProofState.OK:  # no row said that it was made, but one that it was not sound
                scrub.note(one.name, verdict, info, last)
        elif verdict.silent and len(scrub.silent) < limits.PROBLEMS_KEPT_MAX:
            scrub.silent.append((one.name, info, last))
        else:
            scrub.proven += verdict.state is ProofState.OK
            scrub.unproven += verdict.state is not ProofState.OK
            scrub.note(one.name, verdict, info, last)

    def _check_itself(self, scrub: ReplicaScrub, name: str, kind: Kind, info: ObjectInfo, last: str) -> None:
        scrub.slots += kind is Kind.SLOT
        try:
            data = scrub.read(name)
            if data is not None:
                check_itself(name, data, self._repository)
        except FarshoreError as error:
            if error.retryable:
                scrub.error = error
                return
            scrub.note(name, Verdict(ProofState.ALTERED, Against.NAME, str(error)), info, last)
            return
        if data is None:
            scrub.note(name, Verdict(ProofState.MISSING, Against.NAME, "it is listed and cannot be read"), None, last)
            return
        scrub.proven += 1

    def finish(self, scrub: ReplicaScrub) -> None:
        """Judge what can be seen only from the whole of a replica."""
        scrub.settle_silent()
        self._check_chains(scrub)
        if not scrub.slots:
            detail = "there is no key slot, so this replica alone cannot be unlocked"
            scrub.note(names.SLOTS, Verdict(ProofState.MISSING, Against.NAME, detail), None, ProofState.OK)

    def _check_chains(self, scrub: ReplicaScrub) -> None:
        """Each seal that counts names the one before it; one that the listing lacks is asked for."""
        at = tables_at(self._repository, scrub.replica)
        try:
            evidence = read_evidence(at.store, at.cache_dir, at.repository_id, at.authority)
            listed = {place.hash for place in evidence.listed}
            for seal in evidence.counted.seals.values():
                if seal.previous and seal.previous not in listed:
                    self._check_seal(scrub, seal_name(seal.chain, seal.sequence - 1, seal.previous))
        except FarshoreError as error:
            if not error.retryable:
                raise
            scrub.error = error

    def _check_seal(self, scrub: ReplicaScrub, name: str) -> None:
        try:
            scrub.replica.store.head(name)
            scrub.listing_complete = False
        except ObjectNotFound:
            detail = "a later seal of the same chain is there"
            scrub.note(name, Verdict(ProofState.MISSING, Against.NAME, detail), None, ProofState.OK)


def _expects(scrub: ReplicaScrub, one: Joined) -> bool:
    return one.record is not None and bool(one.record.expected) and scrub.name in (one.record.expected or {})


def _count_foreign(scrub: ReplicaScrub, name: str, info: ObjectInfo, last: str) -> None:
    scrub.foreign += 1
    if len(scrub.foreign_names) < limits.SCRUB_SHOWN_MAX:
        scrub.foreign_names.append(name)
    scrub.note(name, Verdict(ProofState.FOREIGN, Against.NOTHING, "it is no object of a repository"), info, last)

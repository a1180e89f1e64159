"""Sign what a reading shows of packs: those that are proved, which others may reuse now, and those that are bad."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import TypeVar

from farshore import limits
from farshore.catalog.verdicts import Verdicts, may_prove, may_quarantine, read_verdicts
from farshore.errors import FarshoreError
from farshore.format import names
from farshore.format.needs import NeededKey
from farshore.format.verdict import SUBJECT, Verdict, encode_verdict
from farshore.ops.verify.findings import ReplicaCheck
from farshore.replicas.put_all import put_all
from farshore.replicas.repository import Repository
from farshore.replicas.signed_texts import sign_text
from farshore.sealed.check_pack import PackChecker
from farshore.signing import SignedKind

Row = TypeVar("Row")
REASON = "read whole by a verify"
QUARANTINED = "quarantined"  # a reason for which an object is refused


class VerdictWriter:
    """Writes verdicts at all replicas while packs are read, as far as this host's key has the right. One thread.

    Only what no verdict says yet is written: the second reading of a pack adds nothing.
    """

    def __init__(self, repository: Repository, proof: PackChecker) -> None:
        self._repository = repository
        self._proof = proof
        keys, trust = repository.writing_keys(), repository.trust
        signer = keys.signing_key.signer_id if keys.signing_key else ""
        self._proves, self._accuses = may_prove(trust, signer, ""), may_quarantine(trust, signer, "")
        self._known = read_verdicts(repository) if self._accuses else Verdicts()
        self._quarantined = set(self._known.quarantined)
        self.proven = 0
        self.quarantined: list[bytes] = []

    def try_write(self) -> None:
        """Write what was found since the last call. A replica that is away gets it from a heal.

        Where no replica accepts it, `repository.unrecorded` says why, and the next reading of the packs writes it.
        """
        found = self._proof.drain_findings()
        if not self._accuses:
            return
        proven = sorted(one for one in found.proven if one not in self._known.proven) if self._proves else []
        data_keys = sorted(one for one in found.data_keys if not self._knows(one)) if proven else []
        bad = sorted(found.bad - self._quarantined)
        try:
            for verdict in self._verdicts(proven, data_keys, bad):
                _put(self._repository, verdict)
        except FarshoreError as error:
            self._repository.unrecorded = error.message
            return
        self.proven += len(proven)
        self.quarantined += bad
        self._quarantined.update(bad)

    def refuse_quarantined(self, check: ReplicaCheck) -> None:
        """Note packs that were quarantined before, and that no snapshot needs, as refused: nothing good is damaged."""
        needed = {pack.pack_id for needs in check.needs.values() for pack in needs.packs}
        for pack_id in map(bytes.hex, self._known.quarantined):
            name = names.pack(pack_id)
            if name in check.damaged and pack_id not in needed:
                del check.damaged[name]
                check.note_refused({name: QUARANTINED})

    def _knows(self, key: NeededKey) -> bool:
        return key in self._known.data_keys.get(key.key_id, ())

    def _verdicts(
        self, proven: Sequence[bytes], data_keys: Sequence[NeededKey], bad: Sequence[bytes]
    ) -> Iterator[Verdict]:
        head = self._repository.trust.head
        log = (head.number, head.hash) if head else (0, "")
        for some in zip_longest(_parts(proven), _parts(data_keys), _parts(bad), fillvalue=()):
            yield Verdict(*some, (), REASON, self._repository.clock.now_utc(), log)


def _put(repository: Repository, verdict: Verdict) -> None:
    body = sign_text(repository.writing_keys(), SignedKind.VERDICT, SUBJECT, encode_verdict(verdict))
    name = names.verdict(names.hash_of(body))
    stores = {one.name: one.store for one in repository.replicas.values()}
    failed: dict[str, FarshoreError] = put_all(
        stores, [(name, body)], clock=repository.clock, first_bug=repository.first_bug
    )
    if len(failed) == len(stores):
        raise next(iter(failed.values()))


def _parts(rows: Sequence[Row]) -> Iterator[tuple[Row, ...]]:
    for start in range(0, len(rows), limits.VERDICT_ROWS_MAX):
        yield tuple(rows[start : start + limits.VERDICT_ROWS_MAX])

"""Verdicts on packs of all replicas together: which ones a reader has proved, and which ones are quarantined.

They decide on reuse and on nothing else: a quarantined pack stays needed, and a restore reads it like any other. Of a
revoked key those count that its revocation names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from farshore.catalog.signed_objects import holders_of, read_counting
from farshore.errors import FarshoreError, FormatTooNew, ObjectCorrupt
from farshore.format import names
from farshore.format.footers import PACK_ID_DTYPE
from farshore.format.needs import NeededKey
from farshore.format.verdict import SUBJECT, Verdict, decode_verdict
from farshore.index import ABSENT, IdRows
from farshore.model import KeyId
from farshore.replicas.repository import Replica, Repository
from farshore.replicas.signed_texts import CheckedText, SignatureChecker
from farshore.signing import SignedKind
from farshore.trust import Judgment, TrustState
from farshore.trust.actions import Right

Table = npt.NDArray[Any]
EMPTIED = "emptied by a rewrite"  # a reason to call a pack bad: nothing is wrong with it, and it is to go


class PackIds:
    """Ids of packs, 40 bytes each. Read-only."""

    def __init__(self, ids: Iterable[bytes] = ()) -> None:
        self._rows = IdRows(np.frombuffer(b"".join(ids), PACK_ID_DTYPE))

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, pack_id: bytes) -> bool:
        return bool(self.among(np.frombuffer(pack_id, PACK_ID_DTYPE))[0])

    def among(self, pack_ids: Table) -> npt.NDArray[np.bool_]:
        """Return for each of many ids whether it is one of these."""
        found: npt.NDArray[np.bool_] = self._rows.find(pack_ids) != ABSENT
        return found


@dataclass(frozen=True)
class Verdicts:
    """All verdicts that count. `quarantined`: by pack, the hashes of the verdicts that call it bad.

    `data_keys`: the objects that opened proven packs, by key id.
    """

    proven: PackIds = field(default_factory=PackIds)
    quarantined: Mapping[bytes, tuple[str, ...]] = field(default_factory=dict)
    data_keys: Mapping[KeyId, tuple[NeededKey, ...]] = field(default_factory=dict)

    def bad(self, pack_ids: Table) -> npt.NDArray[np.bool_]:
        """Return for each pack whether it is quarantined."""
        return np.array([one.tobytes() in self.quarantined for one in pack_ids] if self.quarantined else
                        np.zeros(len(pack_ids)), bool)  # fmt: skip


NO_VERDICTS = Verdicts()


def read_verdicts(repository: Repository) -> Verdicts:
    """Return the verdicts that count, as far as replicas can be asked: one listing of each, and what is new to read."""
    found, failed = list_verdicts(repository)
    repository.note_unasked(failed)
    return join_verdicts(found)


def list_verdicts(repository: Repository) -> tuple[dict[str, Verdict], dict[str, FarshoreError]]:
    """Return by name the verdicts that count, and the replicas that could not be listed."""
    listed, failed = repository.ask_all(
        lambda replica: [
            info.name for info in replica.store.list(names.VERDICTS) if names.parse_verdict(info.name) is not None
        ]
    )
    return read_verdict_objects(repository, holders_of(listed), repository.replicas), failed


def read_verdict_objects(
    repository: Repository, holders: Mapping[str, Iterable[str]], replicas: Mapping[str, Replica]
) -> dict[str, Verdict]:
    """Return by name the verdicts that count, each without what its signer has no right to say.

    Args:
        holders: Names, and the replicas that list each.
    """
    if not holders:
        return {}
    checker = SignatureChecker.of(repository)
    return read_counting(
        repository, holders, replicas, lambda name, data: _judge(checker, name, data), memory="void-verdicts"
    )


def join_verdicts(read: Mapping[str, Verdict]) -> Verdicts:
    """Return what verdicts say together."""
    data_keys: dict[KeyId, dict[NeededKey, None]] = {}
    for _, verdict in sorted(read.items()):
        for key in verdict.data_keys:
            data_keys.setdefault(key.key_id, {})[key] = None
    proven = PackIds(pack_id for verdict in read.values() for pack_id in verdict.proven)
    return Verdicts(proven, accusations(read), {key_id: tuple(found) for key_id, found in data_keys.items()})


def accusations(read: Mapping[str, Verdict]) -> dict[bytes, tuple[str, ...]]:
    """Return by pack the hashes of the verdicts that call it bad and that no verdict lifts, in order."""
    lifted = {one.hex() for verdict in read.values() for one in verdict.lifts}
    found: dict[bytes, tuple[str, ...]] = {}
    for name, verdict in sorted(read.items()):
        verdict_hash = names.parse_verdict(name) or ""
        for pack_id in verdict.bad if verdict_hash not in lifted else ():
            found[pack_id] = (*found.get(pack_id, ()), verdict_hash)
    return found


def emptied(read: Mapping[str, Verdict]) -> frozenset[bytes]:
    """Return the packs in quarantine only because a rewrite emptied them: nothing is wrong with them."""
    found = accusations(read)
    return frozenset(
        pack for pack, accusers in found.items() if all(read[names.verdict(one)].reason == EMPTIED for one in accusers)
    )


def may_prove(trust: TrustState, signer: str, verdict_hash: str) -> bool:
    """Whether what a signer says of proven packs counts: it may read, or it would speak of what it cannot see."""
    return trust.judge_word(signer, verdict_hash, Right.VERIFY, Right.RESTORE) is Judgment.ACCEPTED


def may_quarantine(trust: TrustState, signer: str, verdict_hash: str) -> bool:
    """Whether what a signer says of bad packs counts: that of readers and maintainers."""
    if may_prove(trust, signer, verdict_hash):
        return True
    return trust.judge_word(signer, verdict_hash, Right.MAINTAIN) is Judgment.ACCEPTED


def _judge(checker: SignatureChecker, name: str, data: bytes) -> Verdict | None:
    text = checker.check(SignedKind.VERDICT, name, data, SUBJECT)
    verdict = _decoded(text, name) if text is not None else None
    if text is None or verdict is None:
        return None
    verdict_hash, trust = names.hash_of(data), checker.trust()
    if not may_quarantine(trust, text.signer, verdict_hash):
        return None
    return verdict if may_prove(trust, text.signer, verdict_hash) else replace(verdict, proven=(), data_keys=())


def _decoded(text: CheckedText, name: str) -> Verdict | None:
    try:
        return decode_verdict(text.value, name)
    except (ObjectCorrupt, FormatTooNew):
        return None

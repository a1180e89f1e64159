"""Find snapshots that count and deserve a look: covered by no daily seal, or sealed to a wrong recipient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from farshore.audit.coverage import doubts_of_coverage
from farshore.audit.seals import Seal
from farshore.crypto import recipient_id
from farshore.errors import RecipientRetired
from farshore.format.commit import CommitHead
from farshore.model import DoubtedSnapshot
from farshore.ops.verify.findings import ReplicaCheck
from farshore.replicas.repository import Repository
from farshore.trust.recipients import sealed_to_wrong


def find_doubts(
    repository: Repository, checks: Sequence[ReplicaCheck], seals: Sequence[Seal] | None
) -> tuple[DoubtedSnapshot, ...]:
    """Return the doubts about all snapshots that count at some replica.

    Args:
        seals: Those that count, of all replicas; None where not all are known, so nothing is said of coverage.
    """
    found = list(_of_recipients(repository, checks))
    if seals is not None:
        stored_utc: dict[str, datetime] = {}
        for check in checks:
            for commit, moment in check.stored_utc.items():
                stored_utc[commit] = min(moment, stored_utc.get(commit, moment))
        heads = {commit.hash: commit for check in checks for commit in check.commits}
        found += doubts_of_coverage(
            heads.values(), seals, repository.trust, stored_utc=stored_utc, now_utc=repository.clock.now_utc()
        )
    return tuple(found)


def _of_recipients(repository: Repository, checks: Sequence[ReplicaCheck]) -> Iterator[DoubtedSnapshot]:
    seen: set[str] = set()
    for check in checks:
        for commit in check.commits:
            chosen = _recipients_of(repository, check, commit)
            if commit.hash in seen or not chosen:
                continue
            seen.add(commit.hash)
            recipients, known = repository.trust.recipients, commit.log[0]
            details = (
                sealed_to_wrong(recipients, one, log_number=known, started_utc=commit.started_utc) for one in chosen
            )
            detail = next((one for one in details if one), "")
            if detail:
                yield DoubtedSnapshot(RecipientRetired.code, commit.source_id, commit.snapshot, commit.hash, detail)


def _recipients_of(repository: Repository, check: ReplicaCheck, commit: CommitHead) -> list[str]:
    """Return the ids of the recipients of a run's own data key, without the readers of its domain alone.

    None where its needs could not be read.
    """
    needs = check.needs.get(commit.snapshot)
    if needs is None:
        return []
    readers = {recipient_id(one).hex() for one in repository.trust.readers_of(commit.domain, commit.epoch)}
    return [one.recipient for one in needs.data_keys if one.key_id == commit.data_key and one.recipient not in readers]

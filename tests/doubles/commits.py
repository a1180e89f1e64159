"""Commits as backups leave them, signed by whoever a test likes, and without the objects that they name."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from farshore.catalog.signed_commits import sign_commit
from farshore.format.commit import Commit, RunRef
from farshore.model import SnapshotCounts, SnapshotState
from farshore.replicas.repository import Repository
from farshore.sealed import KeySet
from farshore.signing import SigningKey


def unsigned_commit(repository: Repository, number: int, source: str = "home", **changes: Any) -> Commit:
    """Return the commit of a numbered night, which follows none."""
    head = repository.trust.head
    assert head is not None
    domain, now = repository.writing_keys().domain, repository.clock.now_utc()
    commit = Commit(
        snapshot=format(number, "032x"), source_id=repository.source_id(source), run="1" * 32, lease="3" * 32,
        domain=domain.domain, epoch=domain.epoch, parent="", parent_commit="", sequence=number + 1,
        started_utc=now - timedelta(seconds=1), committed_utc=now, state=SnapshotState.COMPLETE, data_key="2" * 32,
        runs={"manifest": (RunRef("a" * 64, 1),), "needs": (RunRef("b" * 64, 1),)}, log=(head.number, head.hash),
        source=source, kind="directory", identity=f"night {number}\n", farshore="0",
        counts=SnapshotCounts(entries=number), facts={"a": "\x85\u2028\r"},
    )  # fmt: skip
    return replace(commit, **changes)


def signed_commit(
    repository: Repository,
    number: int,
    source: str = "home",
    *,
    signer: SigningKey | None = None,
    keys: KeySet | None = None,
    **changes: Any,
) -> tuple[Commit, bytes]:
    """Return the commit of a numbered night and its stored bytes, signed by the keys at hand or another signer."""
    chosen = keys or repository.writing_keys()
    chosen = replace(chosen, signing_key=signer) if signer else chosen
    return sign_commit(
        chosen, unsigned_commit(repository, number, source, **changes), repository.clock.random_bytes(32)
    )

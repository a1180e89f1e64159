"""The chain of this host and one signer: its id, and what a new seal says beside the rows."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import field
from datetime import datetime, timedelta
from pathlib import Path

from farshore import limits
from farshore.audit import names
from farshore.audit.outbox import Head, RecordedNeeds
from farshore.audit.seals import Seal, SeenHeads
from farshore.clock import Clock
from farshore.host_resources import STATE, unusable
from farshore.model import dataclass
from farshore.signing import SigningKey
from farshore.trust.log_entry import LogHead

_CHAIN_ID = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class Sealer:
    """Who seals, and what the seals say beside the rows.

    `log`: the newest entry of the owner log that is known here. `seen`: the newest heads of others. `own_commits`: by
    hash the moments of the commits that this signer may vouch for, as far as listings showed them. `past`:
    fingerprints under which seals of this chain were signed before a new owner.
    """

    key: SigningKey
    fingerprint: bytes
    log: LogHead
    seen: SeenHeads = field(default_factory=SeenHeads)
    own_commits: Mapping[str, datetime] = field(default_factory=dict)
    past: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class MadeCommit:
    """A commit of this run, and the place of its source from which on rows say what it needs."""

    hash: str
    source_id: str
    snapshot_id: str
    needs_since: int


def changed_heads(before: Head, seen: SeenHeads, chain_id: str) -> SeenHeads:
    """Return the heads of others that the seals of this chain have not named yet."""
    return SeenHeads(
        {source: commit for source, commit in seen.sources.items() if before.sources.get(source) != commit},
        {
            chain: last
            for chain, last in seen.chains.items()
            if chain != chain_id and before.chains.get(chain) != tuple(last)
        },
    )


def left_out(before: Head, sealer: Sealer, now_utc: datetime) -> set[str]:
    """Return commits of late that no daily seal of this chain covers and that no run of this host counted as new.

    A run that died right before its end left such a commit, and so does a host that lost its record of the chain.
    """
    since = _covered_since(before, now_utc)
    return {one for one, moment in sealer.own_commits.items() if _day(moment) >= since} - before.covered.keys()


def _covered_since(before: Head, now_utc: datetime) -> str:
    last = datetime.fromisoformat(before.daily) if before.daily else now_utc
    return _day(last - timedelta(days=limits.COVERED_AGAIN_DAYS))


def _day(moment: datetime) -> str:
    return moment.date().isoformat()


def head_after(before: Head, seal: Seal, made: Collection[MadeCommit], sealer: Sealer) -> Head:
    """Return the head of the chain once this seal is in it."""
    daily = seal.covers is not None
    commits = [one.hash for one in made]
    covered = dict(before.covered)
    if seal.covers is not None:
        moments = {**dict.fromkeys(commits, seal.sealed_utc), **sealer.own_commits}
        newly = {one: _day(moments[one]) for one in seal.covers if one in moments}
        since = _covered_since(before, seal.sealed_utc)
        covered = {one: day for one, day in {**covered, **newly}.items() if day >= since}
    return Head(
        covered=covered,
        sequence=seal.sequence,
        digest=seal.hash,
        daily=seal.sealed_utc.date().isoformat() if daily else before.daily,
        uncovered=() if daily else (*(before.uncovered or ()), *commits, seal.hash),
        sources={**before.sources, **seal.heads.sources},
        chains={**before.chains, **seal.heads.chains},
        recorded={
            **before.recorded,
            **{one.source_id: RecordedNeeds(one.snapshot_id, one.needs_since) for one in made},
        },
    )


def chain_dir(state_dir: Path, repository_id: str, chain_id: str) -> Path:
    """Return the directory of the outbox of a chain of this host."""
    return state_dir / "audit" / repository_id / chain_id


def open_chain_id(state_dir: Path, repository_id: str, signer: str, clock: Clock) -> str:
    """Return the id of the chain of this host and this signer, made at random the first time.

    A host may have a writer's credential and a reader's passphrase, which are two signers. Safe to call from many
    processes at once: all get the same.

    Raises:
        ConfigInvalid: The state directory cannot be used.
    """
    directory = state_dir / "audit" / repository_id
    path = directory / f"chain-{signer}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if path.exists() and not _is_chain_id(path.read_text(encoding="latin-1"), signer):
            path.unlink()  # spoilt by a power cut: a new chain begins
        if not path.exists():
            fresh = directory / f"chain.{clock.random_bytes(8).hex()}"
            fresh.write_text(names.chain_id(signer, clock.random_bytes(8)), encoding="ascii")
            with suppress(FileExistsError):  # another process was first
                os.link(fresh, path)
            fresh.unlink()
        return path.read_text(encoding="ascii")
    except OSError as error:
        raise unusable(STATE, state_dir, error) from error


def _is_chain_id(text: str, signer: str) -> bool:
    return _CHAIN_ID.fullmatch(text) is not None and names.is_chain_of(text, signer)

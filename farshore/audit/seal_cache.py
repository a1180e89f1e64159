"""The facts that this host found about seals and audit files, so that it reads and verifies each once.

    <cache_dir>/audit/<repository id>/seals         one JSON object for all replicas; lost, it is made again

Kept are seals whose signature holds, names of objects that are no such seals and never will be, and what the rows of
files claim: operations and sources. Whether a seal or a file counts is never kept: it is judged each time, by the owner
log of that moment.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from farshore.audit.folds import Fold
from farshore.audit.rows import Claim
from farshore.audit.seals import Seal, SealedFile, SeenHeads
from farshore.host_resources import CACHE, unusable
from farshore.trust.log_entry import LogHead

_VERSION = 3


@dataclass
class SealCache:
    """Seals by hash; names of refused objects with code and reason; claims by name of a file.

    `claims`: None for a file whose bytes are no rows of its table, which its signer may have sealed all the same.
    """

    path: Path
    fingerprint: str
    seals: dict[str, Seal] = field(default_factory=dict)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    claims: dict[str, tuple[Claim, ...] | None] = field(default_factory=dict)
    changed: bool = False

    def save(self) -> None:
        """Write what was added, by a rename; of two processes the last one's stays, and the other reads again.

        Raises:
            StoreFull, ConfigInvalid: The cache directory has no space or cannot be used.
        """
        if not self.changed:
            return
        value = {
            "version": _VERSION,
            "fingerprint": self.fingerprint,
            "seals": [_encode(seal) for seal in self.seals.values()],
            "refused": self.refused,
            "claims": self.claims,
        }
        fresh = self.path.with_name(f".{self.path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps(value, separators=(",", ":")), encoding="utf-8")
            fresh.replace(self.path)
        except OSError as error:
            raise unusable(CACHE, self.path.parent, error) from error
        self.changed = False


def open_seal_cache(cache_dir: Path, repository_id: str, fingerprint: bytes) -> SealCache:
    """Return what is kept of a repository; nothing where there is none of this fingerprint, or it is spoilt."""
    empty = SealCache(cache_dir.absolute() / "audit" / repository_id / "seals", fingerprint.hex())
    try:
        value = json.loads(empty.path.read_text(encoding="utf-8"))
        if (value["version"], value["fingerprint"]) != (_VERSION, empty.fingerprint):
            return empty
        return SealCache(
            empty.path,
            empty.fingerprint,
            {seal.hash: seal for seal in map(_decode, value["seals"])},
            {name: (code, detail) for name, (code, detail) in value["refused"].items()},
            {
                name: None if found is None else tuple(Claim(*one) for one in found)
                for name, found in value["claims"].items()
            },
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return empty


def _encode(seal: Seal) -> list[Any]:
    return [
        seal.hash, seal.signer, seal.chain, seal.sequence, seal.previous, seal.run_id, seal.sealed_utc.isoformat(),
        [[file.name, file.bytes, file.blake3] for file in seal.files],
        [seal.log.number, seal.log.hash], dict(seal.heads.sources), dict(seal.heads.chains),
        None if seal.covers is None else list(seal.covers), None if seal.fold is None else _encode_fold(seal.fold),
    ]  # fmt: skip


def _decode(value: list[Any]) -> Seal:
    digest, signer, chain, sequence, previous, run_id, sealed, files, log, sources, chains, covers, fold = value
    return Seal(
        chain, sequence, previous, run_id, datetime.fromisoformat(sealed),
        tuple(SealedFile(*file) for file in files), LogHead(*log),
        SeenHeads(sources, {one: (last[0], last[1]) for one, last in chains.items()}),
        None if covers is None else tuple(covers), None if fold is None else _decode_fold(fold), digest, signer,
    )  # fmt: skip


def _encode_fold(fold: Fold) -> list[Any]:
    return [fold.chain, fold.first, fold.previous, list(fold.seals), list(fold.kept), fold.expired]


def _decode_fold(value: list[Any]) -> Fold:
    chain, first, previous, seals, kept, expired = value
    return Fold(chain, first, previous, tuple(seals), tuple(kept), expired)

"""The facts that this host found about seals and audit files, so that it reads and verifies each once.

    <cache_dir>/audit/<repository id>/seals         one JSON object for all replicas; lost, it is made again
    <cache_dir>/audit/<repository id>/seals-folded  likewise of seals that a fold replaces: read where one is listed

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

_VERSION = 4


@dataclass
class SealCache:
    """Seals by hash; names of refused objects with code and reason; claims by name of a file.

    `unreadable`: names that were not what they say when they were last read, so that all others are read before them.
    `claims`: None for a file whose bytes are no rows of its table, which its signer may have sealed all the same.
    """

    path: Path
    fingerprint: str
    seals: dict[str, Seal] = field(default_factory=dict)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    claims: dict[str, tuple[Claim, ...] | None] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    changed: bool = False
    folded: frozenset[str] = frozenset()
    _folded_read: bool = False

    def read_folded(self) -> None:
        """Add the seals that folds replace, which a replica that still has them needs."""
        if not self._folded_read:
            self._folded_read = True
            self.seals = _read_seals(self._folded_path, self.fingerprint) | self.seals

    @property
    def _folded_path(self) -> Path:
        return self.path.with_name("seals-folded")

    def fold(self, replaced: frozenset[str]) -> None:
        """Have these seals kept apart, so that years of them are not read with each question."""
        if self.seals.keys() & replaced and not self._folded_read:
            self.read_folded()
            self.changed = True
        self.folded = replaced

    def save(self) -> None:
        """Write what was added, by a rename; of two processes the last one's stays, and the other reads again.

        Raises:
            StoreFull, ConfigInvalid: The cache directory has no space or cannot be used.
        """
        if not self.changed:
            return
        folded = [_encode(seal) for seal in self.seals.values() if seal.hash in self.folded]
        if folded:  # first, so that none is in neither
            self._write(self._folded_path, {"seals": folded})
        live = [_encode(seal) for seal in self.seals.values() if seal.hash not in self.folded]
        facts = {"refused": self.refused, "claims": self.claims, "unreadable": sorted(self.unreadable)}
        self._write(self.path, {"seals": live, **facts})
        self.changed = False

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        value = {"version": _VERSION, "fingerprint": self.fingerprint, **content}
        fresh = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps(value, separators=(",", ":")), encoding="utf-8")
            fresh.replace(path)
        except OSError as error:
            raise unusable(CACHE, path.parent, error) from error


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
            set(map(str, value["unreadable"])),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return empty


def _read_seals(path: Path, fingerprint: str) -> dict[str, Seal]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if (value["version"], value["fingerprint"]) != (_VERSION, fingerprint):
            return {}
        return {seal.hash: seal for seal in map(_decode, value["seals"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


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

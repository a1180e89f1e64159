"""Commits and needs, read by docs/reference/format.md, section 5, alone: part of `second_reader.py`."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3
from second_trust import Json, PublicKey, Trust, public_key, split


@dataclass(frozen=True)
class Needs:
    """What a snapshot needs, in hex and bytes."""

    packs: list[tuple[str, int, set[int] | None]]  # id, size, the segments in use; None: all
    data_keys: list[tuple[str, str, str]]  # key id, recipient id, hash
    fragments: list[tuple[str, int]]


def read_needs(data: bytes) -> Needs:
    magic, version, *counts = struct.unpack_from("<4sB3xIII", data)
    if (magic, version) != (b"FSND", 1):
        raise ValueError("these are no needs")
    at, packs = 20, []
    for _ in range(counts[0]):
        pack_id, size, segments = struct.unpack_from("<32sIH", data, at)
        at += 38 + -(-segments // 8)
        bits = int.from_bytes(data[at - -(-segments // 8) : at], "little")
        if bits >> segments:
            raise ValueError("needs name a segment that is not there")
        packs.append((pack_id.hex(), size, {one for one in range(segments) if bits >> one & 1} if segments else None))
    keys: list[tuple[str, str, str]] = []
    for _ in range(counts[1]):
        key_id, recipient, digest = (one.hex() for one in struct.unpack_from("<16s16s32s", data, at))
        keys.append((key_id, recipient, digest))
        at += 64
    fragments: list[tuple[str, int]] = []
    for _ in range(counts[2]):
        digest, size = struct.unpack_from("<32sQ", data, at)
        fragments.append((digest.hex(), size))
        at += 40
    if at != len(data) or any(one != sorted(set(one)) for one in ([pack[0] for pack in packs], keys, fragments)):
        raise ValueError("needs are not in order, or longer than their tables")
    return Needs(packs, keys, fragments)


def unite(parts: list[Needs]) -> Needs:
    """Return what several runs name together; a pack that one names whole is whole."""
    packs: dict[str, tuple[str, int, set[int] | None]] = {}
    for pack_id, size, used in (pack for part in parts for pack in part.packs):
        before = packs.get(pack_id, (pack_id, size, set()))[2]
        packs[pack_id] = (pack_id, size, None if used is None or before is None else before | used)
    keys = sorted({one for part in parts for one in part.data_keys})
    return Needs([packs[one] for one in sorted(packs)], keys, sorted({one for part in parts for one in part.fragments}))


def read_commits(root: Path, trust: Trust) -> tuple[list[Json], list[str]]:
    """Return the public part of each commit that counts, with `hash` and `signer`, and the names of the others."""
    found, refused = [], []
    for path in sorted(root.glob("snapshots/*/*")):
        name = str(path.relative_to(root))
        match = re.fullmatch("(snapshots/([0-9a-f]{32})/([0-9a-f]{32}))-([0-9a-f]{64})", name)
        if match is None:
            continue
        try:
            found.append(read_commit(path.read_bytes(), trust, *match.groups()))
        except (ValueError, KeyError, TypeError) as error:
            refused.append(f"{name}: {error}")
    return found, refused


def read_commit(data: bytes, trust: Trust, subject: str, source_id: str, snapshot: str, digest: str) -> Json:
    if blake3(data).hexdigest() != digest or len(data) > 1 << 20:
        raise ValueError("it does not hash to its name")
    signer = split(data)[1]["signer"]
    certificates = [one for one in trust.signers(signer, "backup") if allows(one["sources"], source_id)]
    keys: list[PublicKey] = [public_key(one) for one in certificates]
    commit = trust.text(data, "commit", subject, keys[0]) if keys else None
    if commit is None:
        raise ValueError("nobody who may commit this source signed it")
    if (commit["format"], commit["version"]) != ("farshore-commit", 1):
        raise ValueError("it is no commit of this version")
    if (commit["source_id"], commit["snapshot"]) != (source_id, snapshot):
        raise ValueError("it is of another snapshot")
    if all(one["domain"] != commit["domain"] for one in certificates):
        raise ValueError("its signer is of another domain")
    revoked = trust.revocations.get(signer)
    if revoked is not None and digest not in revoked["commits"]:
        raise ValueError("a revocation cut it off")
    return {**commit, "hash": digest, "signer": signer}


def allows(sources: Json | list[Json], source_id: str) -> bool:
    if isinstance(sources, dict):
        return source_id.startswith(str(sources["prefix"]))
    return any(one["id"] == source_id for one in sources)

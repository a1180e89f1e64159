"""Builds the chunk index from synthetic fragments and looks chunks up; prints one JSON object.

Run in a process of its own: `python -m tests.benchmarks.scale_index CHUNKS`. The fragments are what 1 MiB chunks make:
16 chunks in 4 segments to a pack, 64 packs to a fragment. More chunks to a pack cost less each.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from typing import Any

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from farshore.crypto import ZERO_NONCE, associated, derive_key
from farshore.format.footers import FootersJoin
from farshore.format.fragments import FragmentEntry, decode_fragment
from farshore.format.origin import Origin
from farshore.format.pack import (
    CHUNK_DTYPE,
    HEADER_BYTES,
    SEGMENT_DTYPE,
    PackHeader,
    PackTail,
    encode_header,
    encode_tail,
)
from farshore.index import ABSENT, ChunkIndex
from farshore.model import Signature
from farshore.sealed import DomainKeys, KeySet
from farshore.sealed.fragments import make_fragment, open_packs
from farshore.signing import SigningKey

PACKS = 64
SEGMENTS = 4
CHUNKS = 16
_FOOTER = np.dtype([
    ("origin_count", "<u2"), ("origin", "V48"),
    ("segment_count", "<u4"), ("segments", SEGMENT_DTYPE, (SEGMENTS,)),
    ("chunk_count", "<u4"), ("chunks", CHUNK_DTYPE, (CHUNKS,)),
])  # fmt: skip
_REPOSITORY, _BODY = bytes(16), 16 << 20
_DOMAIN = DomainKeys("main", 1, b"i" * 32, b"c" * 32)
KEYS = KeySet(_REPOSITORY, bytes(32), b"", (_DOMAIN,), _DOMAIN.tag, SigningKey(b"w" * 64))
_LOOKED_UP = 1 << 20
_BATCH = 1 << 14  # what a row group of an unchanged manifest asks


def footers_of(number: int) -> npt.NDArray[Any]:
    """Return the plain footers of one fragment; the same for the same number."""
    chance = np.random.Generator(np.random.SFC64(number))
    footer = np.zeros(PACKS, _FOOTER)
    footer["origin_count"], footer["segment_count"], footer["chunk_count"] = 1, SEGMENTS, CHUNKS
    footer["origin"] = np.frombuffer(b"%048d" % (number // 100), "V48")[0]
    footer["segments"]["offset"] = HEADER_BYTES + np.arange(SEGMENTS) * (4 << 20)
    footer["segments"]["stored"] = footer["segments"]["raw"] = 4 << 20
    footer["chunks"]["id"] = np.frombuffer(chance.bytes(32 * PACKS * CHUNKS), "V32").reshape(PACKS, CHUNKS)
    footer["chunks"]["segment"] = np.arange(CHUNKS) // (CHUNKS // SEGMENTS)
    footer["chunks"]["length"] = 1 << 20
    return footer


def fragment(number: int) -> bytes:
    """Return a signed fragment of packs without bodies; their tails are signed by nobody, as nobody looks."""
    entries = []
    for at, plain in enumerate(footers_of(number)):
        salt = b"%016d%016d" % (number, at)
        header = encode_header(PackHeader(Origin(bytes(16), salt), KEYS.own, HEADER_BYTES + _BODY))
        key = derive_key(KEYS.index_key, "footer", _REPOSITORY, salt)
        sealed = AESGCM(key).encrypt(ZERO_NONCE, plain.tobytes(), associated("footer", _REPOSITORY, header))
        tail = encode_tail(PackTail(Signature("ab" * 16, bytes(64)), len(sealed)))
        size = HEADER_BYTES + _BODY + len(sealed) + len(tail)
        entries.append(FragmentEntry(salt, size, header, sealed, tail))
    return make_fragment(entries, KEYS)


def memory(field: str) -> int:
    """Return a figure of this process's memory in bytes: VmRSS, RssAnon without mapped files, VmHWM at its most."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(field))


def rate(index: ChunkIndex, ids: npt.NDArray[Any], batch: int, *, held: bool) -> float:
    """Return look-ups a second, in batches; fails on a wrong answer."""
    start_s = time.perf_counter()
    for at in range(0, len(ids), batch):
        if ((index.find(ids[at : at + batch]) != ABSENT) != held).any():
            raise SystemExit("the index answers wrongly")
    return len(ids) / (time.perf_counter() - start_s)


def main() -> None:
    """Build, measure, look up, print."""
    fragments = max(1, int(sys.argv[1]) // (PACKS * CHUNKS))
    open_packs(decode_fragment(fragment(0)).entries, KEYS)  # so that what is loaded on first use is not counted
    before = memory("VmRSS")
    join = FootersJoin(lambda: tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
    joining_s, anonymous = 0.0, 0
    for number in range(fragments):
        payload = fragment(number)
        start_s = time.perf_counter()
        footers = open_packs(decode_fragment(payload).entries, KEYS).footers
        join.add(footers, np.ones(len(footers), dtype=bool))
        joining_s += time.perf_counter() - start_s
        anonymous = max(anonymous, memory("RssAnon"))
    start_s = time.perf_counter()
    index = ChunkIndex(join.finish())
    sorting_s = time.perf_counter() - start_s
    del join
    anonymous = max(anonymous, memory("RssAnon"))
    resident, peak = memory("VmRSS") - before, memory("VmHWM") - before
    sample = np.random.Generator(np.random.SFC64(1)).integers(0, fragments, min(fragments, _LOOKED_UP // 1024))
    hits = np.concatenate([footers_of(int(number))["chunks"]["id"].ravel() for number in sample])
    np.random.Generator(np.random.SFC64(2)).shuffle(hits)
    misses = np.frombuffer(np.random.Generator(np.random.SFC64(1 << 40)).bytes(32 * len(hits)), "V32")
    rates = {
        f"{name} by {batch:,}": rate(index, ids[: len(ids) if batch > 128 else 1 << 17], batch, held=name == "hits")
        for batch in (128, _BATCH, len(hits))
        for name, ids in (("hits", hits), ("misses", misses))
    }
    found = {
        "chunks": len(index), "packs": len(index.packs), "joining_s": joining_s, "sorting_s": sorting_s,
        "bytes_a_chunk": index.nbytes / len(index), "resident_a_chunk": resident / len(index),
        "peak_a_chunk": peak / len(index), "anonymous_bytes": anonymous, "lookups": rates,
    }  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main()

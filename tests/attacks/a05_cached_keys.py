"""A5: read the last run of a write-only host with what a thief of its disk has.

Holds: the host's credential, its cache, and rights to read at one replica. Wants: the content of files. Every 32 bytes
that stand anywhere in the cache, sealed there under the credential's keys or not, are tried as a data key and as the
key of segments, on every segment of every pack.

Usage: a05_cached_keys.py CREDENTIAL CACHE REPLICA. Prints the names and the contents that it read, as JSON.
"""

from __future__ import annotations

import base64
import io
import json
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
SMALL_BYTES = 1 << 16  # a larger file of the cache is a sealed object, and random to whoever has no key


@dataclass
class Thief:
    """What the disk gave."""

    credential: dict[str, Any]
    cache: Path
    replica: Path

    def __post_init__(self) -> None:
        self.repository = bytes.fromhex(self.credential["repository"])
        epochs = [epoch for of_domain in self.credential["domains"].values() for epoch in of_domain]
        self.index_keys = [base64.b64decode(epoch["index_key"]) for epoch in epochs]
        self.chunk_keys = [base64.b64decode(epoch["chunk_key"]) for epoch in epochs]

    def derive(self, secret: bytes, purpose: str, salt: bytes) -> bytes:
        return HKDF(hashes.SHA256(), KEY_BYTES, salt, self.bound(purpose)).derive(secret)

    def bound(self, purpose: str, *parts: bytes) -> bytes:
        return b"".join((b"farshore/1/", purpose.encode(), b"\0", self.repository, *parts))

    def open_object(self, sealed: bytes, name: str, key: bytes) -> bytes:
        """Return the payload of a sealed object, by its own key."""
        step = (1 << sealed[7]) + 16
        frames = [sealed[at : min(at + step, len(sealed) - 56)] for at in range(56, len(sealed) - 56, step)]
        plain = b""
        for number, frame in enumerate(frames):
            nonce = struct.pack(">Q3xB", number, number == len(frames) - 1)
            plain += AESGCM(key).decrypt(nonce, frame, self.bound("object", sealed[:56], name.encode()))
        return zstandard.ZstdDecompressor().decompress(plain) if sealed[6] & 1 else plain

    def cached(self) -> Iterator[bytes]:
        """Yield every small file of the cache, and what the credential's keys open of it."""
        for path in sorted(self.cache.rglob("*")):
            data = path.read_bytes() if path.is_file() else b""
            if not data or len(data) > SMALL_BYTES:
                continue
            yield data
            for index_key in self.index_keys if data.startswith(b"FSOB") else ():
                names = ["/".join(path.parts[at:]) for at in range(len(path.parts))]  # it is bound to where it lies
                for name in names:
                    try:
                        yield self.open_object(data, name, self.derive(index_key, "object", data[24:56]))
                    except InvalidTag:
                        continue

    def secrets(self) -> set[bytes]:
        """Return whatever may be a key."""
        found = set(self.index_keys + self.chunk_keys)
        for data in self.cached():
            texts = [data, *(decoded for text in words_of(data) if (decoded := decode(text)))]
            found |= {text[at : at + KEY_BYTES] for text in texts for at in range(len(text) - KEY_BYTES + 1)}
        return found

    def names(self, secrets: set[bytes]) -> list[str]:
        """Return the paths of the manifests that are in the cache."""
        found: set[str] = set()
        for path in self.cache.rglob("*"):
            sealed = path.read_bytes() if path.is_file() else b""
            if sealed[:4] != b"FSOB" or sealed[5] != 1:
                continue
            for secret in secrets:
                for key in (secret, self.derive(secret, "object", sealed[24:56])):
                    try:
                        found |= {name.decode() for name in paths_of(self.open_object(sealed, "runs/", key))}
                    except InvalidTag:
                        continue
        return sorted(found)

    def contents(self, secrets: set[bytes]) -> list[str]:
        """Return the plain bytes of every segment that any secret opens."""
        opened = []
        for pack in (path.read_bytes() for path in self.replica.glob("packs/*/*")):
            for key_id, salt, codec, number, raw_length, sealed in self.segments(pack):
                bound = self.bound("segment", key_id, salt, struct.pack("<IBI", number, codec, raw_length))
                for secret in secrets:
                    for key in (secret, self.derive(secret, "segment", salt)):
                        try:
                            plain = AESGCM(key).decrypt(struct.pack(">8xI", number), sealed, bound)
                        except InvalidTag:
                            continue
                        opened.append(zstandard.ZstdDecompressor().decompress(plain) if codec else plain)
        return [content.decode(errors="replace") for content in opened]

    def segments(self, pack: bytes) -> Iterator[tuple[bytes, bytes, int, int, int, bytes]]:
        """Yield origin, codec, number, length and bytes of each segment: the writer's index key opens the footer."""
        (footer_bytes,) = struct.unpack("<I", pack[-8:-4])
        header, sealed_footer = pack[:80], pack[-88 - footer_bytes : -88]
        for index_key in self.index_keys:
            try:
                key = self.derive(index_key, "footer", header[24:56])
                footer = AESGCM(key).decrypt(bytes(12), sealed_footer, self.bound("footer", header))
            except InvalidTag:
                continue
            (count,) = struct.unpack_from("<H", footer)
            origins = [footer[2 + 48 * at : 50 + 48 * at] for at in range(count)]
            at = 2 + 48 * count
            (segments,) = struct.unpack_from("<I", footer, at)
            for place in range(segments):
                origin, codec, number, offset, stored, raw = struct.unpack_from("<HBxIIII", footer, at + 4 + 20 * place)
                yield origins[origin][:16], origins[origin][16:], codec, number, raw, pack[offset : offset + stored]


def paths_of(run: bytes) -> list[bytes]:
    """Return the paths in a run of a manifest: its blocks are zstd frames, one behind the other."""
    (index_bytes,) = struct.unpack("<I", run[-16:-12])
    found: list[bytes] = []
    at, end = 0, len(run) - 16 - index_bytes
    while at < end:
        decompressor = zstandard.ZstdDecompressor().decompressobj()
        block = decompressor.decompress(run[at:end])
        found += pq.read_table(io.BytesIO(block))["path"].to_pylist()
        at = end - len(decompressor.unused_data)
    return found


def words_of(data: bytes) -> list[str]:
    """Return all texts of JSON, if it is JSON."""
    try:
        value = json.loads(data)
    except ValueError:
        return []
    waiting, found = [value], []
    while waiting:
        one = waiting.pop()
        waiting += list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else []
        found += [one] if isinstance(one, str) else []
    return found


def decode(text: str) -> bytes:
    """Return the bytes that a text stands for, in hex or base64."""
    for decoder in (bytes.fromhex, lambda one: base64.b64decode(one, validate=True)):
        try:
            return decoder(text)
        except ValueError:
            continue
    return b""


def main() -> None:
    """Read what can be read."""
    thief = Thief(json.loads(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2]), Path(sys.argv[3]))
    secrets = thief.secrets()
    print(json.dumps({"names": thief.names(secrets), "contents": thief.contents(secrets), "tried": len(secrets)}))


if __name__ == "__main__":
    main()

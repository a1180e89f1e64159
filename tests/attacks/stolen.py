"""What a thief of one writer's credential can make: packs, fragments, runs, commits, leases, seals, all well-signed.

Written from docs/reference/format.md; no import of Farshore. Holds: the credential's file, and a replica to read.
"""

from __future__ import annotations

import base64
import io
import json
import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from blake3 import blake3
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from forge import Json, Signer, base, canonical, hash_of, seal_to  # type: ignore[import-not-found]

FRAME_POWERS = {1: 15, 2: 15}  # by kind: manifests and page maps
XATTRS = pa.list_(pa.struct([("name", pa.binary()), ("value", pa.binary())]))
COLUMNS = {
    "path": pa.binary(), "display": pa.string(), "kind": pa.string(), "mode": pa.int32(), "uid": pa.int64(),
    "gid": pa.int64(), "user": pa.string(), "group": pa.string(), "size": pa.int64(), "mtime_ns": pa.int64(),
    "ctime_ns": pa.int64(), "inode": pa.int64(), "device": pa.int64(), "rdev": pa.int64(), "links": pa.int64(),
    "target": pa.binary(), "xattrs": XATTRS, "page_bytes": pa.int32(), "content_hash": pa.binary(),
    "extents": pa.binary(), "state": pa.string(),
}  # fmt: skip
MANIFEST = pa.schema([pa.field(name, kind, nullable=name == "xattrs") for name, kind in COLUMNS.items()])


@dataclass
class Footer:
    """A pack's footer, opened."""

    origins: list[bytes]
    segments: list[tuple[int, int, int, int, int, int]]  # origin, codec, number, offset, stored, raw
    chunks: list[tuple[bytes, int, int, int]]  # id, segment, offset, length

    @classmethod
    def of(cls, plain: bytes) -> Footer:
        (count,) = struct.unpack_from("<H", plain)
        origins = [plain[2 + 48 * at : 50 + 48 * at] for at in range(count)]
        at = 2 + 48 * count
        (count,) = struct.unpack_from("<I", plain, at)
        segments = list(struct.iter_unpack("<HBxIIII", plain[at + 4 : at + 4 + 20 * count]))
        chunks = list(struct.iter_unpack("<32sIII", plain[at + 8 + 20 * count :]))
        return cls(origins, segments, chunks)

    @property
    def encoded(self) -> bytes:
        parts = [struct.pack("<H", len(self.origins)), *self.origins, struct.pack("<I", len(self.segments))]
        parts += [struct.pack("<HBxIIII", *one) for one in self.segments]
        parts += [struct.pack("<I", len(self.chunks)), *(struct.pack("<32sIII", *one) for one in self.chunks)]
        return b"".join(parts)


@dataclass
class Pack:
    """A pack in the parts that a fragment has of it."""

    body: bytes
    sealed_footer: bytes
    tail: bytes

    @classmethod
    def of(cls, data: bytes) -> Pack:
        (length,) = struct.unpack("<I", data[-8:-4])
        return cls(data[: -88 - length], data[-88 - length : -88], data[-88:])

    @property
    def id(self) -> str:
        return blake3(blake3(self.body).digest() + blake3(self.sealed_footer + self.tail).digest()).hexdigest()

    @property
    def name(self) -> str:
        return f"packs/{self.id[:2]}/{self.id}"

    @property
    def data(self) -> bytes:
        return self.body + self.sealed_footer + self.tail

    @property
    def entry(self) -> bytes:
        head = struct.pack("<32sI80sI", blake3(self.body).digest(), len(self.data), self.body, len(self.sealed_footer))
        return head + self.sealed_footer + self.tail


@dataclass
class Thief:
    """A credential and what it can sign and seal. `made`: objects that wait to be put."""

    credential: Json
    replica: Path
    made: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def at(cls, credential: str, replica: str) -> Thief:
        return cls(json.loads(Path(credential).read_bytes()), Path(replica))

    def __post_init__(self) -> None:
        secret = base64.b64decode(self.credential["signing_key"])
        ed25519 = Ed25519PrivateKey.from_private_bytes(secret[:32])
        self.signer = Signer(ed25519, MLDSA65PrivateKey.from_seed_bytes(secret[32:]))
        self.signer_id = self.signer.key_hash[:16].hex()
        self.repository = bytes.fromhex(self.credential["repository"])
        self.fingerprint = bytes.fromhex(self.credential["fingerprint"])
        ((self.domain, epochs),) = self.credential["domains"].items()
        self.epoch = int(epochs[-1]["epoch"])
        self.index_key = base64.b64decode(epochs[-1]["index_key"])
        self.chunk_key = base64.b64decode(epochs[-1]["chunk_key"])
        self.tag = blake3(self.domain.encode()).digest(12) + self.epoch.to_bytes(4, "little")
        self.key_id, self.data_key = os.urandom(16), os.urandom(32)

    # --- what anybody can read in the owner log ----------------------------------------------------------------------

    def actions(self) -> list[Json]:
        """Return the actions of the owner log, in order."""
        entries = sorted((self.replica / "keys/log").iterdir())
        bodies = [json.loads(path.read_bytes().partition(b"\n")[0]) for path in entries]
        return [action for body in bodies for action in body["actions"]]

    @property
    def head(self) -> list[Any]:
        newest = max(path.name for path in (self.replica / "keys/log").iterdir())
        return [int(newest[:8]), newest[9:]]

    @property
    def recipient(self) -> bytes:
        return base64.b64decode([one for one in self.actions() if one["action"] == "recipient"][-1]["public_key"])

    def prefix_of(self, signer_id: str) -> str:
        """Return the prefix of the source ids of a signer."""
        found = [one for one in self.actions() if one["action"] == "certificate" and one["signer"] == signer_id]
        return str(found[-1]["sources"]["prefix"])

    def source_id(self, name: str = "home") -> str:
        """Return the id of a source of the thief's own."""
        prefix = self.prefix_of(self.signer_id)
        return prefix + blake3(b"farshore/1/source\0" + (prefix + name).encode()).digest(8).hex()

    # --- sealing ------------------------------------------------------------------------------------------------------

    def derive(self, secret: bytes, purpose: str, salt: bytes = b"") -> bytes:
        return HKDF(hashes.SHA256(), 32, salt, self.bound(purpose)).derive(secret)

    def bound(self, purpose: str, *parts: bytes) -> bytes:
        return b"".join((b"farshore/1/", purpose.encode(), b"\0", self.repository, *parts))

    def put(self, name: str, data: bytes) -> str:
        self.made[name] = data
        return name

    def chunk_id(self, content: bytes) -> bytes:
        return blake3(content, key=self.chunk_key).digest()

    def footer_of(self, pack: Pack) -> Footer:
        key = self.derive(self.index_key, "footer", pack.body[24:56])
        return Footer.of(AESGCM(key).decrypt(bytes(12), pack.sealed_footer, self.bound("footer", pack.body[:80])))

    def close(self, body: bytes, footer: Footer) -> Pack:
        """Return a pack of a body: footer sealed and tail signed by the thief."""
        key = self.derive(self.index_key, "footer", body[24:56])
        sealed = AESGCM(key).encrypt(bytes(12), footer.encoded, self.bound("footer", body[:80]))
        digest = blake3(blake3(body).digest() + blake3(sealed).digest()).digest()
        signature = base64.b64decode(self.signer.sign("pack", self.fingerprint, "packs/", digest)["ed25519"])
        tail = bytes.fromhex(self.signer_id) + signature + struct.pack("<I", len(sealed)) + b"FSPF"
        return Pack(body, sealed, tail)

    def pack(self, chunks: dict[bytes, bytes]) -> Pack:
        """Return a pack of one segment whose chunks have such ids, true or not; put it with its fragment."""
        raw = b"".join(chunks.values())
        origin = os.urandom(32)
        bound = self.bound("segment", self.key_id, origin, struct.pack("<IBI", 0, 0, len(raw)))
        sealed = AESGCM(self.derive(self.data_key, "segment", origin)).encrypt(bytes(12), raw, bound)
        header = b"FSPK\1\0\0\0" + self.key_id + os.urandom(32) + self.tag
        header += struct.pack("<I4x", 80 + len(sealed))
        rows, at = [], 0
        for chunk_id, content in chunks.items():
            rows.append((chunk_id, 0, at, len(content)))
            at += len(content)
        footer = Footer([self.key_id + origin], [(0, 0, 0, 80, len(sealed), len(raw))], rows)
        made = self.close(header + sealed, footer)
        self.put(made.name, made.data)
        self.fragment(made)
        return made

    def fragment(self, *packs: Pack, superseded: tuple[bytes, ...] = ()) -> bytes:
        body = b"FSIX\1\0\0\0" + struct.pack("<II", len(packs), len(superseded)) + b"".join(superseded)
        body += b"".join(one.entry for one in packs)
        signature = self.signer.sign("fragment", self.fingerprint, "index/", blake3(body).digest())
        data = body + bytes.fromhex(self.signer_id) + base64.b64decode(signature["ed25519"])
        self.put(f"index/{hash_of(data)}", data)
        return data

    def sealed_key(self, key_id: bytes | None = None) -> bytes:
        """Put the thief's data key, or the same one under the id of another run."""
        key_id, public = key_id or self.key_id, self.recipient
        recipient = blake3(public).digest(16)
        data: bytes = b"FSDK\1\1\0\0" + recipient
        data += seal_to(public, self.data_key, self.bound("data-key", key_id, recipient))
        data += blake3(data).digest(16)
        self.put(f"keys/data/{key_id.hex()}/{recipient.hex()}-{hash_of(data)}", data)
        return data

    def sealed_object(self, kind: int, payload: bytes) -> Json:
        """Put a run; return its reference."""
        salt = os.urandom(32)
        header = b"FSOB\1" + bytes([kind, 0, FRAME_POWERS[kind]]) + self.key_id + salt
        size = 1 << FRAME_POWERS[kind]
        aead, frames = AESGCM(self.derive(self.data_key, "object", salt)), []
        for number, at in enumerate(range(0, len(payload), size)):
            nonce = struct.pack(">Q3xB", number, at + size >= len(payload))
            frames.append(aead.encrypt(nonce, payload[at : at + size], self.bound("object", header, b"runs/")))
        return self.run(header + b"".join(frames) + header)

    def manifest(self, parquet: bytes, rows: int) -> Json:
        """Put a run of a manifest with these bytes as its only block; return its reference."""
        compressor = zstandard.ZstdCompressor()
        block = compressor.compress(parquet)
        index = struct.pack("<III", rows, len(block), len(parquet)) + struct.pack("<I", 0) * 2
        stored = compressor.compress(index)
        trailer = struct.pack("<II4sB3x", len(stored), len(index), b"FSMF", 1)
        return self.sealed_object(1, block + stored + trailer)

    def run(self, data: bytes) -> Json:
        self.put(f"runs/{hash_of(data)}", data)
        return {"blake3": hash_of(data), "bytes": len(data)}

    def needs(self, packs: list[Pack], key: bytes) -> Json:
        """Put a run of needs that names packs whole, and a data key."""
        data = b"FSND\1\0\0\0" + struct.pack("<III", len(packs), 1, 0)
        for pack in sorted(packs, key=lambda one: one.id):
            data += bytes.fromhex(pack.id) + struct.pack("<IH", len(pack.data), 0)
        return self.run(data + self.key_id + key[8:24] + blake3(key).digest())

    # --- signed texts -------------------------------------------------------------------------------------------------

    def details(self, source_id: str, snapshot: str, value: Json) -> str:
        salt = os.urandom(32)
        bound = self.bound("commit", bytes.fromhex(source_id), bytes.fromhex(snapshot))
        aead = AESGCM(self.derive(self.index_key, "commit", salt))
        return str(base(salt + aead.encrypt(bytes(12), canonical(value), bound)))

    def commit(self, runs: dict[str, list[Json]], now: str, **changes: Any) -> tuple[str, bytes]:
        """Return name and bytes of a commit. `changes`: of its keys, and `details` of what it seals."""
        details = {
            "source": "home", "kind": "directory", "identity": "", "farshore": "1.0", "quorum": 1,
            "counts": {"entries": 2, "files": 1}, "facts": {}, "marks": {}, **changes.pop("details", {}),
        }  # fmt: skip
        value: Json = {
            "format": "farshore-commit", "version": 1, "snapshot": os.urandom(16).hex(), "source_id": self.source_id(),
            "run": os.urandom(16).hex(), "lease": os.urandom(16).hex(), "domain": self.domain, "epoch": self.epoch,
            "parent": "", "parent_commit": "", "sequence": 1, "started_utc": now, "committed_utc": now,
            "state": "complete", "data_key": self.key_id.hex(), "runs": runs, "log": self.head, **changes,
        }  # fmt: skip
        value.setdefault("sealed", self.details(value["source_id"], value["snapshot"], details))
        subject = f"snapshots/{value['source_id']}/{value['snapshot']}"
        stored = self.signer.text("commit", self.fingerprint, subject, value)
        return f"{subject}-{hash_of(stored)}", stored

    def snapshot(self, files: dict[bytes, bytes], now: str, *, mode: int = 0o644, **changes: Any) -> str:
        """Put a whole snapshot of files of any content and mode; return the name of its commit."""
        chunks = {self.chunk_id(content): content for content in files.values()}
        pack, key = self.pack(chunks), self.sealed_key()
        rows = [row(b"", "directory", 0o755)]
        for path, content in sorted(files.items()):
            extents = self.chunk_id(content) + struct.pack("<IQ", 0, len(content))
            rows.append(row(path, "file", mode, content, extents))
        out = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, MANIFEST), out, compression="zstd")
        manifest = self.manifest(out.getvalue(), len(rows))
        needs = self.needs([pack], key)
        runs = changes.pop("runs", {"manifest": [manifest], "needs": [needs]})
        return self.put(*self.commit(runs, now, **changes))

    def seal(self, files: dict[str, bytes], now: str, *, named: list[Json] | None = None, **changes: Any) -> str:
        """Put audit files and a seal that names them, or others, the first of a new chain; return its name."""
        for name, data in files.items():
            self.put(name, data)
        value: Json = {
            "format": "farshore-audit-seal", "version": 1, "run_id": os.urandom(16).hex(),
            "chain_id": self.signer_id[:16] + os.urandom(8).hex(), "sequence": 1, "previous": "", "sealed_utc": now,
            "files": named or [{"name": n, "bytes": len(files[n]), "blake3": hash_of(files[n])} for n in sorted(files)],
            "log": self.head, "heads": {"sources": {}, "chains": {}}, "covers": [], **changes,
        }  # fmt: skip
        subject = f"audit/_seals/{value['chain_id']}/{value['sequence']:012d}"
        stored = self.signer.text("daily-seal" if "covers" in value else "seal", self.fingerprint, subject, value)
        return self.put(f"{subject}-{hash_of(stored)}.json", stored)


def row(path: bytes, kind: str, mode: int, content: bytes = b"", extents: bytes = b"") -> Json:
    """Return one row of a manifest."""
    return {
        "path": path, "display": path.decode(), "kind": kind, "mode": mode, "uid": 0, "gid": 0, "user": "", "group": "",
        "size": len(content), "mtime_ns": 0, "ctime_ns": 0, "inode": 1, "device": 1, "rdev": 0, "links": 1,
        "target": b"", "xattrs": [], "page_bytes": 0,
        "content_hash": blake3(content).digest() if kind == "file" else b"", "extents": extents, "state": "whole",
    }  # fmt: skip

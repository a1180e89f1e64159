"""A second reader of Farshore repositories: written from docs/reference/format.md alone, sharing no line with Farshore.

    python tests/golden/second_reader.py REPOSITORY --identity FILE            # list snapshots, check the audit chain
    python tests/golden/second_reader.py REPOSITORY --passphrase-file FILE --restore SNAPSHOT TARGET

REPOSITORY is the directory of one replica. Every hash that the format has is checked on the way. The program is short
rather than fast, and the proof that the page is enough: where it was not, the page was completed.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hmac
import json
import os
import re
import stat
import struct
import sys
import time
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

sys.path.insert(0, str(Path(__file__).parent))  # run by its path, it has no package
from second_commits import Needs, read_commits, read_needs, unite
from second_manifest import Pages, merged, read_page_map, read_run
from second_prune import condemned, decision, forgotten, keeping, verdicts
from second_trust import Json, Trust, canonical, public_key, read_log, split

HPKE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
HOLE = bytes(32)
MIB = 1 << 20


class DamagedError(Exception):
    """Something is not what the format says."""


def require(condition: object, what: str) -> None:
    if not condition:
        raise DamagedError(what)


def without(value: Json, key: str) -> bytes:
    return canonical({name: item for name, item in value.items() if name != key})


# --- section 1 and 2: header and keys --------------------------------------------------------------------------------
def read_header(data: bytes) -> Json:
    require(len(data) <= 16 * MIB, "the header is too large")
    header: Json = json.loads(data)
    require(header["format"] == "farshore", "this is no Farshore repository")
    require(header["version"] == 1, f"the format has version {header['version']}")
    require(header["check"] == blake3(without(header, "check")).hexdigest(), "the header's check does not hold")
    require(not header["features"]["must_understand"], "the repository has features that are unknown here")
    return header


@dataclass
class Keys:
    """The key set of a reader. `domains`: the root of each domain and epoch; `given`: instead of roots, keys by tag."""

    repository: bytes
    private_keys: dict[str, bytes]
    roots: list[bytes]
    domains: dict[tuple[str, int], int]
    given: dict[bytes, Json] = field(default_factory=dict)

    def derive(self, secret: bytes, purpose: str, salt: bytes = b"") -> bytes:
        return HKDF(hashes.SHA256(), 32, salt, associated(self.repository, purpose)).derive(secret)

    def index_key(self, tag: bytes) -> bytes:
        if tag in self.given:
            return base64.b64decode(self.given[tag]["index_key"])
        return self.derive(self.derive(self._root(tag), "index-root"), "index", tag)

    def chunk_key(self, tag: bytes) -> bytes:
        if tag in self.given:
            return base64.b64decode(self.given[tag]["chunk_key"])
        return self.derive(self.derive(self._root(tag), "chunk-root"), "chunk", tag)

    def has(self, tag: bytes) -> bool:
        return tag in self.given or tag in {key_tag(domain, epoch) for domain, epoch in self.domains}

    def _root(self, tag: bytes) -> bytes:
        return next(self.roots[root] for (domain, epoch), root in self.domains.items() if key_tag(domain, epoch) == tag)


def key_tag(domain: str, epoch: int) -> bytes:
    return blake3(domain.encode()).digest(12) + epoch.to_bytes(4, "little")


def associated(repository: bytes, purpose: str, *parts: bytes) -> bytes:
    return b"farshore/1/" + purpose.encode() + b"\x00" + repository + b"".join(parts)


def open_hpke(private_key: bytes, sealed: bytes, info: bytes) -> bytes:
    mlkem, x25519 = MLKEM768PrivateKey.from_seed_bytes(private_key[:64]), private_key[64:]
    key = MLKEM768X25519PrivateKey(mlkem, X25519PrivateKey.from_private_bytes(x25519))
    return HPKE.decrypt(sealed, key, info=info)


def passphrase_bytes(given: bytes) -> bytes:
    """Return the bytes that a file with a passphrase gives: less one end of line, and in NFC where they are UTF-8."""
    given = given.removesuffix(b"\n").removesuffix(b"\r") if given.endswith(b"\n") else given
    try:
        return unicodedata.normalize("NFC", given.decode()).encode()
    except UnicodeDecodeError:
        return given


def open_slot(data: bytes, header: Json, trust: Trust, passphrase: bytes, private_key: bytes) -> Keys | None:
    """Return the keys of a reader's slot, or None where it is not for this passphrase or identity."""
    slot = trust.text(data, "slot", "keys/slots/", trust.owner)
    if slot is None or slot["role"] not in ("reader", "domain-reader"):
        return None  # somebody planted it, or it is the owner's
    require(slot["format"] == "farshore-slot" and slot["version"] == 1, "a slot is of another version")
    repository, nonce = bytes.fromhex(header["repository"]), base64.b64decode(slot["nonce"])
    binding = associated(repository, "slot", slot["role"].encode(), b"\x00", trust.fingerprint, nonce)
    sealed = base64.b64decode(slot["sealed"])
    try:
        if slot["kind"] == "passphrase" and passphrase:
            kdf = slot["kdf"]
            require(kdf["name"] == "argon2id", "a slot needs another key derivation")
            lanes, memory = kdf["lanes"], kdf["memory_kib"]
            require(1 <= lanes <= 64 and 8 * lanes <= memory <= MIB and 1 <= kdf["iterations"] <= 10, "a slot")
            argon = Argon2id(salt=base64.b64decode(kdf["salt"]), length=64, iterations=kdf["iterations"],
                             lanes=lanes, memory_cost=memory)  # fmt: skip
            derived = argon.derive(passphrase)
            if not hmac.compare_digest(derived[32:], base64.b64decode(slot["commitment"])):
                return None
            plain = AESGCM(derived[:32]).decrypt(bytes(12), sealed, binding)
        elif slot["kind"] == "recipient" and private_key:
            plain = open_hpke(private_key, sealed, binding)
        else:
            return None
    except InvalidTag:
        return None
    value = json.loads(plain)
    require(value["fingerprint"] == trust.fingerprint.hex(), "a key set is of another repository")
    if slot["role"] == "domain-reader":
        given = {key_tag(name, one["epoch"]): one for name, epochs in value["domains"].items() for one in epochs}
        return Keys(repository, {recipient_id(private_key): private_key}, [], {}, given)
    private = [base64.b64decode(one) for one in value["private_keys"]]
    require(all(len(one) == 96 for one in private), "a private key has another length")
    roots = [base64.b64decode(one) for one in value["roots"]]
    return Keys(repository, {recipient_id(one): one for one in private}, roots, trust.domains)


def recipient_id(private_key: bytes) -> str:
    mlkem = MLKEM768PrivateKey.from_seed_bytes(private_key[:64]).public_key().public_bytes_raw()
    x25519 = X25519PrivateKey.from_private_bytes(private_key[64:]).public_key().public_bytes_raw()
    return blake3(mlkem + x25519).digest(16).hex()


# --- section 4: packs ------------------------------------------------------------------------------------------------
Segment = tuple[bytes, bytes, int, int, int, int, int]  # key id, salt, codec, number, offset, stored, raw
Chunk = tuple[bytes, int, int, int]  # id, segment, offset, length
Footer = tuple[list[Segment], list[Chunk]]


def read_footer(plain: bytes, body_end: int) -> Footer:
    view, at = memoryview(plain), 0

    def table(count: str, row: str) -> list[tuple[Any, ...]]:
        nonlocal at
        (rows,) = struct.unpack_from(count, view, at)
        start = at + struct.calcsize(count)
        at = start + rows * struct.calcsize(row)
        require(at <= len(view), "a footer is cut short")
        return list(struct.iter_unpack(row, view[start:at]))

    origins, segments, chunks = table("<H", "<16s32s"), table("<I", "<HBBIIII"), table("<I", "<32sIII")
    require(at == len(view), "a footer has bytes behind its tables")
    for origin, _, _, _, offset, stored, raw in segments:
        require(origin < len(origins) and 80 <= offset <= offset + stored <= body_end, "a segment is outside its pack")
        require(raw <= 8 * MIB, "a segment is too long")
    for _, segment, offset, length in chunks:
        require(segment < len(segments) and offset + length <= segments[segment][6], "a chunk is outside its segment")
    return [(*origins[one[0]], one[1], *one[3:]) for one in segments], chunks  # type: ignore[misc,return-value]


@dataclass
class Proven:
    """A pack without its segments, proven by its name: its header, sealed footer and tail."""

    pack_id: str
    size: int
    header: bytes
    footer: bytes
    tail: bytes
    digest: bytes

    def plain(self, keys: Keys) -> bytes:
        """Return the plain footer."""
        aead = AESGCM(keys.derive(keys.index_key(self.header[56:72]), "footer", self.header[24:56]))
        return aead.decrypt(bytes(12), self.footer, associated(keys.repository, "footer", self.header))


def proven(body_hash: bytes, header: bytes, footer: bytes, tail: bytes) -> Proven:
    """Return a pack by its parts, which must agree on where the footer begins."""
    require(len(header) == 80 and len(tail) == 88, "a pack is cut short")
    require(header[:5] == b"FSPK\x01" and tail[-4:] == b"FSPF", "this is no pack")
    require(int.from_bytes(tail[80:84], "little") == len(footer), "a pack's tail is damaged")
    pack_id = blake3(body_hash + blake3(footer + tail).digest()).hexdigest()
    size = int.from_bytes(header[72:76], "little") + len(footer) + 88
    return Proven(pack_id, size, header, footer, tail, blake3(body_hash + blake3(footer).digest()).digest())


def proven_pack(pack: bytes) -> Proven:
    """Return a whole pack, its hash that of its parts."""
    end = int.from_bytes(pack[72:76], "little")
    require(80 <= end <= len(pack) - 88, "a pack's header is damaged")
    return proven(blake3(pack[:end]).digest(), pack[:80], pack[end:-88], pack[-88:])


def signed_by(trust: Trust, kind: str, subject: str, digest: bytes, trailer: bytes) -> bool:
    """Whether the signer that a trailer of 80 bytes names signed a digest, and may make packs and fragments."""
    signature = {"signer": trailer[:16].hex(), "ed25519": base64.b64encode(trailer[16:80]).decode()}
    certificates = (
        one for right in ("backup", "heal", "maintain") for one in trust.signers(signature["signer"], right)
    )
    return any(trust.holds(public_key(one), kind, subject, digest, signature) for one in certificates)


def open_segment(keys: Keys, data_key: bytes, segment: Segment, sealed: bytes) -> bytes:
    key_id, salt, codec, number, _, _, raw_length = segment
    binding = associated(keys.repository, "segment", key_id, salt, struct.pack("<IBI", number, codec, raw_length))
    stored = AESGCM(keys.derive(data_key, "segment", salt)).decrypt(number.to_bytes(12, "big"), sealed, binding)
    require(codec in (0, 1), "a segment has an unknown codec")
    if codec == 1:
        require(zstandard.frame_content_size(stored) in (raw_length, -1), "a segment declares another length")
        stored = zstandard.ZstdDecompressor().decompress(stored, max_output_size=max(raw_length, 1))
    require(len(stored) == raw_length, "a segment has another length")
    return stored


# --- section 5: sealed objects ---------------------------------------------------------------------------------------
def open_object(keys: Keys, secret: bytes, kind: int, name: str, sealed: bytes) -> bytes:
    header, body = sealed[:56], sealed[56:-56]
    require(header == sealed[-56:] and header[:6] == b"FSOB\x01" + bytes([kind]), f"{name} is another")
    require(header[7] == (20 if kind == 7 else 15), f"{name} has frames of another size")
    frame = (1 << header[7]) + 16
    aead = AESGCM(keys.derive(secret, "object", header[24:]))
    binding = associated(keys.repository, "object", header, name.encode())
    frames = [body[at : at + frame] for at in range(0, len(body), frame)]
    require(frames, f"{name} is cut short")
    nonces = [struct.pack(">Q3xB", number, number == len(frames) - 1) for number in range(len(frames))]
    payload = b"".join(aead.decrypt(*one, binding) for one in zip(nonces, frames, strict=True))
    if header[6] & 1:
        require(zstandard.frame_content_size(payload) >= 0, f"{name} does not declare its size")
        payload = zstandard.ZstdDecompressor().decompress(payload)
    return payload


def read_fragment(data: bytes) -> Iterator[Proven]:
    """Yield the packs of a fragment, each by what proves it."""
    require(data[:8] == b"FSIX\x01\x00\x00\x00", "this is no fragment")
    packs, superseded = struct.unpack_from("<II", data, 8)
    at, end = 16 + 32 * superseded, len(data) - 80
    for _ in range(packs):
        body_hash, size, header, length = struct.unpack_from("<32sI80sI", data, at)
        at += 120
        require(at + length + 88 <= end, "a fragment is cut short")
        one = proven(body_hash, header, data[at : at + length], data[at + length : at + length + 88])
        require(one.size == size, "a fragment gives a pack another size")
        yield one
        at += length + 88
    require(at == end, "a fragment has the wrong length")


Chunks = dict[bytes, tuple[str, Chunk]]  # by id: its pack, and its row there


# --- section 9: reading a repository ---------------------------------------------------------------------------------
@dataclass
class Reader:
    """An opened repository."""

    root: Path
    header: Json
    trust: Trust
    keys: Keys
    refused: list[str] = field(default_factory=list)  # commits that do not count, each with the reason
    _key_names: dict[str, str] = field(default_factory=dict)  # of data keys, as needs have them
    _data_keys: dict[str, bytes] = field(default_factory=dict)
    _tags: dict[str, bytes] = field(default_factory=dict)  # of packs, each of one domain and epoch
    _opened: dict[tuple[str, int], bytes] = field(default_factory=dict)

    def commits(self) -> list[Json]:
        """Return all commits that count, with what is sealed into them: those of a source in their order."""
        commits, self.refused = read_commits(self.root, self.trust)
        gone = self.forgotten()
        found = []
        for commit in (one for one in commits if one["hash"] not in gone):
            if not self.keys.has(key_tag(commit["domain"], commit["epoch"])):
                continue  # of another domain
            sealed = base64.b64decode(commit.pop("sealed"))
            index_key = self.keys.index_key(key_tag(commit["domain"], commit["epoch"]))
            ids = bytes.fromhex(commit["source_id"] + commit["snapshot"])
            aead = AESGCM(self.keys.derive(index_key, "commit", sealed[:32]))
            details = aead.decrypt(bytes(12), sealed[32:], associated(self.keys.repository, "commit", ids))
            found.append({**commit, **json.loads(details)})
            require(commit["source_id"] in self.source_ids(found[-1]["source"]), "a commit has another source id")
        order = ("source", "sequence", "committed_utc", "snapshot", "hash")
        return sorted(found, key=lambda commit: [commit[name] for name in order])

    def forgotten(self) -> set[str]:
        """Return the hashes of the commits that are forgotten."""
        return forgotten(self.root, self.trust)

    def keeping(self) -> dict[str, list[Json]]:
        """Return by commit the notes that keep it."""
        return keeping(self.root, self.trust)

    def verdicts(self) -> tuple[set[str], set[str]]:
        """Return the packs that are proved, and those in quarantine."""
        return verdicts(self.root, self.trust)

    def condemned(self) -> set[str]:
        """Return the names that plans condemn."""
        return condemned(self.root, self.trust, time.time())

    def decision(self, lease: str) -> Json | None:
        """Return the end that decides on a lease."""
        return decision(self.root, self.trust, lease)

    def source_ids(self, name: str) -> set[str]:
        """Return the ids that certificates give to a source of this name."""
        found: set[str] = set()
        for certificate in (one for of_signer in self.trust.certificates.values() for one in of_signer):
            sources = certificate["sources"]
            if isinstance(sources, dict):
                prefix = sources["prefix"]
                found.add(prefix + blake3(b"farshore/1/source\x00" + (prefix + name).encode()).digest(8).hex())
            else:
                found |= {one["id"] for one in sources if one["name"] == name}
        return found

    def load(self, run: Json) -> bytes:
        """Return the bytes of a run, once they are those that the commit names."""
        data = (self.root / "runs" / run["blake3"]).read_bytes()
        require((len(data), blake3(data).hexdigest()) == (run["bytes"], run["blake3"]), f"{run['blake3']} is altered")
        return data

    def open_run(self, run: Json, kind: int) -> bytes:
        """Return the payload of a manifest or a page map."""
        sealed = self.load(run)
        return open_object(self.keys, self.data_key(sealed[8:24].hex()), kind, "runs/", sealed)

    def needs(self, commit: Json) -> Needs:
        """Return what a snapshot needs, and note the objects of its data keys."""
        needs = unite([read_needs(self.load(run)) for run in commit["runs"]["needs"]])
        for key_id, recipient, digest in needs.data_keys:
            if recipient in self.keys.private_keys:
                self._key_names[key_id] = f"{recipient}-{digest}"
        return needs

    def data_key(self, key_id: str) -> bytes:
        if key_id not in self._data_keys:
            name = self._key_names[key_id]
            recipient = name[:32]
            sealed = (self.root / "keys" / "data" / key_id / name).read_bytes()
            require(name == f"{recipient}-{blake3(sealed).hexdigest()}", f"data key {key_id} is altered")
            require(len(sealed) == 1208 and sealed[:8] == b"FSDK\x01\x01\x00\x00", f"data key {key_id} is another")
            require(blake3(sealed[:-16]).digest(16) == sealed[-16:], f"data key {key_id} is damaged")
            require(sealed[8:24].hex() == recipient, f"data key {key_id} is for another")
            info = associated(self.keys.repository, "data-key", bytes.fromhex(key_id), sealed[8:24])
            self._data_keys[key_id] = open_hpke(self.keys.private_keys[recipient], sealed[24:-16], info)
        return self._data_keys[key_id]

    def footers(self, needs: Needs) -> dict[str, Footer]:
        """Return the footers of a snapshot's packs, each proven by its id, and the same in every fragment."""
        indexed: dict[str, Proven] = {}
        for path in self.root.glob("index/*"):
            if re.fullmatch(r"[0-9a-f]{64}", path.name):
                data = path.read_bytes()
                require(blake3(data).hexdigest() == path.name, f"fragment {path.name} is altered")
                signed = signed_by(self.trust, "fragment", "index/", blake3(data[:-80]).digest(), data[-80:])
                require(signed, f"fragment {path.name} is nobody's")
                indexed |= {one.pack_id: one for one in read_fragment(data)}
        found = {}
        for pack_id, size, used in needs.packs:
            pack = (self.root / "packs" / pack_id[:2] / pack_id).read_bytes()
            one = proven_pack(pack)
            require((len(pack), one.size, one.pack_id) == (size, size, pack_id), f"pack {pack_id} is altered")
            require(indexed.get(pack_id, one) == one, f"a fragment has {pack_id} otherwise")
            require(signed_by(self.trust, "pack", "packs/", one.digest, one.tail[:80]), f"pack {pack_id} is nobody's")
            self._tags[pack_id] = one.header[56:72]
            segments, chunks = read_footer(one.plain(self.keys), int.from_bytes(one.header[72:76], "little"))
            found[pack_id] = segments, [row for row in chunks if used is None or row[1] in used]
        return found

    def pages(self, commit: Json) -> Pages:
        """Return a snapshot's page map; empty where it has none."""
        return read_page_map([self.open_run(run, 2) for run in commit["runs"].get("pages", [])])

    def restore(self, commit: Json, target: Path) -> None:
        """Restore a snapshot into a directory that does not exist yet."""
        needs = self.needs(commit)
        for key_id, _, _ in needs.data_keys:
            self.data_key(key_id)
        for digest, size in needs.fragments:
            require((self.root / "index" / digest).stat().st_size == size, f"fragment {digest} has another size")
        footers = self.footers(needs)
        chunks = {one[0]: (pack_id, one) for pack_id, footer in footers.items() for one in footer[1]}
        rows = merged([read_run(self.open_run(run, 1)) for run in commit["runs"]["manifest"]])
        os.makedirs(target)
        pages = self.pages(commit)
        for row in rows:
            place = place_of(target, row["path"])
            os.makedirs(os.path.dirname(place), exist_ok=True)
            if row["kind"] != "file":
                make(row, place)
                continue
            parts = self.content(row, footers, chunks)
            require(write(parts, place) == row["content_hash"], f"{place!r} does not hash to its content hash")
            require(os.stat(place).st_size == row["size"], f"{place!r} has another size")
            page_key = self.keys.derive(self.keys.chunk_key(key_tag(commit["domain"], commit["epoch"])), "page")
            check_pages(place, pages.get(row["path"]), page_key)
        for row in rows:
            if row["kind"] == "hardlink":
                os.link(place_of(target, row["target"]), place_of(target, row["path"]), follow_symlinks=False)
        for row in reversed(rows):
            if row["kind"] != "hardlink" and os.path.lexists(place_of(target, row["path"])):
                put_metadata_back(row, place_of(target, row["path"]))

    def content(self, row: Json, footers: dict[str, Footer], chunks: Chunks) -> Iterator[bytes | int]:
        """Yield a file's content: bytes, or the length of a hole."""
        require(len(row["extents"]) % 44 == 0, "extents are cut short")
        for chunk_id, offset, length in struct.iter_unpack("<32sIQ", row["extents"]):
            if chunk_id == HOLE:
                yield length
                continue
            require(chunk_id in chunks, "no pack that the snapshot needs has a chunk of it")
            pack_id, (_, number, start, chunk_length) = chunks[chunk_id]
            raw = self.segment(pack_id, number, footers[pack_id])[start : start + chunk_length]
            require(offset + length <= len(raw), "an extent is outside its chunk")
            yield raw[offset : offset + length]

    def segment(self, pack_id: str, number: int, footer: Footer) -> bytes:
        """Return the plain bytes of a segment, whose chunks hash to their ids."""
        if (pack_id, number) not in self._opened:
            segment = footer[0][number]
            with (self.root / "packs" / pack_id[:2] / pack_id).open("rb") as pack:
                pack.seek(segment[4])
                sealed = pack.read(segment[5])
            raw = open_segment(self.keys, self.data_key(segment[0].hex()), segment, sealed)
            chunk_key = self.keys.chunk_key(self._tags[pack_id])
            for chunk_id, of, start, length in footer[1]:
                if of == number:
                    actual = blake3(raw[start : start + length], key=chunk_key).digest()
                    require(actual == chunk_id, f"a chunk of pack {pack_id} does not hash to its id")
            self._opened = {(pack_id, number): raw}  # the last one alone: files are mostly in the order of segments
        return self._opened[pack_id, number]

    def certified(self, data: bytes, subject: str) -> Json | None:
        """Return the body of a seal that a certified signer signed, or None."""
        body, signature = split(data)
        kind = "daily-seal" if "covers" in json.loads(body) else "seal"
        signers = [one for one in self.trust.certificates.get(signature["signer"], ()) if one["rights"]]
        texts = (self.trust.text(data, kind, subject, public_key(one)) for one in signers)
        return next((text for text in texts if text is not None), None)

    def check_audit(self) -> int:
        """Check every seal, each chain, and each file that a seal names; return the count of files."""
        files = 0
        for chain in sorted(self.root.glob("audit/_seals/*")):
            previous = ""
            for sequence, path in enumerate(sorted(chain.glob("*.json")), start=1):
                data = path.read_bytes()
                require(path.stem == f"{sequence:012}-{blake3(data).hexdigest()}", f"{path} does not hash to its name")
                seal = self.certified(data, f"audit/_seals/{chain.name}/{sequence:012}")
                if seal is None:
                    raise DamagedError(f"{path} is nobody's")
                require((seal["format"], seal["version"]) == ("farshore-audit-seal", 1), f"{path} is no seal")
                require((seal["chain_id"], seal["sequence"]) == (chain.name, sequence), f"{path} is another")
                require(seal["previous"] == previous, f"{path} does not follow the seal before it")
                for file in seal["files"]:
                    body = (self.root / file["name"]).read_bytes()
                    check = blake3(body).hexdigest()
                    require((len(body), check) == (file["bytes"], file["blake3"]), f"{file['name']} is altered")
                    require(Path(file["name"]).stem.endswith("-" + check[:32]), f"{file['name']} is another")
                    files += 1
                previous = blake3(data).hexdigest()
        return files


def read_later_header(stored: bytes, first: bytes) -> Json:
    """Return a later header, which whoever knows its fingerprint believes, over the one in farshore.json."""
    header = read_header(split(stored)[0])
    require(header["history"][0]["fingerprint"] == blake3(first).hexdigest(), "it is of another repository")
    return header


def open_repository(root: Path, passphrase: bytes = b"", private_key: bytes = b"", fingerprint: bytes = b"") -> Reader:
    stored = (root / "farshore.json").read_bytes()
    header = read_header(stored)
    if fingerprint and fingerprint != blake3(stored).digest():
        first, stored = stored, (root / f"keys/log/00000000-{fingerprint.hex()}").read_bytes()
        require(blake3(stored).digest() == fingerprint, "the later header is altered")
        header = read_later_header(stored, first)
    trust = read_log(root, header, stored)
    named = [root / f"keys/slots/{slot}.json" for slot in trust.slots]
    for path in [one for one in named if one.exists()] + sorted(root.glob("keys/slots/*.json")):
        data = path.read_bytes()
        require(blake3(data).hexdigest() == path.stem, f"slot {path.stem} is altered")
        keys = open_slot(data, header, trust, passphrase, private_key)
        if keys is not None:
            return Reader(root, header, trust, keys)
    raise DamagedError("no slot opens with that passphrase or identity")


def read_identity(data: bytes) -> bytes:
    """Return the private key of an identity file, whose recipient line must be right."""
    identity: Json = json.loads(data)
    require((identity["format"], identity["version"]) == ("farshore-identity", 1), "this is no identity file")
    line = identity["recipient"].removeprefix("farshore-recipient-1:")
    public = base64.urlsafe_b64decode(line)
    require(len(public) == 1220 and blake3(public[:1216]).digest(4) == public[1216:], "the recipient line is damaged")
    return base64.b64decode(identity["private_key"])


# --- section 5: entries of a manifest --------------------------------------------------------------------------------
def place_of(target: Path, path: bytes) -> bytes:
    names = path.split(b"/") if path else []
    require(not any(name in (b"", b".", b"..") or b"\x00" in name for name in names), f"the path {path!r}")
    return b"/".join([os.fsencode(target), *names])


def make(row: Json, place: bytes) -> None:
    types = (stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK)
    nodes = dict(zip(("fifo", "socket", "character-device", "block-device"), types, strict=True))
    kind = row["kind"]
    if kind == "directory":
        os.makedirs(place, exist_ok=True)
    elif kind == "symlink":
        os.symlink(row["target"], place)
    elif kind in nodes:
        with contextlib.suppress(PermissionError):  # only a superuser makes devices
            os.mknod(place, nodes[kind] | 0o600, row["rdev"] % (1 << 64))
    else:
        require(kind == "hardlink", f"an entry is of the unknown kind {kind}")


def write(parts: Iterator[bytes | int], place: bytes) -> bytes:
    """Write a file; return its content hash."""
    hasher, holes, at = blake3(), list[tuple[int, int]](), 0
    with open(place, "xb") as file:
        for part in parts:
            if isinstance(part, bytes):
                hasher.update(part)
                file.seek(at)
                file.write(part)
                at += len(part)
            else:
                start, length = holes.pop() if holes and sum(holes[-1]) == at else (at, 0)  # holes that touch are one
                holes.append((start, length + part))
                at += part
        file.truncate(at)
    for hole in holes:
        hasher.update(struct.pack("<QQ", *hole))
    return hasher.digest()


def check_pages(place: bytes, pages: tuple[int, dict[int, bytes]] | None, key: bytes) -> None:
    """Check the pages of a restored file against its page map."""
    size, expected = pages or (0, {})
    with open(place, "rb") as file:
        for number, page in expected.items():
            file.seek(number * size)
            require(blake3(file.read(size), key=key).digest(16) == page, f"page {number} of {place!r} has another hash")


def put_metadata_back(row: Json, place: bytes) -> None:
    link, mode = row["kind"] == "symlink", row["mode"]
    try:
        os.chown(place, row["uid"], row["gid"], follow_symlinks=False)
    except PermissionError:  # only a superuser gives files away; setuid of another owner would be a gift to this one
        mode &= 0o1777 if row["kind"] != "directory" else 0o7777
    for pair in row["xattrs"] or ():
        with contextlib.suppress(PermissionError):
            os.setxattr(place, pair["name"], pair["value"], follow_symlinks=False)
    if not link:
        os.chmod(place, mode)
    os.utime(place, ns=(row["mtime_ns"], row["mtime_ns"]), follow_symlinks=False)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--passphrase-file", type=Path)
    parser.add_argument("--identity", type=Path)
    parser.add_argument("--restore", nargs=2, metavar=("SNAPSHOT", "TARGET"))
    given = parser.parse_args(arguments)
    passphrase = passphrase_bytes(given.passphrase_file.read_bytes()) if given.passphrase_file else b""
    private_key = read_identity(given.identity.read_bytes()) if given.identity else b""
    reader = open_repository(given.repository, passphrase, private_key)
    if given.restore:
        (commit,) = [one for one in reader.commits() if one["snapshot"] == given.restore[0]]
        reader.restore(commit, Path(given.restore[1]).absolute())
        return
    for one in reader.commits():
        print(one["snapshot"], one["source"], one["started_utc"], one["counts"]["entries"], "entries")
    for refusal in reader.refused:
        print("refused:", refusal)
    print(reader.check_audit(), "audit files are what their seals say")


if __name__ == "__main__":
    main()

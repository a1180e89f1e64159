"""The vectors and tables of docs/reference/format.md are what the code computes: page and code cannot drift apart."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import math
import re
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from farshore import crypto, limits, signing
from farshore.catalog.signed_commits import open_details
from farshore.chunking.content import ContentCutter, CutSizes
from farshore.chunking.page_hashes import hash_each
from farshore.crypto import derive_key
from farshore.format import decode_signed, names, page_maps
from farshore.format import pack as layout
from farshore.format.approval import Asked
from farshore.format.commit import Commit, CommitHead, decode_head
from farshore.format.fragments import decode_fragment
from farshore.format.lease import Lease, LeaseEnd
from farshore.format.manifest import SCHEMA
from farshore.format.needs import NeededFragment, NeededKey, NeededPack, Needs, decode_needs, encode_needs
from farshore.format.note import Note
from farshore.format.origin import Origin
from farshore.format.pack_id import hash_pack
from farshore.format.plan import PlanPart
from farshore.format.tombstone import CounterTombstone, Tombstone
from farshore.format.verdict import SUBJECT, Verdict, decode_verdict, encode_verdict
from farshore.model import SnapshotCounts
from farshore.page_pool import make_pages
from farshore.replicas.signed_texts import sign_text
from farshore.sealed import domain_keys, key_tag
from farshore.sealed.content_hash import ContentHash
from farshore.sealed.data_key import DATA_KEY_BYTES, DataKey
from farshore.sealed.fragments import make_fragment, open_packs
from farshore.sealed.open_segment import open_segment_at
from farshore.sealed.packs import entry_of, open_footer
from farshore.sealed.sealed_object import SealedKind, key_id_of, open_object, seal_object
from farshore.sealed.segments import PlainSegment, seal_segment
from farshore.signing import SignedKind, SigningKey, verify
from farshore.sources.sqlite.check import DatabaseFacts
from farshore.trust.actions import SourcePrefix
from tests.doubles.keys import fixed_keys

PAGE = (Path(__file__).parents[2] / "docs/reference/format.md").read_text(encoding="utf-8")
PRIVATE = bytes(range(96))
FIRST = domain_keys(b"o" * 32, "main", 1, b"r" * 16)
SIGNING_KEY = SigningKey(bytes(range(64)))
KEYS = fixed_keys(
    repository_id=b"r" * 16,
    public_key=crypto.public_key_of(PRIVATE),
    chunk_key=b"c" * 32,
    index_key=b"i" * 32,
    private_key=PRIVATE,
)
SIGNING = dataclasses.replace(KEYS, fingerprint=b"f" * 32, signing_key=SIGNING_KEY)
DATA_KEY = DataKey(b"k" * 16, b"d" * 32)
SEGMENT_ORIGIN = Origin(DATA_KEY.key_id, b"o" * 32)
TEXT = b"farshore"
TEXT_ID = blake3(TEXT, key=KEYS.chunk_key).digest()


def vector(name: str) -> dict[str, str]:
    """Return the values of a vector of the page; long ones go on in the next lines."""
    (block,) = re.findall(rf"^```vector {name}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    values: dict[str, str] = {}
    last = ""
    for line in block.splitlines():
        if line.startswith(" "):
            values[last] += line.strip()
        else:
            last, value = re.split(r"\s{2,}", line)
            values[last] = value
    return values


def rows_of(heading: str) -> list[list[str]]:
    """Return the cells of the table whose head begins with these words."""
    (table,) = re.findall(rf"^\| {re.escape(heading)}[^\n]*\n\|[-|: ]+\n((?:\|[^\n]*\n)+)", PAGE, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def named_in(cell: str) -> list[str]:
    return re.findall(r"`([a-z0-9_-]+)`", cell)


# --- keys, hashes, sealed texts --------------------------------------------------------------------------------------


def test_keys_and_hashes() -> None:
    sparse = ContentHash()
    sparse.update(TEXT)
    sparse.skip(100)
    assert vector("keys") == {
        "recipient id": KEYS.recipient_id.hex(),
        "derive(chunk key, page)": derive_key(KEYS.chunk_key, "page", KEYS.repository_id).hex(),
        "cut seed": str(KEYS.cut_seed),
        "key tag of main and 1": key_tag("main", 1).hex(),
        "index key of main and 1": FIRST.index_key.hex(),
        "chunk key of main and 1": FIRST.chunk_key.hex(),
        "source id of home": SourcePrefix("0123456789abcdef").source_id("home"),
        "signer id": SIGNING_KEY.signer_id,
        "chunk id of farshore": TEXT_ID.hex(),
        "page hash of farshore": hash_each([memoryview(TEXT)], KEYS.page_key).hex(),
        "content hash of farshore and a hole of 100": sparse.digest().hex(),
    }


def test_a_text_sealed_to_a_recipient() -> None:
    """By the library, and step by step as RFC 9180 and the page's table of ids have it."""
    given = vector("recipient")
    sealed = bytes.fromhex(given["sealed"])
    plain = b"thirty-two bytes of a data key!!"
    assert crypto.open_sealed(PRIVATE, sealed, b"info") == plain
    enc, ciphertext = sealed[:1120], sealed[1120:]
    own = X25519PrivateKey.from_private_bytes(PRIVATE[64:])
    mlkem_secret = MLKEM768PrivateKey.from_seed_bytes(PRIVATE[:64]).decapsulate(enc[:1088])
    x25519_secret = own.exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
    label = bytes.fromhex(found_label()[1])
    public = own.public_key().public_bytes_raw()
    shared = hashlib.sha3_256(mlkem_secret + x25519_secret + enc[1088:] + public + label).digest()
    key, nonce = key_schedule(shared, b"info")
    assert AESGCM(key).decrypt(nonce, ciphertext, b"") == plain
    assert given == {
        "ML-KEM secret": mlkem_secret.hex(),
        "X25519 secret": x25519_secret.hex(),
        "shared secret": shared.hex(),
        "AEAD key": key.hex(),
        "AEAD nonce": nonce.hex(),
        "sealed": given["sealed"],
    }


def found_label() -> tuple[list[int], str]:
    """Return the ids of the suite in the page's table, and the label of its combiner."""
    rows = rows_of("part | RFC 9180 id")
    label = re.search(r"‖ `([0-9a-f]+)`", rows[0][2])
    assert label
    return [int(row[1], 16) for row in rows], label[1]


def key_schedule(shared: bytes, info: bytes) -> tuple[bytes, bytes]:
    """Return key and nonce: section 5.1 of RFC 9180, mode base."""
    suite = b"HPKE" + struct.pack(">3H", *found_label()[0])

    def extract(salt: bytes, label: bytes, secret: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + secret, "sha256")

    def expand(secret: bytes, label: bytes, length: int) -> bytes:
        context = b"\x00" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
        labeled = struct.pack(">H", length) + b"HPKE-v1" + suite + label + context
        return hmac.digest(secret, labeled + b"\x01", "sha256")[:length]  # one block of HKDF-Expand is enough

    secret = extract(shared, b"secret", b"")
    return expand(secret, b"key", 32), expand(secret, b"base_nonce", 12)


def test_a_pack() -> None:
    given = {name: bytes.fromhex(value) for name, value in vector("pack").items()}
    pack = given["pack"]
    entry = entry_of(pack)
    assert (entry.body_hash, entry.pack_id, hash_pack(pack)) == (given["body hash"], given["pack id"], given["pack id"])
    plain = open_footer(KEYS, entry.header, entry.sealed_footer)
    assert plain == given["plain footer"]
    footer = layout.decode_footer(plain, layout.decode_header(entry.header).body_bytes)
    opened = open_segment_at(footer, 0, memoryview(pack), make_pages, keys=KEYS, data_key=DATA_KEY)
    assert bytes(opened) == TEXT
    segment = PlainSegment(SEGMENT_ORIGIN, 7, TEXT, ((TEXT_ID, 0, len(TEXT)),))
    assert seal_segment(segment, DATA_KEY, KEYS.repository_id).sealed == pack[80:104]
    assert verify(
        SIGNING_KEY.verify_key, SignedKind.PACK, entry.signature,
        fingerprint=SIGNING.fingerprint, subject="packs/", digest=entry.signed_digest,
    )  # fmt: skip


def test_a_fragment() -> None:
    given = {name: bytes.fromhex(value) for name, value in vector("fragment").items()}
    entry = entry_of(bytes.fromhex(vector("pack")["pack"]))
    assert make_fragment([entry], SIGNING) == given["fragment"]
    assert blake3(given["fragment"]).digest() == given["hash"]
    fragment = decode_fragment(given["fragment"])
    (packed,) = open_packs(fragment.entries, KEYS).footers
    assert (packed.pack_id.hex(), bytes(packed.footer.chunks["id"][0])) == (vector("pack")["pack id"], TEXT_ID)


@pytest.mark.parametrize(
    ("of", "picture"),
    [
        ("pack", r"with one chunk, `farshore`:\n\n(.*?)\n## 5"),
        ("fragment", r"that of \[vector `fragment`\]\(#10-test-vectors\):\n\n(.*?)\n\*\*Lease"),
    ],
)
def test_pictures_have_the_bytes_of_their_vectors(of: str, picture: str) -> None:
    data, plain = bytes.fromhex(vector(of)[of]), bytes.fromhex(vector("pack")["plain footer"])
    (shown_there,) = re.findall(picture, PAGE, re.DOTALL)
    found = 0
    for line in shown_there.splitlines():
        match = re.match(r" *(\d+)  ((?:[0-9a-f]{2}|\|)(?: (?:[0-9a-f]{2}|\|))*)(?:\s{2,}|$)", line)
        if match:
            offset, shown = int(match[1]), bytes.fromhex(match[2].replace("|", ""))
            body = plain if line.startswith("         ") else data
            assert body[offset : offset + len(shown)] == shown, line
            found += 1
    assert found >= 4


def test_a_sealed_object() -> None:
    sealed = bytes.fromhex(vector("object")["object"])
    opened = open_object(
        sealed, secret=DATA_KEY.secret, kind=SealedKind.MANIFEST, name=names.RUNS, repository_id=KEYS.repository_id
    )
    assert opened == TEXT
    assert make_sealed() == sealed
    assert key_id_of(sealed) == DATA_KEY.key_id


def make_sealed() -> bytes:
    """Return the sealed object of the page."""
    return seal_object(
        TEXT, secret=DATA_KEY.secret, key_id=DATA_KEY.key_id, salt=b"s" * 32, kind=SealedKind.MANIFEST, name=names.RUNS,
        repository_id=KEYS.repository_id,
    )  # fmt: skip


def the_needs() -> Needs:
    pack_id = vector("pack")["pack id"]
    return Needs(
        packs=(NeededPack(pack_id, 330, (9, 0b1_0000_0101)),),
        data_keys=(NeededKey(DATA_KEY.key_id.hex(), KEYS.recipient_id.hex(), names.hash_of(TEXT)),),
        fragments=(NeededFragment(names.hash_of(TEXT), len(TEXT)),),
    )  # fmt: skip


def test_needs() -> None:
    body = bytes.fromhex(vector("needs")["needs"])
    assert encode_needs(the_needs()) == body
    assert decode_needs(body, "it") == the_needs()


def the_verdict() -> Verdict:
    key = NeededKey(DATA_KEY.key_id.hex(), KEYS.recipient_id.hex(), names.hash_of(TEXT))
    return Verdict(
        proven=(bytes.fromhex(vector("pack")["pack id"]),), data_keys=(key,), bad=(b"b" * 32,),
        lifts=(blake3(TEXT).digest(),), reason="read whole by a verify", made_utc=datetime(2026, 1, 1, tzinfo=UTC),
        log=(1, names.hash_of(TEXT)),
    )  # fmt: skip


def test_a_verdict() -> None:
    body, signed = (bytes.fromhex(vector("verdict")[one]) for one in ("verdict", "signed"))
    assert encode_verdict(the_verdict()) == body
    assert decode_verdict(json.loads(body), "it") == the_verdict()
    text = sign_text(SIGNING, SignedKind.VERDICT, SUBJECT, body)
    assert text.startswith(body)
    decoded = decode_signed(text, "it", limits.VERDICT_BYTES_MAX)
    assert signing.verify(
        SIGNING_KEY.verify_key, SignedKind.VERDICT, decoded.signature, fingerprint=SIGNING.fingerprint,
        subject=SUBJECT, digest=blake3(body).digest(),
    )  # fmt: skip
    message = signing.signed_message(
        SignedKind.VERDICT, fingerprint=SIGNING.fingerprint, key_hash=SIGNING_KEY.verify_key.key_hash, subject=SUBJECT,
        digest=blake3(body).digest(),
    )  # fmt: skip
    assert message == signed


def test_a_commit() -> None:
    """Its details open, and both its hash and its signature are over the bytes as the page has them."""
    given = vector("commit")
    stored = bytes.fromhex(given["commit"])
    assert names.hash_of(stored) == given["hash"]
    text = decode_signed(stored, "it", limits.COMMIT_BYTES_MAX)
    assert text.body.decode() == stored.decode().split("\n", maxsplit=1)[0] + "\n"
    head, sealed = decode_head(text.value, "it")
    commit = open_details(KEYS, head, sealed)
    assert (commit.source, commit.needs[0].blake3) == ("farshore", names.hash_of(encode_needs(the_needs())))
    key = SigningKey(bytes(range(64)))
    assert text.signature.signer == key.signer_id == given["signer"]
    assert signing.verify(
        key.verify_key, SignedKind.COMMIT, text.signature, fingerprint=KEYS.fingerprint, subject=commit.subject,
        digest=blake3(text.body).digest(),
    )  # fmt: skip
    message = signing.signed_message(
        SignedKind.COMMIT, fingerprint=KEYS.fingerprint, key_hash=key.verify_key.key_hash, subject=commit.subject,
        digest=blake3(text.body).digest(),
    )  # fmt: skip
    assert message.hex() == given["signed"]


# --- cut points ------------------------------------------------------------------------------------------------------


def cuts_by_the_page(data: bytes, sizes: CutSizes, seed: int) -> list[int]:
    """Return lengths of chunks: section 3, line by line."""
    masks = {int(row[at]): int(row[at + 1], 16) for row in rows_of("b | MASK") for at in (0, 2, 4)}
    bits = math.floor(math.log2(sizes.average) + 0.5)
    small, large = masks[bits + sizes.normalization], masks[bits - sizes.normalization]
    gear = [int.from_bytes(hashlib.md5(bytes([one]) * 64).digest()[:8], "big") ^ seed for one in range(256)]
    lengths, at = [], 0
    while left := len(data) - at:
        end = min(left, sizes.maximum)
        middle, length, rolling = min(sizes.average, end) & ~1, end, 0
        if left > sizes.minimum:
            for place in range(sizes.minimum & ~1, end & ~1):
                rolling = (2 * rolling + gear[data[at + place]]) % (1 << 64)
                if rolling & (small if place < middle else large) == 0:
                    length = place
                    break
        lengths.append(length)
        at += length
    return lengths


@pytest.mark.parametrize("row", rows_of("minimum | average"), ids=lambda row: "-".join(row[:6]))
def test_cut_points(row: list[str]) -> None:
    minimum, average, maximum, normalization = map(int, row[:4])
    sizes = CutSizes(minimum, average, maximum, normalization)
    seed, data = int.from_bytes(bytes.fromhex(row[4]), "little"), blake3(TEXT).digest(int(row[5]))
    expected = [int(length) for length in row[6].split()]
    assert [len(chunk) for chunk in ContentCutter(sizes=sizes, seed=seed).whole(data)] == expected
    assert cuts_by_the_page(data, sizes, seed) == expected


# --- tables of names -------------------------------------------------------------------------------------------------


def test_limits_are_those_of_the_code() -> None:
    limit = dict(rows_of("of | limit"))
    assert limit["objects, in stored bytes"] == (
        "header and slot 64 KiB; entry of the owner log 1 MiB, list of accepted commits 64 MiB; data key 4 KiB; "
        "pack and fragment 64 MiB; commit 1 MiB; a run 2 GiB where it is read whole, "
        f"{limits.NEEDS_BYTES_MAX // limits.MIB} MiB where it is of needs; beat of a lease 64 KiB, its end 2 MiB; "
        "plan 64 MiB; tombstone 64 KiB, set of tombstones 16 MiB; verdict 1 MiB; note 64 KiB; approval 1 MiB; "
        "audit seal 16 MiB; audit file 256 MiB"
    )  # each held by tests/unit/format/test_bounds.py
    assert f"maximum ≤ {limits.CHUNK_BYTES_MAX // limits.MIB} MiB" in limit["header"]
    costs = (limits.ARGON2_MEMORY_KIB_MAX, limits.ARGON2_ITERATIONS_MAX, limits.ARGON2_LANES_MAX)
    costs_said = [int(number.replace(",", "")) for number in re.findall(r"[\d,]+", limit["passphrase slot"])]
    assert costs_said == [8, costs[0], 1, costs[1], 1, costs[2]]
    assert f"exactly {DATA_KEY_BYTES} bytes" in limit["data key"]
    smallest = layout.HEADER_BYTES + layout.TAIL_BYTES
    assert f"at least {smallest} bytes; footer length ≤ size - {smallest}" in limit["pack"]
    assert f"before {limits.PACK_BYTES_MAX // limits.MIB} MiB" in limit["pack"]
    assert f"raw length ≤ {(limits.SEGMENT_BYTES + limits.CHUNK_BYTES_MAX) // limits.MIB} MiB" in limit["pack"]
    assert limits.SEQUENCE_MAX == 2**53 - 1
    assert "`sequence` 1 to 2^53 - 1" in limit["commit"]
    assert f"at most {limits.COMMIT_BYTES_MAX // limits.MIB} MiB" in limit["commit"]
    assert f"at most {limits.AUDIT_FILE_BYTES_MAX // limits.MIB} MiB" in limit["audit file"]
    assert f"and on of a file, {limits.PAGE_SLOT_PAGES:,} of them" in PAGE
    assert f"2,048 rows or {limits.PAGE_MAP_BLOCK_BYTES // limits.KIB} KiB, the key of a row" in PAGE
    assert f"At most {limits.FRAGMENT_PACKS_MAX} packs" in PAGE


def test_tables_name_what_the_code_has() -> None:
    keys = [name for row in rows_of("key of a commit") for name in named_in(row[0])]
    public = {item.name for item in dataclasses.fields(CommitHead)} - {"hash", "signer"}  # of the object, not in it
    assert sorted(keys) == sorted({"format", "version", "sealed", *public})
    details = [name for row in rows_of("key of what `sealed` holds") for name in named_in(row[0])]
    own = {item.name for item in dataclasses.fields(Commit)} - {item.name for item in dataclasses.fields(CommitHead)}
    assert sorted(details) == sorted(own)
    counts = [name for row in rows_of("name in `counts`") for name in named_in(row[0])]
    assert sorted(counts) == sorted(item.name for item in dataclasses.fields(SnapshotCounts))
    roles = [name for row in rows_of("role in `runs`") for name in named_in(row[0])]
    assert roles == [names.MANIFEST, names.NEEDS, names.PAGES]
    columns = [name for row in rows_of("column | type") for name in row[0].split(", ")]
    assert columns == SCHEMA.names
    assert [row[0] for row in rows_of("column of pages")] == page_maps.SCHEMA.names
    assert _fields(Lease) <= set(_named_after("A beat is a signed text"))
    assert _fields(LeaseEnd) <= set(_named_after("An end, `leases/"))
    assert _fields(PlanPart) <= set(_named_after("is a signed text of kind `plan`"))
    assert _fields(Tombstone) <= set(_named_after("is a signed text of kind `tombstone`"))
    rows = [name for row in rows_of("key | each | meaning") for name in named_in(row[0])]
    assert _fields(Verdict) <= {*_named_after("what somebody found who read packs whole"), *rows}
    asked = [name for row in rows_of("key of `asked`") for name in named_in(row[0])]
    assert sorted(asked) == sorted(_fields(Asked))
    assert _fields(Note) <= set(_named_after("a maintainer's word on one snapshot"))
    assert _fields(CounterTombstone) <= set(_named_after("kind `untombstone`, takes"))
    facts = {row[0].strip("`"): set(named_in(row[1])) for row in rows_of("source | names in `facts`")}
    assert set(DatabaseFacts(1, 1, "", 0, 0, 0, "").as_text()) < facts["sqlite"]


def _fields(kind: type[Any]) -> set[str]:
    return {item.name for item in dataclasses.fields(kind)}


def _named_after(text: str) -> list[str]:
    """Return the names in the paragraph of the page that has this text, from there on."""
    (found,) = re.findall(rf"{re.escape(text)}(.*?)\n\n", PAGE, re.DOTALL)
    return named_in(found)

"""The signed chain over the audit files. Pure: the caller reads and writes.

Each flush of audit rows makes one seal, canonical JSON as in docs/reference/format.md:

    {"files":[{"blake3":…,"bytes":…,"name":…}, …],   the audit files of the flush
     "kind":"farshore-audit-seal","version":1,
     "previous":…,                                   BLAKE3-256 of the writer's seal before this one; "" for its first
     "repository_id":…,"run_id":…,"sealed_utc":…,
     "sequence":…,                                   1, 2, 3, … per writer, with no gap
     "signature":…,                                  Ed25519 over CONTEXT + the seal without this key; "" when unsigned
     "writer_id":…}                                  32 hex digits, made at random once per host

An altered, replaced or removed file or seal shows, and so does a file that no seal covers. Two things a chain cannot
show by itself: that the newest seals of a writer were removed together with their files (compare two replicas, or pass
the `heads` that a host remembers), and what a holder of the signing key chose to write.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from blake3 import blake3
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from farshore.audit import names
from farshore.errors import Corrupt, FormatTooNew, NotFound, ObjectCorrupt
from farshore.format.records import JsonObject, decode_object, encode_canonical

SEAL_KIND = "farshore-audit-seal"
SEAL_VERSION = 1
CONTEXT = b"farshore audit seal 1\n"  # keeps a signature from meaning anything elsewhere


@dataclass(frozen=True, slots=True)
class SealedFile:
    """One audit file as a seal names it."""

    name: str
    bytes: int
    blake3: str


@dataclass(frozen=True, slots=True)
class Seal:
    """One link of a writer's chain."""

    repository_id: str
    writer_id: str
    sequence: int
    previous: str
    run_id: str
    sealed_utc: str
    files: tuple[SealedFile, ...]
    signature: str = ""


@dataclass(frozen=True, slots=True)
class SealFinding:
    """Something wrong with the evidence.

    `code`: missing-file, altered-file, bad-seal, format-too-new, bad-signature, missing-seal, broken-chain,
    unsealed-file.
    """

    code: str
    object: str
    detail: str


def digest(data: bytes) -> str:
    """Return the BLAKE3-256 of `data` as 64 hex digits."""
    return blake3(data).hexdigest()


def public_key_of(signing_key: bytes) -> bytes:
    """Return the 32-byte public key of a 32-byte Ed25519 signing key."""
    return Ed25519PrivateKey.from_private_bytes(signing_key).public_key().public_bytes_raw()


def make_seal(
    *,
    repository_id: str,
    writer_id: str,
    sequence: int,
    previous: str,
    run_id: str,
    sealed_utc: datetime,
    files: Sequence[SealedFile],
    signing_key: bytes | None,
) -> bytes:
    """Return the bytes of one seal. The same arguments give the same bytes."""
    seal = Seal(
        repository_id=repository_id,
        writer_id=writer_id,
        sequence=sequence,
        previous=previous,
        run_id=run_id,
        sealed_utc=sealed_utc.isoformat(),
        files=tuple(sorted(files, key=lambda file: file.name)),
    )
    signature = ""
    if signing_key is not None:
        signature = Ed25519PrivateKey.from_private_bytes(signing_key).sign(_signed(_document(seal))).hex()
    return encode_canonical(_document(seal) | {"signature": signature})


def decode_seal(name: str, data: bytes) -> Seal:
    """Return the seal, its shape checked but not its signature.

    Raises:
        ObjectCorrupt: These bytes are no seal, or have the name of another one.
        FormatTooNew: It is a seal of a later version.
    """
    try:
        document = decode_object(data, name)
        if document["kind"] != SEAL_KIND:
            raise ValueError("not a seal")
        version = _count(document["version"])
        if version > SEAL_VERSION and encode_canonical(document) == data:
            raise FormatTooNew(f"audit seal {name} has version {version}; this Farshore knows {SEAL_VERSION}")
        if version != SEAL_VERSION:
            raise ValueError("not a seal of this version")
        seal = Seal(
            repository_id=_text(document["repository_id"]),
            writer_id=_text(document["writer_id"]),
            sequence=_count(document["sequence"]),
            previous=_text(document["previous"]),
            run_id=_text(document["run_id"]),
            sealed_utc=_text(document["sealed_utc"]),
            files=tuple(
                SealedFile(_text(file["name"]), _count(file["bytes"]), _text(file["blake3"]))
                for file in document["files"]
            ),
            signature=_text(document["signature"]),
        )
        if encode_canonical(document) != data:
            raise ValueError("not in canonical form")
        if names.seal_place(name) != (seal.writer_id, seal.sequence):
            raise ValueError("stands under the name of another seal")
    except (ValueError, KeyError, TypeError, RecursionError, ObjectCorrupt) as error:
        raise ObjectCorrupt(f"audit seal {name} is damaged: {error}") from error
    return seal


def check_seal(name: str, data: bytes, public_keys: Collection[bytes] | None) -> SealFinding | None:
    """Return the fault of one seal by itself, or None."""
    return _judge(name, data, public_keys)[1]


def verify_seals(
    seals: Iterable[tuple[str, bytes]],
    public_keys: Collection[bytes] | None,
    files: Mapping[str, int],
    read: Callable[[str], bytes] | None = None,
    *,
    heads: Mapping[str, int] | None = None,
    settled: bool = False,
) -> list[SealFinding]:
    """Return everything that is wrong with the evidence at one replica; an empty list when it holds.

    Args:
        seals: Name and bytes of every object below `audit/_seals/`.
        public_keys: Ed25519 keys of all certified signers, 32 bytes each; None where seals are unsigned, which then is
            no finding.
        files: Name and size of every object below `audit/`. List them after the seals were read: a run that is at work
            puts its files first.
        read: Gives the bytes of a file, to compare them too; without it names and sizes are compared.
        heads: The newest sequence that is known of each writer, from elsewhere than this replica.
        settled: Report files that no good seal names, too. A run that is at work, or was killed and has not been
            followed by another one of its host, leaves such files, so this is for when there is none.
    Raises:
        FarshoreError: As `read` did, but for NotFound and Corrupt, which are findings.
    """
    findings: list[SealFinding] = []
    chains: dict[str, _Chain] = defaultdict(_Chain)
    for name, data in seals:
        seal, finding = _judge(name, data, public_keys)
        if finding:
            findings.append(finding)
        if seal:
            chains[seal.writer_id].links[seal.sequence] = (seal, digest(data))
        elif place := names.seal_place(name):
            chains[place[0]].spoilt.add(place[1])
    for writer_id, sequence in (heads or {}).items():
        chains[writer_id].head = sequence
    for writer_id, chain in sorted(chains.items()):
        findings += _check_chain(writer_id, chain)
    sealed = {file.name: file for chain in chains.values() for seal, _ in chain.links.values() for file in seal.files}
    for _, file in sorted(sealed.items()):
        if finding := _check_file(file, files.get(file.name), read):
            findings.append(finding)
    if settled:
        unsealed = sorted(name for name in files if name not in sealed and not name.startswith(names.SEALS))
        findings += [SealFinding("unsealed-file", name, "no good seal names it") for name in unsealed]
    return findings


@dataclass
class _Chain:
    """The seals of one writer at one replica: good seals with their digests, and the places of bad ones."""

    links: dict[int, tuple[Seal, str]] = field(default_factory=dict)
    spoilt: set[int] = field(default_factory=set)
    head: int = 0


def _judge(name: str, data: bytes, public_keys: Collection[bytes] | None) -> tuple[Seal | None, SealFinding | None]:
    # Only a good seal may vouch for files or give the length of a chain: anyone who can write can forge the others.
    try:
        seal = decode_seal(name, data)
    except ObjectCorrupt as error:
        return None, SealFinding("bad-seal", name, error.message)
    except FormatTooNew as error:
        return None, SealFinding(error.code, name, error.message)
    if public_keys is not None and not _signed_by(decode_object(data, name), public_keys):
        return None, SealFinding("bad-signature", name, "was not signed by anybody whom the owner certified")
    return seal, None


def _check_chain(writer_id: str, chain: _Chain) -> list[SealFinding]:
    findings = []
    end = max([*chain.links, chain.head])
    places = [*chain.links, *(sequence for sequence in chain.spoilt if sequence <= end), end + 1]
    before = 0
    for sequence in sorted(places):
        name = names.seal_name(writer_id, sequence)
        if sequence > before + 1:
            missing = names.seal_name(writer_id, before + 1)
            count = sequence - before - 1
            findings.append(SealFinding("missing-seal", missing, f"{count} missing in a row, the first of them named"))
        if sequence in chain.links:
            previous = chain.links.get(sequence - 1)
            expected = "" if sequence == 1 else previous[1] if previous else None
            if expected is not None and chain.links[sequence][0].previous != expected:
                findings.append(SealFinding("broken-chain", name, "does not follow the seal before it"))
        before = sequence
    return findings


def _check_file(file: SealedFile, size: int | None, read: Callable[[str], bytes] | None) -> SealFinding | None:
    if size is None:
        return SealFinding("missing-file", file.name, "a seal names it and the replica does not have it")
    if size != file.bytes:
        return SealFinding("altered-file", file.name, f"has {size} bytes where {file.bytes} were sealed")
    if read is None:
        return None
    try:
        whole = digest(read(file.name)) == file.blake3
    except NotFound:
        return SealFinding("missing-file", file.name, "it is listed and cannot be read")
    except Corrupt as error:
        return SealFinding("altered-file", file.name, error.message)
    return None if whole else SealFinding("altered-file", file.name, "has other bytes than were sealed")


def _signed_by(document: JsonObject, public_keys: Collection[bytes]) -> bool:
    """Whether the signature of a seal covers all that was stored, keys of later versions included."""
    body = {key: value for key, value in document.items() if key != "signature"}
    for public_key in public_keys:
        try:
            signature = bytes.fromhex(document["signature"])
            Ed25519PublicKey.from_public_bytes(public_key).verify(signature, _signed(body))
        except (InvalidSignature, ValueError):
            continue
        return True
    return False


def _signed(body: JsonObject) -> bytes:
    return CONTEXT + encode_canonical(body)


def _document(seal: Seal) -> JsonObject:
    document = asdict(seal) | {"kind": SEAL_KIND, "version": SEAL_VERSION}
    del document["signature"]
    return document


def _count(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"{type(value).__name__} where a number belongs")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where text belongs")
    return value

"""Seals: one link of a chain each, over the audit files of one flush. Pure. docs/reference/format.md, section 7.

    {"chain_id":…,"covers":[…],"files":[{"blake3":…,"bytes":…,"name":…}, …],"format":"farshore-audit-seal",
     "heads":{"chains":{…},"sources":{…}},"log":[number,hash],"previous":…,"run_id":…,"sealed_utc":…,"sequence":…,
     "version":1}

and a line with the signature (farshore/format). One with `covers` is a daily seal, which both algorithms sign. A chain
id begins with the first half of its signer's id, so a chain has one signer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

from blake3 import blake3

from farshore import limits
from farshore.audit import names
from farshore.audit.folds import Fold
from farshore.errors import Bug, FormatTooNew, ObjectCorrupt
from farshore.format import (
    JsonObject,
    SignedText,
    decode_signed,
    decode_time,
    encode_canonical,
    encode_signed,
    encode_time,
    is_hex,
)
from farshore.format.names import hash_of, object_bytes_max
from farshore.signing import HASH_BYTES, SignedKind, SigningKey, VerifyKey, sign, verify
from farshore.trust.log_entry import LogHead

FORMAT = "farshore-audit-seal"
VERSION = 1
_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class SealedFile:
    """One audit file as a seal names it."""

    name: str
    bytes: int
    blake3: str


@dataclass(frozen=True, slots=True)
class SeenHeads:
    """The heads of others that a writer saw: the newest commit of each source, and seal of each other chain."""

    sources: Mapping[str, str] = field(default_factory=dict)
    chains: Mapping[str, tuple[int, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seal:
    """One link of a chain. `covers`: hashes of commits and seals; None where it is no daily seal.

    `fold`: the stretch of a chain that its files are the rows of; None where they are its writer's own.

    `hash` is that of the stored bytes, `signer` whom they name; both are empty before it is stored.
    """

    chain: str
    sequence: int
    previous: str
    run_id: str
    sealed_utc: datetime
    files: tuple[SealedFile, ...]
    log: LogHead
    heads: SeenHeads = field(default_factory=SeenHeads)
    covers: tuple[str, ...] | None = None
    fold: Fold | None = None
    hash: str = ""
    signer: str = ""

    @property
    def name(self) -> str:
        """The name of its object."""
        return names.seal_name(self.chain, self.sequence, self.hash)

    @property
    def subject(self) -> str:
        """Its name without its hash, which the signature covers."""
        return names.seal_subject(self.chain, self.sequence)

    @property
    def kind(self) -> SignedKind:
        """The kind as which it is signed."""
        return SignedKind.SEAL if self.covers is None else SignedKind.DAILY_SEAL


def make_seal(seal: Seal, key: SigningKey, fingerprint: bytes) -> tuple[Seal, bytes]:
    """Return the seal with its hash and signer, and its bytes, which were read back.

    The bytes of a daily seal differ at each call.
    """
    seal = replace(seal, files=tuple(sorted(seal.files, key=lambda file: file.name)))
    body = encode_canonical(_document(seal))
    signature = sign(
        key, seal.kind, fingerprint=fingerprint, subject=names.seal_subject(seal.chain, seal.sequence),
        digest=blake3(body).digest(),
    )  # fmt: skip
    data = encode_signed(body, signature)
    made = replace(seal, hash=hash_of(data), signer=key.signer_id)
    read, text = decode_seal(made.name, data)
    if read != made or not signature_holds(read, text, key.verify_key, fingerprint):
        raise Bug(f"{made.name} does not read as it was written")
    return made, data


def decode_seal(name: str, data: bytes) -> tuple[Seal, SignedText]:
    """Return the seal of that name; its signature is not checked.

    Raises:
        ObjectCorrupt: These bytes are not those of the name, or no seal of that place.
        FormatTooNew: It is a seal of a later version.
    """
    place = names.parse_seal(name)
    if place is None or hash_of(data) != place.hash:
        raise ObjectCorrupt(f"audit seal {name} is damaged: its bytes do not hash to its name")
    text = decode_signed(data, f"audit seal {name}", object_bytes_max(name))
    try:
        seal = _seal(text.value, name)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ObjectCorrupt(f"audit seal {name} is damaged: {error}") from error
    seal = replace(seal, hash=place.hash, signer=text.signature.signer)
    if (seal.chain, seal.sequence) != (place.chain, place.sequence):
        raise ObjectCorrupt(f"audit seal {name} has the name of another one")
    if not names.is_chain_of(seal.chain, seal.signer):
        raise ObjectCorrupt(f"audit seal {name} is in the chain of another signer")
    return seal, text


def signature_holds(seal: Seal, text: SignedText, key: VerifyKey, fingerprint: bytes) -> bool:
    """Whether the holder of this key signed this seal for the repository of this fingerprint."""
    return verify(
        key, seal.kind, text.signature, fingerprint=fingerprint,
        subject=names.seal_subject(seal.chain, seal.sequence), digest=blake3(text.body).digest(),
    )  # fmt: skip


def _document(seal: Seal) -> JsonObject:
    document: JsonObject = {
        "format": FORMAT,
        "version": VERSION,
        "run_id": seal.run_id,
        "chain_id": seal.chain,
        "sequence": seal.sequence,
        "previous": seal.previous,
        "sealed_utc": encode_time(seal.sealed_utc),
        "files": [{"name": one.name, "bytes": one.bytes, "blake3": one.blake3} for one in seal.files],
        "log": [seal.log.number, seal.log.hash],
        "heads": {
            "sources": dict(seal.heads.sources),
            "chains": {chain: list(head) for chain, head in seal.heads.chains.items()},
        },
    }
    if seal.covers is not None:
        document["covers"] = list(seal.covers)
    if seal.fold is not None:
        document["fold"] = _fold_document(seal.fold)
    return document


def _fold_document(fold: Fold) -> JsonObject:
    return {
        "chain_id": fold.chain, "first": fold.first, "previous": fold.previous, "seals": list(fold.seals),
        "kept": list(fold.kept), "expired": fold.expired,
    }  # fmt: skip


def _seal(value: JsonObject, name: str) -> Seal:
    if value["format"] != FORMAT:
        raise ValueError("not a seal")
    if _count(value["version"]) > VERSION:
        raise FormatTooNew(f"audit seal {name} has version {value['version']}; this Farshore knows {VERSION}")
    sequence, previous = _count(value["sequence"]), value["previous"]
    if not 1 <= sequence <= limits.SEQUENCE_MAX or not (previous == "" if sequence == 1 else _hash(previous)):
        raise ValueError("it has no place in a chain")
    number, head = value["log"]
    return Seal(
        chain=_id(value["chain_id"]),
        sequence=sequence,
        previous=previous,
        run_id=_text(value["run_id"]),
        sealed_utc=decode_time(_text(value["sealed_utc"])),
        files=tuple(
            SealedFile(_file_name(one["name"]), _count(one["bytes"]), _hash(one["blake3"])) for one in value["files"]
        ),
        log=LogHead(_count(number), _hash(head)),
        heads=_heads(value["heads"]),
        covers=tuple(_hash(one) for one in value["covers"]) if "covers" in value else None,
        fold=_fold(value["fold"]) if "fold" in value else None,
    )


def _fold(value: JsonObject) -> Fold:
    first, previous = _count(value["first"]), value["previous"]
    seals = tuple(_hash(one) for one in value["seals"])
    fold = Fold(
        _id(value["chain_id"]), first, "" if first == 1 and previous == "" else _hash(previous), seals,
        tuple(_count(one) for one in value["kept"]), _text(value["expired"]),
    )  # fmt: skip
    if not seals or not 1 <= first <= fold.last <= limits.SEQUENCE_MAX or len({*seals}) < len(seals):
        raise ValueError("a fold of no stretch of a chain")
    if fold.expired:
        date.fromisoformat(fold.expired)
    return fold


def _heads(value: JsonObject) -> SeenHeads:
    return SeenHeads(
        sources={_id(source): _hash(commit) for source, commit in value["sources"].items()},
        chains={_id(chain): (_count(last[0]), _hash(last[1])) for chain, last in value["chains"].items()},
    )


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError(f"{type(value).__name__} where a number belongs")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where text belongs")
    return value


def _file_name(value: Any) -> str:
    if not names.is_file(_text(value)):
        raise ValueError(f"{value!r} is no audit file")
    return str(value)


def _id(value: Any) -> str:
    if not is_hex(value, _ID_BYTES):
        raise ValueError("no id where one belongs")
    return str(value)


def _hash(value: Any) -> str:
    if not is_hex(value, HASH_BYTES):
        raise ValueError("no hash where one belongs")
    return str(value)

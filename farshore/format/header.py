"""The repository's header, `farshore.json`. Pure; docs/reference/format.md, section 1."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import datetime
from typing import Any

from blake3 import blake3

from farshore import limits
from farshore.errors import Bug, FeatureMissing, FormatTooNew, HeaderDamaged, ObjectCorrupt
from farshore.format import (
    HASH_BYTES,
    decode_base64,
    decode_log,
    decode_object,
    decode_time,
    encode_canonical,
    encode_time,
    is_hex,
    split_signed,
)
from farshore.model import Signature, dataclass

FORMAT = "farshore"
VERSION = 1
KNOWN_FEATURES: frozenset[str] = frozenset()  # features beyond version 1 that this code understands
_ALGORITHM = "fastcdc-2020"
_MINIMUM_BYTES = (64, limits.MIB)  # these three are what the cutter accepts
_AVERAGE_BYTES_MIN = 256
_MAXIMUM_BYTES_MIN = 1024
_PAGE_BYTES_MAX = 64 * limits.KIB  # of SQLite; a block holds whole pages of every size
_ED25519_BYTES, _ML_DSA_65_BYTES = 32, 1952  # of public keys
_NORMALIZATIONS = (0, 1, 2, 3)
PREFIX_BYTES_MIN = 16  # of a fingerprint, 128 bits: fewer could be met by trying keys


@dataclass(frozen=True, slots=True)
class Chunking:
    """Sizes in bytes; a promise to every snapshot of the repository."""

    minimum: int
    average: int
    maximum: int
    block: int
    normalization: int = 1

    def is_usable(self) -> bool:
        """Whether the cutter and the comparison of pages can work with these sizes."""
        least, most = _MINIMUM_BYTES
        in_order = self.minimum <= self.average <= self.maximum <= limits.CHUNK_BYTES_MAX
        large_enough = self.average >= _AVERAGE_BYTES_MIN and self.maximum >= _MAXIMUM_BYTES_MIN
        cuts = in_order and large_enough and least <= self.minimum <= most
        blocks = 0 < self.block <= limits.CHUNK_BYTES_MAX and self.block % _PAGE_BYTES_MAX == 0
        return cuts and blocks and self.normalization in _NORMALIZATIONS


@dataclass(frozen=True, slots=True)
class PastOwner:
    """A fingerprint that the repository had before, and what of its owner log counts.

    `owner`: the public key in the header of that time. `log`: number and hash of the last entry that counts.
    """

    fingerprint: bytes
    owner: bytes
    log: tuple[int, str]


@dataclass(frozen=True, slots=True)
class Header:
    """The parameters that every reader of a repository needs first. Holds no secret.

    `check` and `fingerprint` cover keys of later versions, which have no field here, so they are of the stored bytes
    and never computed from the fields. `fingerprint`: BLAKE3-256 of the stored header; every signature covers it.
    """

    repository_id: str
    created_utc: datetime
    chunking: Chunking
    owner: bytes  # the first owner's public key, Ed25519 (32) ‖ ML-DSA-65 (1952); the owner log names later ones
    check: str
    fingerprint: bytes
    must_understand: tuple[str, ...] = ()
    may_ignore: tuple[str, ...] = ()
    history: tuple[PastOwner, ...] = ()  # of a later header, the oldest first

    @property
    def past(self) -> tuple[bytes, ...]:
        """The fingerprints that the repository had before."""
        return tuple(one.fingerprint for one in self.history)

    def follows(self, fingerprint: bytes) -> bool:
        """Whether the repository had this fingerprint, or one that begins so, before it had this header."""
        return any(one.fingerprint.startswith(fingerprint) for one in self.history)

    @property
    def repository_bytes(self) -> bytes:
        """The repository id as 16 bytes."""
        return bytes.fromhex(self.repository_id)


def new_header(
    *,
    repository_id: str,
    created_utc: datetime,
    chunking: Chunking,
    owner: bytes,
    must_understand: tuple[str, ...] = (),
    may_ignore: tuple[str, ...] = (),
) -> Header:
    """Return the header of a new repository, with its check."""
    header = Header(
        repository_id=repository_id,
        created_utc=created_utc,
        chunking=chunking,
        owner=owner,
        check="",
        fingerprint=b"",
        must_understand=must_understand,
        may_ignore=may_ignore,
    )
    header = replace(header, check=check_of(_body(header)))
    return replace(header, fingerprint=blake3(encode_header(header)).digest())


def later_header(before: Header, *, created_utc: datetime, owner: bytes, log: tuple[int, str]) -> Header:
    """Return the header of a new owner over the same packs, as `sign_header` stores it; it has no fingerprint yet.

    Args:
        log: The last entry of the owner log of before that counts.
    """
    past = PastOwner(before.fingerprint, before.owner, log)
    header = replace(before, created_utc=created_utc, owner=owner, history=(*before.history, past), fingerprint=b"")
    return replace(header, check=check_of(_body(header)))


def encode_header(header: Header) -> bytes:
    """Return the bytes of a new repository's `farshore.json`.

    Raises:
        Bug: The header's check is not that of its fields: it is a stored one, which may have more keys than fields.
    """
    body = _body(header)
    if header.check != check_of(body):
        raise Bug("a header was encoded whose check is not that of its fields")
    return encode_canonical({**body, "check": header.check})


def decode_later_header(data: bytes, where: str) -> tuple[Header, bytes, Signature]:
    """Return a later header, its body, and its signature, which is not checked.

    Raises:
        ObjectCorrupt, HeaderDamaged, FormatTooNew, FeatureMissing: It is none, or as `decode_header` says.
    """
    body, signature = split_signed(data, where, limits.HEADER_BYTES_MAX)
    header = decode_header(body, where, blake3(data).digest())
    if not header.history:
        raise ObjectCorrupt(f"{where} names no header before it")
    return header, body, signature


def decode_header(data: bytes, where: str, fingerprint: bytes = b"") -> Header:
    """Return the header, every field checked.

    Args:
        fingerprint: Of a later header; else it is the hash of the bytes.

    Raises:
        HeaderDamaged: Not JSON, not ours, incomplete, or its check fails.
        FormatTooNew: A later format version.
        FeatureMissing: It requires a feature this code lacks.
    """
    try:
        value = decode_object(data, "farshore.json")
    except ObjectCorrupt as error:
        raise HeaderDamaged(f"the header at {where} is damaged: {error}") from error
    if value.get("format") != FORMAT:
        raise HeaderDamaged(f"the header at {where} is not a Farshore header")
    version = value.get("version")
    if not isinstance(version, int) or version < 1:
        raise HeaderDamaged(f"the header at {where} has no format version")
    if version > VERSION:
        raise FormatTooNew(f"the repository at {where} has format version {version}; this Farshore knows {VERSION}")
    if not check_holds(value) or encode_canonical(value) != data:  # the fingerprint is of the stored bytes
        raise HeaderDamaged(f"the header at {where} is damaged: its check does not hold")
    try:
        header = _from_body(value, fingerprint or blake3(data).digest())
    except (KeyError, TypeError, ValueError, ObjectCorrupt) as error:
        raise HeaderDamaged(f"the header at {where} is incomplete: {error}") from error
    if not header.chunking.is_usable():
        raise HeaderDamaged(f"the header at {where} has chunk sizes that no cutter can use: {header.chunking}")
    unknown = sorted(set(header.must_understand) - KNOWN_FEATURES)
    if unknown:
        raise FeatureMissing(f"the repository at {where} needs features this Farshore lacks: {', '.join(unknown)}")
    return header


def check_of(value: dict[str, Any]) -> str:
    """Return the hash by which a header or key slot shows damage: of its canonical JSON without `check`."""
    body = {name: item for name, item in value.items() if name != "check"}
    return blake3(encode_canonical(body)).hexdigest()


def check_holds(value: dict[str, Any]) -> bool:
    """Whether the `check` of a header or key slot is that of its content."""
    try:
        return bool(value.get("check") == check_of(value))
    except (ValueError, RecursionError):  # values that have no canonical form, which nobody wrote
        return False


def _body(header: Header) -> dict[str, Any]:
    cuts = header.chunking
    history = {"history": [_encode_past(one) for one in header.history]} if header.history else {}
    return {
        **history,
        "format": FORMAT,
        "version": VERSION,
        "repository": header.repository_id,
        "created_utc": encode_time(header.created_utc),
        "chunking": {
            "algorithm": _ALGORITHM,
            "minimum": cuts.minimum,
            "average": cuts.average,
            "maximum": cuts.maximum,
            "block": cuts.block,
            "normalization": cuts.normalization,
        },
        "features": {"must_understand": list(header.must_understand), "may_ignore": list(header.may_ignore)},
        "owner": _encode_owner(header.owner),
    }


def _encode_owner(owner: bytes) -> dict[str, str]:
    parts = {"ed25519": owner[:_ED25519_BYTES], "ml_dsa_65": owner[_ED25519_BYTES:]}
    return {name: base64.b64encode(part).decode() for name, part in parts.items()}


def _decode_owner(value: Any) -> bytes:
    ed25519 = decode_base64(value["ed25519"], "the owner's Ed25519 key", _ED25519_BYTES)
    return ed25519 + decode_base64(value["ml_dsa_65"], "the owner's ML-DSA-65 key", _ML_DSA_65_BYTES)


def _encode_past(past: PastOwner) -> dict[str, Any]:
    return {"fingerprint": past.fingerprint.hex(), "owner": _encode_owner(past.owner), "log": list(past.log)}


def _decode_history(value: dict[str, Any]) -> tuple[PastOwner, ...]:
    history = value.get("history", [])
    if not isinstance(history, list) or len(history) > limits.PAST_OWNERS_MAX:
        raise ValueError(f"its history is no list of at most {limits.PAST_OWNERS_MAX}")
    found = []
    for one in history:
        if not is_hex(one["fingerprint"], HASH_BYTES):
            raise ValueError("its history has no fingerprint")
        found.append(PastOwner(bytes.fromhex(one["fingerprint"]), _decode_owner(one["owner"]), decode_log(one)))
    return tuple(found)


def _from_body(value: dict[str, Any], fingerprint: bytes) -> Header:
    cuts = value["chunking"]
    if cuts["algorithm"] != _ALGORITHM:
        raise FeatureMissing(f"unknown chunking algorithm {cuts['algorithm']!r}")
    repository_id = value["repository"]
    if len(bytes.fromhex(repository_id)) != 16:
        raise ValueError("the repository id has not 32 digits")
    return Header(
        repository_id=repository_id,
        created_utc=decode_time(value["created_utc"]),
        chunking=Chunking(
            minimum=int(cuts["minimum"]),
            average=int(cuts["average"]),
            maximum=int(cuts["maximum"]),
            block=int(cuts["block"]),
            normalization=int(cuts["normalization"]),
        ),
        owner=_decode_owner(value["owner"]),
        check=str(value["check"]),
        fingerprint=fingerprint,
        must_understand=_names_in(value["features"]["must_understand"]),
        may_ignore=_names_in(value["features"]["may_ignore"]),
        history=_decode_history(value),
    )


def _names_in(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ValueError("features are no list of names")
    return tuple(value)


def is_prefix(given: bytes, fingerprint: bytes) -> bool:
    """Whether a fingerprint begins with what was given, which is at least 16 bytes."""
    return len(given) >= PREFIX_BYTES_MIN and fingerprint[: len(given)] == given

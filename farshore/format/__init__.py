"""Canonical JSON, times in it, and signed objects: two lines of it, or a trailer behind binary content. Pure.

One byte string for one value, so that hashes and put-if-absent agree everywhere. A signed text is

    {…}                                                          the body
    {"ed25519":…,"ml_dsa_65":…,"signer":…}                       in base64, and the signer's id in hex

each line ends in one LF. Signed is the hash of the body's line with its LF; the hash in an object's name is that of
both lines. `ml_dsa_65` is absent where the kind of object is signed by Ed25519 alone. A pack or a fragment ends in

    signer id (16) ‖ Ed25519 signature (64)
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from blake3 import blake3

from farshore.errors import Bug, FormatTooNew, ObjectCorrupt
from farshore.model import ED25519_SIGNATURE_BYTES, ML_DSA_65_SIGNATURE_BYTES, SIGNER_ID_BYTES, Signature

JsonObject = dict[str, Any]
HASH_BYTES = 32
TRAILER_BYTES = SIGNER_ID_BYTES + ED25519_SIGNATURE_BYTES
_HEX_DIGITS = frozenset("0123456789abcdef")
_PARTS = ({"ed25519", "signer"}, {"ed25519", "ml_dsa_65", "signer"})


def encode_canonical(value: JsonObject) -> bytes:
    """Return UTF-8 with sorted keys, no spaces, no NaN, ending in one newline."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def decode_object(data: bytes, what: str) -> JsonObject:
    """Return the JSON object, or raise `ObjectCorrupt` naming `what`."""
    try:
        value = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ObjectCorrupt(f"{what} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ObjectCorrupt(f"{what} is not a JSON object")
    return value


def _refuse_constant(name: str) -> None:
    """NaN and Infinity, which Python reads and JSON does not know."""
    raise ValueError(f"{name} is no JSON value")


def encode_time(moment: datetime) -> str:
    """Return UTC in ISO 8601 with microseconds and `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def decode_time(text: str) -> datetime:
    """Return the moment, or raise `ObjectCorrupt`."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, TypeError, OverflowError) as error:  # the last: a year that UTC does not have
        raise ObjectCorrupt(f"not a time: {text!r}") from error


@dataclass(frozen=True, slots=True)
class SignedText:
    """A signed object of text, well-formed; whether its signature holds is not checked yet.

    `body` is the signed line with its LF, `value` the same as an object.
    """

    body: bytes
    value: JsonObject
    signature: Signature

    @property
    def digest(self) -> bytes:
        """The hash of the body, which is signed."""
        return blake3(self.body).digest()


def encode_signed(body: bytes, signature: Signature) -> bytes:
    """Return the stored bytes of a body, made by `encode_canonical`, and its signature."""
    parts = {"ed25519": base64.b64encode(signature.ed25519).decode(), "signer": signature.signer}
    if signature.ml_dsa_65:
        parts["ml_dsa_65"] = base64.b64encode(signature.ml_dsa_65).decode()
    return body + encode_canonical(parts)


def decode_signed(data: bytes, what: str, bytes_max: int) -> SignedText:
    """Return the body and the signature of a signed object of text.

    Raises:
        ObjectCorrupt: It is larger than `bytes_max`, which is checked before it is parsed, or not exactly two lines of
            canonical JSON, or its signature has other keys or lengths. The message names `what`.
    """
    body, signature = split_signed(data, what, bytes_max)
    return SignedText(body, decode_canonical(body, what), signature)


def split_signed(data: bytes, what: str, bytes_max: int) -> tuple[bytes, Signature]:
    """Return the body of a signed object of text, not parsed yet, and its signature, which is not checked yet.

    So that a signature can be checked before any other work. Raises as `decode_signed`.
    """
    if len(data) > bytes_max:
        raise ObjectCorrupt(f"{what} has {len(data)} bytes, and none has more than {bytes_max}")
    lines = data.split(b"\n", 3)
    if len(lines) != 3 or lines[2]:
        raise ObjectCorrupt(f"{what} has not exactly two lines")
    return lines[0] + b"\n", _signature(decode_canonical(lines[1] + b"\n", what), what)


def signer_at_end(end: bytes) -> str:
    """Return the signer that the last line of a signed text names, by its last bytes; "" where it is no such line."""
    try:
        return _signature(decode_canonical(end.rstrip(b"\n").rpartition(b"\n")[2] + b"\n", "a text"), "a text").signer
    except ObjectCorrupt:
        return ""


def decode_canonical(data: bytes, what: str) -> JsonObject:
    """Return the JSON object, or raise `ObjectCorrupt` naming `what` where its bytes are not the canonical ones."""
    value = decode_object(data, what)
    try:
        canonical = encode_canonical(value)
    except (ValueError, RecursionError) as error:  # values that have no canonical form
        raise ObjectCorrupt(f"{what} is not canonical JSON: {error}") from error
    if canonical != data:
        raise ObjectCorrupt(f"{what} is not canonical JSON")
    return value


def decode_base64(text: object, what: str, length: int | None = None) -> bytes:
    """Return the bytes that a text in base64 means, which must be the only text for them.

    Raises:
        ObjectCorrupt: It is no such text, or of another length.
    """
    try:
        data = base64.b64decode(text) if isinstance(text, str) else None
    except (binascii.Error, ValueError):
        data = None
    if data is None or base64.b64encode(data).decode() != text:
        raise ObjectCorrupt(f"{what} is not base64")
    if length is not None and len(data) != length:
        raise ObjectCorrupt(f"{what} has {len(data)} bytes, not {length}")
    return data


def encode_trailer(signature: Signature) -> bytes:
    """Return the 80 bytes at the end of a pack or an index fragment."""
    signer = bytes.fromhex(signature.signer)
    if signature.ml_dsa_65 or len(signer) != SIGNER_ID_BYTES or len(signature.ed25519) != ED25519_SIGNATURE_BYTES:
        raise Bug("a trailer holds a signer id and one Ed25519 signature")
    return signer + signature.ed25519


def decode_trailer(data: bytes, what: str) -> Signature:
    """Return the signature of a trailer, which is exactly `data`, or raise `ObjectCorrupt` naming `what`."""
    if len(data) != TRAILER_BYTES:
        raise ObjectCorrupt(f"the trailer of {what} has {len(data)} bytes, not {TRAILER_BYTES}")
    return Signature(data[:SIGNER_ID_BYTES].hex(), data[SIGNER_ID_BYTES:])


def is_hex(text: object, count: int) -> bool:
    """Whether a value is text of `count` bytes in lower hex digits."""
    return isinstance(text, str) and len(text) == 2 * count and _HEX_DIGITS.issuperset(text)


def decode_log(value: JsonObject) -> tuple[int, str]:
    """Return the entry of the owner log that a signed text names as the newest its maker knew.

    Raises:
        KeyError, TypeError, ValueError: It names none.
    """
    number, entry = value["log"]
    if not is_count(number) or not is_hex(entry, HASH_BYTES):
        raise ValueError("it names no entry of the owner log")
    return number, entry


def require_format(value: JsonObject, expected: str, version: int, what: str) -> None:
    """Raise `ObjectCorrupt` where a body is of another format, `FormatTooNew` where it is of a later version."""
    if value.get("format") != expected or not is_count(value.get("version")) or value["version"] < 1:
        raise ObjectCorrupt(f"{what} is not a {expected}")
    if value["version"] > version:
        raise FormatTooNew(f"{what} has version {value['version']}; this Farshore knows {version}")


def is_count(value: object) -> bool:
    """Whether a value is a whole number from 0 on, and no truth value."""
    return type(value) is int and value >= 0


def _signature(value: JsonObject, what: str) -> Signature:
    if set(value) not in _PARTS:
        raise ObjectCorrupt(f"the signature of {what} has other parts: {', '.join(sorted(value))}")
    if not is_hex(value["signer"], SIGNER_ID_BYTES):
        raise ObjectCorrupt(f"the signature of {what} names no signer")
    ed25519 = decode_base64(value["ed25519"], f"the signature of {what}", ED25519_SIGNATURE_BYTES)
    hybrid = "ml_dsa_65" in value
    ml_dsa_65 = (
        decode_base64(value["ml_dsa_65"], f"the signature of {what}", ML_DSA_65_SIGNATURE_BYTES) if hybrid else b""
    )
    return Signature(value["signer"], ed25519, ml_dsa_65)

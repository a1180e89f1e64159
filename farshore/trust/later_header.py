"""The header of a new owner over the same packs: made with a reader's key, `keys/log/00000000-<hash>`. Pure.

Each reader with its fingerprint goes by it. To everybody else it is a claim, which counts only that far that nothing is
written by a header that a reader has replaced.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from blake3 import blake3

from farshore.errors import Corrupt, ObjectCorrupt, Unsupported
from farshore.format import encode_signed, names
from farshore.format.header import Header, decode_later_header, encode_header, later_header
from farshore.format.names import LATER_HEADER
from farshore.signing import SignedKind, SigningKey, VerifyKey, sign
from farshore.trust import TrustState
from farshore.trust.actions import Right
from farshore.trust.log_entry import LogHead


def name_of(fingerprint: bytes) -> str:
    """Return the name of the later header with this fingerprint."""
    return names.log_entry(LATER_HEADER, fingerprint.hex())


def make_later_header(
    before: Header, reader: SigningKey, *, created_utc: datetime, owner: VerifyKey, head: LogHead
) -> tuple[Header, bytes]:
    """Return the header of a new owner and its bytes, signed by a reader and read back.

    Args:
        head: The last entry of the owner log that counts from now on.

    Raises:
        ObjectCorrupt: It does not read as it was written: nothing may be stored.
    """
    made = later_header(before, created_utc=created_utc, owner=owner.public, log=(head.number, head.hash))
    body = encode_header(made)
    signature = sign(
        reader, SignedKind.HEADER, fingerprint=before.fingerprint, subject=names.log_subject(LATER_HEADER),
        digest=blake3(body).digest(),
    )  # fmt: skip
    data = encode_signed(body, signature)
    made = replace(made, fingerprint=blake3(data).digest())
    if read_later_header(name_of(made.fingerprint), data) != made:
        raise ObjectCorrupt("the header of a new owner does not read as it was written")
    return made, data


def read_later_header(name: str, data: bytes) -> Header | None:
    """Return the later header of that name, or None where these bytes are not one. Its signature is not checked."""
    parsed = names.parse_log_entry(name)
    if parsed is None or parsed[0] != LATER_HEADER or names.hash_of(data) != parsed[1]:
        return None
    try:
        return decode_later_header(data, name)[0]
    except (Corrupt, Unsupported):
        return None


def replaces(name: str, data: bytes, header: Header, trust: TrustState) -> Header | None:
    """Return the later header where it follows this one, and a reader by its log signed for that."""
    made = read_later_header(name, data)
    if made is None or made.history[-1].fingerprint != header.fingerprint:
        return None
    if made.repository_id != header.repository_id:
        return None
    _, body, signature = decode_later_header(data, name)
    subject = names.log_subject(LATER_HEADER)
    holds = trust.holds(SignedKind.HEADER, signature, subject=subject, digest=blake3(body).digest())
    return made if holds and trust.may(signature.signer, Right.RESTORE) else None

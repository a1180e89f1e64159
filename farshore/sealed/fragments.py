"""Index fragments with keys: made and signed, and their footers opened. docs/reference/format.md, section 5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from farshore.errors import Bug, Corrupt, KeyMissing, Unsupported
from farshore.format.footers import PACK_ID_DTYPE, Footers, decode_footers
from farshore.format.fragments import SUBJECT, Fragment, FragmentEntry, encode_body, encode_fragment
from farshore.model import dataclass
from farshore.sealed import KeySet
from farshore.sealed.packs import open_footer
from farshore.signing import SignedKind, sign

Table = npt.NDArray[Any]


@dataclass(frozen=True)
class OpenedFragment:
    """Packs of a fragment, and the footers that open.

    `pack_ids`: of all, each proven by its entry. `footers` are of those whose keys are at hand, which are the entries
    at `opened`, in their order. `fragment`: that they are of, if of one.
    """

    entries: Sequence[FragmentEntry]
    pack_ids: Table
    opened: Table
    footers: Footers
    fragment: Fragment | None


def make_fragment(entries: Sequence[FragmentEntry], keys: KeySet, superseded: Sequence[bytes] = ()) -> bytes:
    """Return the index fragment of some packs, signed: the same packs give the same bytes.

    Args:
        superseded: The hashes of fragments whose packs are all in this one.
    """
    if keys.signing_key is None:
        raise Bug("an index fragment is made with keys that cannot sign")
    body = encode_body(entries, superseded)
    digest = blake3(body).digest()
    signature = sign(
        keys.signing_key, SignedKind.FRAGMENT, fingerprint=keys.fingerprint, subject=SUBJECT, digest=digest
    )
    return encode_fragment(body, signature)


def open_packs(entries: Sequence[FragmentEntry], keys: KeySet, fragment: Fragment | None = None) -> OpenedFragment:
    """Open the footers of packs. One that does not open or is not sound is left out, and spoils no other."""
    ids = [one.pack_id for one in entries]
    plain: list[tuple[bytes, int, bytes]] = []
    opened: list[int] = []
    for number, entry in enumerate(entries):
        try:
            plain.append((ids[number], entry.pack_bytes, open_footer(keys, entry.header, entry.sealed_footer)))
        except (Corrupt, Unsupported, KeyMissing):
            continue
        opened.append(number)
    try:
        footers = decode_footers(plain)
    except Corrupt:
        opened, plain = _sound(opened, plain)
        footers = decode_footers(plain)
    pack_ids = np.frombuffer(b"".join(ids), PACK_ID_DTYPE)
    return OpenedFragment(entries, pack_ids, np.array(opened, np.int64), footers, fragment)


def _sound(
    opened: list[int], plain: list[tuple[bytes, int, bytes]]
) -> tuple[list[int], list[tuple[bytes, int, bytes]]]:
    """Leave out footers that name what they do not have."""
    kept: list[int] = []
    for at, one in enumerate(plain):
        try:
            decode_footers([one])
        except Corrupt:
            continue
        kept.append(at)
    return [opened[at] for at in kept], [plain[at] for at in kept]

"""The sealed part of a commit: names, counts and facts of a snapshot. docs/reference/format.md, section 5.

    salt (32) ‖ AES-256-GCM under derive(index key, `commit`, salt)

so that only holders of the domain's index key read what a source is called, and nobody puts it into another commit.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from farshore.crypto import TAG_BYTES, associated, derive_key
from farshore.errors import ObjectCorrupt
from farshore.format.commit import Commit, CommitHead, decode_commit, encode_details
from farshore.sealed.keys import KeySet, key_tag

SALT_BYTES = 32
_NONCE = bytes(12)  # the salt makes each key single-use


def seal_details(keys: KeySet, commit: Commit, salt: bytes) -> bytes:
    """Return the details of a commit, sealed under the keys of its domain and epoch.

    Args:
        salt: 32 bytes that were never used before.
    """
    return salt + _aead(keys, commit, salt).encrypt(_NONCE, encode_details(commit), _associated(keys, commit))


def open_details(keys: KeySet, head: CommitHead, sealed: bytes) -> Commit:
    """Return a commit with its details.

    Raises:
        KeyMissing: It is of a domain or an epoch whose keys these are not.
        ObjectCorrupt: The details do not open, or are incomplete.
    """
    what = f"the commit of snapshot {head.snapshot}"
    if len(sealed) < SALT_BYTES + TAG_BYTES:
        raise ObjectCorrupt(f"{what} is cut short in its sealed part")
    salt, text = sealed[:SALT_BYTES], sealed[SALT_BYTES:]
    try:
        details = _aead(keys, head, salt).decrypt(_NONCE, text, _associated(keys, head))
    except InvalidTag as error:
        raise ObjectCorrupt(f"{what} does not open with the keys of its domain") from error
    return decode_commit(head, details, what)


def _aead(keys: KeySet, head: CommitHead, salt: bytes) -> AESGCM:
    index_key = keys.at(key_tag(head.domain, head.epoch)).index_key
    return AESGCM(derive_key(index_key, "commit", keys.repository_id, salt))


def _associated(keys: KeySet, head: CommitHead) -> bytes:
    return associated("commit", keys.repository_id, bytes.fromhex(head.source_id), bytes.fromhex(head.snapshot))

"""Whether bytes are those of an object, as far as the object itself shows: by its name, its own check or its signature.

That needs no key. Whether a commit counts is another question, which its signature and the owner log answer.
"""

from __future__ import annotations

from farshore.audit import names as audit_names
from farshore.errors import ObjectCorrupt
from farshore.format import decode_object, encode_canonical, names
from farshore.format.header import decode_header
from farshore.format.object_kinds import Kind
from farshore.format.pack_id import hash_object
from farshore.repair.object_kinds import kind_of
from farshore.replicas.repository import Repository

_NAMED_BY_HASH = frozenset({
    Kind.PACK, Kind.FRAGMENT, Kind.SLOT, Kind.LOG, Kind.ACCEPTED, Kind.DATA_KEY, Kind.RUN, Kind.COMMIT, Kind.TOMBSTONE,
    Kind.SEAL, Kind.VERDICT, Kind.NOTE, Kind.APPROVAL,
})  # fmt: skip


def digest_in_name(name: str) -> str:
    """Return the BLAKE3-256 in an object's name, or an empty text."""
    if entry := names.parse_log_entry(name):
        return entry[1]
    if carries := (
        names.parse_commit(name)
        or names.parse_data_key(name)
        or names.parse_tombstone(name)
        or names.parse_note(name)
        or names.parse_approval(name)
        or audit_names.parse_seal(name)
    ):
        return carries.hash
    parsers = (
        names.parse_fragment, names.parse_pack, names.parse_slot, names.parse_accepted, names.parse_run,
        names.parse_verdict, names.parse_tombstone_set,
    )  # fmt: skip
    return next((found for parse in parsers if (found := parse(name))), "")


def check_itself(name: str, data: bytes, repository: Repository) -> bool:
    """Check bytes by the object itself; return whether it can be checked so.

    Raises:
        ObjectCorrupt, HeaderDamaged: They are not the object of this name.
    """
    match kind_of(name):
        case kind if kind in _NAMED_BY_HASH:
            if hash_object(name, data) != digest_in_name(name):
                raise ObjectCorrupt(f"the bytes of {name} do not hash to its name")
        case Kind.HEADER:
            _check_canonical(name, data)
            if decode_header(data, name).fingerprint != repository.header.fingerprint:
                raise ObjectCorrupt(f"{name} is another header than the repository's")
        case Kind.AUDIT_FILE:
            if not audit_names.is_whole(name, data):
                raise ObjectCorrupt(f"{name} does not have the bytes that its name promises")
        case _:
            return False
    return True


def _check_canonical(name: str, data: bytes) -> None:
    """A check over the content leaves room for other bytes of the same content, which no other replica holds."""
    if encode_canonical(decode_object(data, name)) != data:
        raise ObjectCorrupt(f"{name} is not as it was written")

"""Check the small objects of a replica beside snapshots: owner log, key slots, data keys, fragments, audit chain."""

from __future__ import annotations

from collections import Counter

from farshore import limits
from farshore.audit import chain
from farshore.audit import names as audit_names
from farshore.audit.rows import ProofState
from farshore.catalog.data_keys import check_named_key
from farshore.catalog.fragments import open_fragment
from farshore.catalog.pack_trust import PackTrust
from farshore.catalog.signed_commits import Refusal
from farshore.errors import Corrupt, ObjectCorrupt, Unsupported
from farshore.format import names
from farshore.format.fragments import decode_fragment
from farshore.format.names import object_bytes_max
from farshore.ops.verify.claims import CLAIMED
from farshore.ops.verify.findings import ReplicaCheck
from farshore.repair.object_checks import check_itself
from farshore.replicas.owner_log import named_lists
from farshore.replicas.repository import Repository
from farshore.sealed import slots
from farshore.sealed.data_key import open_data_key

_OTHER_BYTES = frozenset({"altered-file", "bad-seal"})  # other seals are as they were made, so no copy mends them


def check_slots(repository: Repository, check: ReplicaCheck) -> None:
    """The header was read when the replica was opened; here every slot is, and that there is one."""
    listed = [name for name in check.sizes if names.parse_slot(name)]
    for name in check.choose(listed, {names.slot(one) for one in repository.trust.slots}):
        data = check.read(name)
        if data is None:
            continue
        try:
            if names.hash_of(data) != names.parse_slot(name):
                check.blame(name, ProofState.ALTERED, "its bytes do not hash to its name")
                continue
            slots.decode_slot(data)
        except (Corrupt, Unsupported) as error:
            if isinstance(error, Corrupt) and names.parse_slot(name) not in repository.trust.slots:
                check.note_refused({name: Refusal.UNSIGNED.value})  # it never was a slot: somebody planted it
                continue
            check.blame(name, ProofState.UNDECODABLE, str(error))
    if not listed:
        check.blame(names.SLOTS, ProofState.MISSING, "there is no key slot, so this replica alone cannot be unlocked")


_DECIDING = (names.parse_tombstone, names.parse_tombstone_set, names.parse_note, names.parse_approval)


def check_log(repository: Repository, check: ReplicaCheck) -> None:
    """Hash notes, tombstones and what the owner log has, and look for what something at the replica names of it.

    Entries behind the newest that anything there names are no damage: heal or the next writer brings them.
    """
    objects = repository.log.objects if repository.log is not None else {}
    numbers = {name: entry[0] for name in objects if (entry := names.parse_log_entry(name))}
    named = {commit.log[0] for commit in check.commits} | {numbers[one] for one in numbers if one in check.sizes}
    entries = {name: objects[name] for name, number in numbers.items() if number <= max(named, default=0)}
    lists = [names.accepted(one.hash) for one in named_lists(entries)]
    for name in (*entries, *(one for one in lists if one in objects)):
        if name not in check.sizes:
            check.blame(name, ProofState.MISSING, "it is not listed")
    deciding = [name for name in check.sizes if any(parse(name) for parse in _DECIDING)]
    for name in (*(name for name in objects if name in check.sizes), *check.choose(deciding, ())):
        _check_named(repository, check, name)


def _check_named(repository: Repository, check: ReplicaCheck, name: str) -> None:
    """Read an object whose name has its hash."""
    data = check.read(name)
    try:
        if data is not None:
            check_itself(name, data, repository)
    except ObjectCorrupt:
        check.blame(name, ProofState.ALTERED, "its bytes do not hash to its name")


def check_keys(repository: Repository, check: ReplicaCheck) -> None:
    """Check every data key by its hash, and open those that are sealed to the keys at hand."""
    keys = repository.writing_keys()
    needing: dict[str, list[str]] = {}
    for snapshot, needs in check.needs.items():
        for key in needs.data_keys:
            needing.setdefault(key.name, []).append(snapshot)
    for name in check.choose((name for name in check.sizes if names.parse_data_key(name)), needing):
        parsed = names.parse_data_key(name)
        if parsed is None:
            continue
        touched = needing.get(name, [])
        data = check.read(name, *touched)
        if data is None:
            continue
        try:
            check_named_key(name, data)
            if touched and bytes.fromhex(parsed.recipient) in keys.readable:  # one that nothing needs may be anything
                open_data_key(keys, bytes.fromhex(parsed.key_id), data)
        except (Corrupt, Unsupported) as error:
            if not touched and names.hash_of(data) == parsed.hash:  # it never was a key: somebody planted it
                check.note_refused({name: Refusal.UNSIGNED.value})
                continue
            for snapshot in touched or [""]:
                check.blame(name, ProofState.ALTERED, str(error), snapshot)


def check_fragments(repository: Repository, check: ReplicaCheck) -> None:
    """Open every index fragment, and look in the listing for the packs that those which count name."""
    trust = PackTrust(repository)
    named = {names.fragment(one.blake3) for needs in check.needs.values() for one in needs.fragments}
    for name in check.choose((name for name in check.sizes if names.parse_fragment(name)), named):
        fragment_id = names.parse_fragment(name)
        if fragment_id is None:
            continue
        data = check.read(name)
        if data is None:
            continue
        try:
            opened = open_fragment(repository.writing_keys(), fragment_id, data)
        except (Corrupt, Unsupported) as error:
            if isinstance(error, Corrupt) and names.hash_of(data) == fragment_id:  # its maker made it so
                check.note_refused({name: CLAIMED})
                check.details[name] = f"{error} {_maker(trust, data)}"
                continue
            check.blame(name, ProofState.ALTERED, f"{error}; the index can be rebuilt from the packs")
            continue
        if opened.fragment is None or not trust.counts(opened.fragment):
            check.note_refused({name: Refusal.UNKNOWN_SIGNER.value})
            continue
        for pack_id in opened.pack_ids:
            pack_name = names.pack(pack_id.tobytes().hex())
            if pack_name not in check.sizes:
                said = f"the index fragment {fragment_id[:12]} names it {trust.maker(opened.fragment)}"
                check.claims.setdefault(pack_name, (ProofState.MISSING, said))


def _maker(trust: PackTrust, data: bytes) -> str:
    try:
        return trust.maker(decode_fragment(data))
    except (Corrupt, Unsupported):
        return "(it is no fragment of anybody)"


def check_audit(repository: Repository, check: ReplicaCheck) -> None:
    """Follow the signed chain of audit files and hash each of them."""
    authority = chain.Authority(repository.trust, repository.header.fingerprint)
    seals = _read_seals(check, authority)
    store = check.replica.store
    files = {info.name: info.size for info in store.list(audit_names.AUDIT)}

    def read(name: str) -> bytes:
        return store.get(name, bytes_max=object_bytes_max(name))

    for finding in chain.verify_seals(seals, authority, files, read):
        if finding.refused:
            check.note_refused({finding.object: finding.refused})
            continue
        hosts = [one.certificate.host for one in map(repository.trust.certificate, finding.signers) if one]
        said = f" (sealed by {', '.join(sorted(set(hosts)))})" if hosts else ""
        check.blame(finding.object, _state_of(finding), f"audit evidence: {finding.detail}{said}")
        if finding.signers and repository.trust.revocations.keys() >= finding.signers:
            check.claimed_evidence.add(finding.object)


def _read_seals(check: ReplicaCheck, authority: chain.Authority) -> list[tuple[str, bytes]]:
    """Return the seals of a replica with their bytes, and of names that are none a bounded number.

    Read first are those that another seal names as the one before it, and those that claim a place alone.
    """
    waiting = {name: place for name in check.sizes if (place := audit_names.parse_seal(name))}
    claims = Counter((place.chain, place.sequence) for place in waiting.values())
    by_place = {(place.chain, place.sequence, place.hash): name for name, place in waiting.items()}
    order = sorted(waiting, key=lambda one: (claims[waiting[one].chain, waiting[one].sequence], one), reverse=True)
    found: list[tuple[str, bytes]] = []
    following: list[str] = []
    planted = planted_bytes = found_bytes = 0
    while (following or order) and planted <= max(limits.AUDIT_SEALS_UNNAMED_MAX, 2 * len(found)):
        if planted_bytes >= max(limits.UNKNOWN_BYTES_MAX, found_bytes):
            break
        name = following.pop() if following else order.pop()
        if waiting.pop(name, None) is None:
            continue
        data = check.read(name)
        if data is None:
            planted, planted_bytes = planted + 1, planted_bytes + check.bytes_of(name)
            continue
        seal = chain.open_seal(name, data, authority)
        if isinstance(seal, chain.SealFinding) and seal.refused:
            planted, planted_bytes = planted + 1, planted_bytes + len(data)
            check.note_refused({name: seal.refused})
            continue
        found.append((name, data))
        found_bytes += len(data)
        if isinstance(seal, chain.SealFinding):
            continue
        before = by_place.get((seal.chain, seal.sequence - 1, seal.previous))
        following += [before] if before in waiting else []
    check.unread += len(waiting)
    return found


def _state_of(finding: chain.SealFinding) -> ProofState:
    if finding.code.startswith("missing"):
        return ProofState.MISSING
    return ProofState.ALTERED if finding.code in _OTHER_BYTES else ProofState.UNDECODABLE

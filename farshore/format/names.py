"""Names of objects, and how many bytes an object may have by its name alone. Pure; docs/reference/format.md.

The table at the head of that page has the names, section 8 the limits. No name a user chose ever enters an object's
name.

A read of a whole object gives its store the limit, so that no replica can fill the memory of a reader. Names of no
known form have the smallest limit: nothing reads them but what looks for foreign objects.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from blake3 import blake3

from farshore import limits
from farshore.limits import GIB, KIB, MIB
from farshore.model import FragmentId, KeyId, PackId, SnapshotId, SourceId

HEADER = "farshore.json"
LOG = "keys/log/"
ACCEPTED = "keys/accepted/"
SLOTS = "keys/slots/"
DATA_KEYS = "keys/data/"
PACKS = "packs/"
FRAGMENTS = "index/"
RUNS = "runs/"  # and what each sealed object below it is bound to, because its own name is the hash of its bytes
SNAPSHOTS = "snapshots/"
LEASES = "leases/"
PLANS = "plans/"
FORGOTTEN = "forgotten/"
UNFORGOTTEN = "unforgotten/"
VERDICTS = "verdicts/"
NOTES = "notes/"
APPROVALS = "approvals/"
LATER = ("moves/",)  # reserved: what a later version decides on deletion with
AUDIT = "audit/"

# Roles of runs in commits
MANIFEST = "manifest"
PAGES = "pages"
NEEDS = "needs"

_RUN = re.compile(r"runs/([0-9a-f]{64})")
_COMMIT = re.compile(r"snapshots/([0-9a-f]{32})/([0-9a-f]{32})-([0-9a-f]{64})")
_PACK = re.compile(r"packs/([0-9a-f]{2})/(\1[0-9a-f]{62})")
_FRAGMENT = re.compile(r"index/([0-9a-f]{64})")
_ACCEPTED = re.compile(r"keys/accepted/([0-9a-f]{64})")
LATER_HEADER = 0  # a number among the entries of the owner log: the header of a later owner
_LOG_ENTRY = re.compile(r"keys/log/([0-9]{8})-([0-9a-f]{64})")
_SLOT = re.compile(r"keys/slots/([0-9a-f]{64})\.json")
_DATA_KEY = re.compile(r"keys/data/([0-9a-f]{32})/([0-9a-f]{32})-([0-9a-f]{64})")
_LEASE = re.compile(r"leases/([0-9a-f]{32})/(?:([0-9]{6})|end/([0-9]|1[0-5]))")
_PLAN = re.compile(r"plans/(0|[1-9][0-9]{0,8})/(open|condemned|closed|abandoned)")
TOMBSTONE_SET_SUBJECT = "forgotten/set"  # the name of a set without its hash, which is what its signature covers
_TOMBSTONE_SET = re.compile(r"forgotten/set-([0-9a-f]{64})")
_TOMBSTONE = re.compile(r"(forgotten|unforgotten)/([0-9a-f]{32})-([0-9a-f]{64})")
_VERDICT = re.compile(r"verdicts/([0-9a-f]{64})")
_NOTE = re.compile(r"notes/([0-9a-f]{32})-([0-9a-f]{64})")
_APPROVAL = re.compile(r"approvals/([0-9a-f]{32})-([0-9a-f]{64})")
_FOREIGN_BYTES_MAX = 64 * KIB

# The first form that a name matches decides. Runs that are larger are read by ranges.
OBJECT_BYTES_MAX: tuple[tuple[str, re.Pattern[str], int], ...] = tuple(
    (kind, re.compile(form), size)
    for kind, form, size in (
        ("header", r"farshore\.json", 64 * KIB),
        ("slot", r"keys/slots/.+", 64 * KIB),
        ("owner log", r"keys/log/.+", MIB),
        ("list of accepted commits", r"keys/accepted/.+", 64 * MIB),
        ("data key", r"keys/data/.+", 4 * KIB),
        ("pack", r"packs/.+", limits.PACK_BYTES_MAX),
        ("fragment", r"index/.+", 64 * MIB),
        ("commit", r"snapshots/.+", limits.COMMIT_BYTES_MAX),
        ("manifest, pages, needs", r"runs/.+", 2 * GIB),
        ("end of a lease", r"leases/.+/end/.+", limits.LEASE_END_BYTES_MAX),
        ("beat of a lease", r"leases/.+", 64 * KIB),
        ("plan", r"plans/.+", limits.PLAN_BYTES_MAX),
        ("set of tombstones", r"forgotten/set-.+", limits.TOMBSTONE_SET_BYTES_MAX),
        ("tombstone", r"(un)?forgotten/.+", 64 * KIB),
        ("verdict", r"verdicts/.+", limits.VERDICT_BYTES_MAX),
        ("note", r"notes/.+", 64 * KIB),
        ("approval", r"approvals/.+", MIB),
        ("audit seal", r"audit/_seals/.+", 16 * MIB),
        ("audit file", r"audit/.+", limits.AUDIT_FILE_BYTES_MAX),
    )
)


def hash_of(data: bytes) -> str:
    """Return the hash by which objects are named: BLAKE3-256, 64 hex digits."""
    return blake3(data).hexdigest()


def slot(slot_hash: str) -> str:
    """Return the name of a key slot by the hash of its stored bytes."""
    return f"{SLOTS}{slot_hash}.json"


def log_entry(number: int, entry_hash: str) -> str:
    """Return the name of an entry of the owner log; `entry_hash` is that of its stored bytes."""
    return f"{log_subject(number)}-{entry_hash}"


def log_subject(number: int) -> str:
    """Return the name of an entry of the owner log without its hash, which is what its signature covers."""
    return f"{LOG}{number:08d}"


def accepted(list_hash: str) -> str:
    """Return the name of the list of commits that a revocation accepts."""
    return f"{ACCEPTED}{list_hash}"


def data_key(key_id: KeyId, recipient: str, key_hash: str) -> str:
    """Return the name of a run's data key, sealed to one recipient, by the hash of its sealed bytes."""
    return f"{data_keys_of(key_id)}{recipient}-{key_hash}"


def data_keys_of(key_id: KeyId) -> str:
    """Return how the names of all objects begin that give the data key of a run."""
    return f"{DATA_KEYS}{key_id}/"


def pack(pack_id: PackId) -> str:
    """Return the name of a pack."""
    return f"{PACKS}{pack_id[:2]}/{pack_id}"


def fragment(fragment_id: FragmentId) -> str:
    """Return the name of an index fragment."""
    return f"{FRAGMENTS}{fragment_id}"


def run(run_hash: str) -> str:
    """Return the name of a manifest, a page map or needs by the hash of its stored bytes."""
    return f"{RUNS}{run_hash}"


def commit(source_id: SourceId, snapshot_id: SnapshotId, commit_hash: str) -> str:
    """Return the name of a commit; `commit_hash` is that of its stored bytes."""
    return f"{commit_subject(source_id, snapshot_id)}-{commit_hash}"


def commit_subject(source_id: SourceId, snapshot_id: SnapshotId) -> str:
    """Return the name of a commit without its hash, which is what its signature covers."""
    return f"{commits_of(source_id)}{snapshot_id}"


def commits_of(source_id: SourceId) -> str:
    """Return how the names of all commits of a source begin."""
    return f"{SNAPSHOTS}{source_id}/"


def lease_beat(lease_id: str, beat: int) -> str:
    """Return the name of one beat of a lease."""
    return f"{LEASES}{lease_id}/{beat:06d}"


def lease_end(lease_id: str, k: int) -> str:
    """Return the name of an end of a lease; the first valid one decides."""
    return f"{LEASES}{lease_id}/end/{k}"


def plan(number: int, state: str) -> str:
    """Return the name of one part of a plan to delete."""
    return f"{PLANS}{number}/{state}"


def tombstone(subject: str, tombstone_hash: str) -> str:
    """Return the name of a tombstone, or of what counters one; `tombstone_hash` is that of its stored bytes."""
    return f"{subject}-{tombstone_hash}"


def tombstone_set(set_hash: str) -> str:
    """Return the name of a set of tombstones by the hash of its stored bytes."""
    return f"{TOMBSTONE_SET_SUBJECT}-{set_hash}"


def note(snapshot_id: SnapshotId, note_hash: str) -> str:
    """Return the name of a note on a snapshot; `note_hash` is that of its stored bytes."""
    return f"{note_subject(snapshot_id)}-{note_hash}"


def note_subject(snapshot_id: SnapshotId) -> str:
    """Return the name of a note on a snapshot without its hash, which is what its signature covers."""
    return f"{NOTES}{snapshot_id}"


def approval(request: str, approval_hash: str) -> str:
    """Return the name of a request or an approval; `approval_hash` is that of its stored bytes."""
    return f"{approval_subject(request)}-{approval_hash}"


def approval_subject(request: str) -> str:
    """Return the name of a request or an approval without its hash, which is what its signature covers."""
    return f"{APPROVALS}{request}"


def verdict(verdict_hash: str) -> str:
    """Return the name of a verdict on packs by the hash of its stored bytes."""
    return f"{VERDICTS}{verdict_hash}"


@dataclass(frozen=True, slots=True, order=True)
class CommitName:
    """The parts of a commit's name; `hash` is that of its stored bytes."""

    source_id: SourceId
    snapshot_id: SnapshotId
    hash: str

    @property
    def name(self) -> str:
        """The whole name."""
        return commit(self.source_id, self.snapshot_id, self.hash)


@dataclass(frozen=True, slots=True)
class DataKeyName:
    """The parts of a data key's name; `hash` is that of its sealed bytes."""

    key_id: KeyId
    recipient: str
    hash: str


def parse_commit(name: str) -> CommitName | None:
    """Return the parts of a commit's name, or None for a foreign object."""
    match = _COMMIT.fullmatch(name)
    return CommitName(*match.groups()) if match else None


def parse_run(name: str) -> str | None:
    """Return the hash of a manifest, a page map or needs, or None for a foreign object."""
    match = _RUN.fullmatch(name)
    return match.group(1) if match else None


def parse_pack(name: str) -> PackId | None:
    """Return the pack id, or None for a foreign object."""
    match = _PACK.fullmatch(name)
    return match.group(2) if match else None


def parse_fragment(name: str) -> FragmentId | None:
    """Return the fragment id, or None for a foreign object."""
    match = _FRAGMENT.fullmatch(name)
    return match.group(1) if match else None


def parse_slot(name: str) -> str | None:
    """Return the hash of a key slot, or None for a foreign object."""
    match = _SLOT.fullmatch(name)
    return match.group(1) if match else None


def parse_log_entry(name: str) -> tuple[int, str] | None:
    """Return the number and the hash of an entry of the owner log, or None for a foreign object."""
    match = _LOG_ENTRY.fullmatch(name)
    return (int(match.group(1)), match.group(2)) if match else None


def parse_data_key(name: str) -> DataKeyName | None:
    """Return the parts of a data key's name, or None for a foreign object."""
    match = _DATA_KEY.fullmatch(name)
    return DataKeyName(*match.groups()) if match else None


@dataclass(frozen=True, slots=True)
class LeaseName:
    """A parsed name under `leases/`: of a beat by its number, or of an end by its `k`."""

    lease: str
    beat: int | None
    k: int | None


def parse_lease(name: str) -> LeaseName | None:
    """Return the parts of a name under `leases/`, or None for a foreign object."""
    match = _LEASE.fullmatch(name)
    if not match:
        return None
    lease, beat, k = match.groups()
    return LeaseName(lease, None if beat is None else int(beat), None if k is None else int(k))


def parse_plan(name: str) -> tuple[int, str] | None:
    """Return the number and the state of a part of a plan, or None for a foreign object."""
    match = _PLAN.fullmatch(name)
    return (int(match.group(1)), match.group(2)) if match else None


@dataclass(frozen=True, slots=True)
class TombstoneName:
    """A parsed name under `forgotten/` or `unforgotten/`."""

    folder: str
    snapshot: SnapshotId
    hash: str

    @property
    def subject(self) -> str:
        """The name without its hash, which is what the signature covers."""
        return f"{self.folder}/{self.snapshot}"

    @property
    def counters(self) -> bool:
        """Whether it counters tombstones."""
        return self.folder == "unforgotten"


def parse_tombstone(name: str) -> TombstoneName | None:
    """Return the parts of a name under `forgotten/` or `unforgotten/`, or None for a foreign object."""
    match = _TOMBSTONE.fullmatch(name)
    return TombstoneName(*match.groups()) if match else None


def parse_tombstone_set(name: str) -> str | None:
    """Return the hash of a set of tombstones, or None for a foreign object."""
    match = _TOMBSTONE_SET.fullmatch(name)
    return match.group(1) if match else None


def parse_verdict(name: str) -> str | None:
    """Return the hash of a verdict, or None for a foreign object."""
    match = _VERDICT.fullmatch(name)
    return match.group(1) if match else None


@dataclass(frozen=True, slots=True)
class NoteName:
    """A parsed name under `notes/`."""

    snapshot: SnapshotId
    hash: str


def parse_note(name: str) -> NoteName | None:
    """Return the parts of a name under `notes/`, or None for a foreign object."""
    match = _NOTE.fullmatch(name)
    return NoteName(*match.groups()) if match else None


@dataclass(frozen=True, slots=True)
class ApprovalName:
    """A parsed name under `approvals/`."""

    request: str
    hash: str


def parse_approval(name: str) -> ApprovalName | None:
    """Return the parts of a name under `approvals/`, or None for a foreign object."""
    match = _APPROVAL.fullmatch(name)
    return ApprovalName(*match.groups()) if match else None


def object_bytes_max(name: str) -> int:
    """Return how many bytes an object of this name has at most."""
    return next((size for _, form, size in OBJECT_BYTES_MAX if form.fullmatch(name)), _FOREIGN_BYTES_MAX)


def parse_accepted(name: str) -> str | None:
    """Return the hash of a list of accepted commits, or None for a foreign object."""
    match = _ACCEPTED.fullmatch(name)
    return match.group(1) if match else None

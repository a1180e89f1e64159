"""Remove entries from snapshots: new snapshots in the place of the old ones, for the caller to forget the old ones.

The order keeps a snapshot there at each moment: first objects that the new ones need, then the new ones, and only then
the tombstones of the old ones. No source is read, and only content that shares packs with removed content is stored
again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from farshore.catalog import list_commits
from farshore.catalog.notes import read_notes
from farshore.catalog.verdicts import EMPTIED, read_verdicts
from farshore.errors import Bug
from farshore.format import names
from farshore.format.commit import Commit
from farshore.format.needs import Needs, join_needs
from farshore.format.verdict import SUBJECT, Verdict, encode_verdict
from farshore.host_resources import CACHE, scratch_or_temporary
from farshore.limits import VERDICT_ROWS_MAX
from farshore.ops.rewrite.audit_rows import record_rewrite
from farshore.ops.rewrite.carry import ChunkCarrier, chunks_in
from farshore.ops.rewrite.commit import CommittedSnapshot, Draft, commit_drafts
from farshore.ops.rewrite.objects import Runs, put_data_key
from farshore.ops.rewrite.plan import Work
from farshore.ops.rewrite.publish import Publisher
from farshore.ops.rewrite.signers import keys_for, signers_of
from farshore.repair.complete_commit import complete_commit
from farshore.repair.copy_lease import copy_lease
from farshore.replicas.lease_holder import known_log
from farshore.replicas.owner_log import check_maintainer, put_log
from farshore.replicas.put_signed import put_signed
from farshore.replicas.reader import open_reader
from farshore.replicas.repository import Repository
from farshore.replicas.signed_texts import sign_text
from farshore.run import Run
from farshore.sealed.data_key import generate_data_key
from farshore.signing import SignedKind, SigningKey

REWRITE_IDENTITY = "rewrite"


@dataclass(frozen=True, slots=True)
class RewrittenSnapshot:
    """A snapshot that was replaced, and the one in its place."""

    snapshot_id: str
    source: str
    successor: str


@dataclass
class RewriteResult:
    """The snapshots that were replaced, oldest first. `failed`: replicas that lack some of what was made."""

    snapshots: list[RewrittenSnapshot] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    bytes_stored: int = 0  # at each replica


def make_successors(
    repository: Repository, work: Work, *, credential: SigningKey | None = None, run: Run
) -> RewriteResult:
    """Make the snapshots that a plan asks for, each at a quorum. Repeatable: those that are there are kept.

    The old ones are not forgotten by this: as long as both are listed, they are FORKED, and no rule forgets either.

    Args:
        credential: The signing key of a writer, for sources that the reader's certificate does not have.

    Raises:
        KeyMissing, FeatureMissing, LogForked: The key at hand may not maintain.
        SourceNotEnrolled: No key at hand may commit one of the sources.
        QuorumNotReached, StateUnknown, ObjectCorrupt: As `commit_drafts` and `ChunkCarrier.carry` say.
    """
    check_maintainer(repository, "rewrite snapshots")
    signers = signers_of(repository, work.to_make, credential)
    result = RewriteResult()
    failed = put_log(repository, repository.log) if repository.log is not None else {}  # W0
    publisher = Publisher(repository, failed)
    lease = copy_lease(repository, publisher.replicas, run.run_id, REWRITE_IDENTITY)
    done: list[CommittedSnapshot] = []
    try:
        publisher.drop(lease.acquire())
        _quarantine(repository, work, run)  # first: a backup that begins now reuses none of them
        done = _complete(repository, work, run)
        with scratch_or_temporary("rewrite-", CACHE, repository.cache_dir / "spool") as spool:
            for group in _by_domain(work.to_make).values():
                done += _make(repository, work, group, signers, publisher, spool, run)
    finally:
        lease.end()
        record_rewrite(repository, done, publisher, run)
    result.failed = {name: error.message for name, error in publisher.failed.items()}
    result.bytes_stored = sum(one.bytes for one in publisher.made)
    after = {one.before.hash: one.commit.snapshot for one in done}
    result.snapshots = [
        RewrittenSnapshot(one.snapshot, one.source, after[one.hash]) for one in work.affected if one.hash in after
    ]
    return result


def _by_domain(commits: Sequence[Commit]) -> dict[tuple[str, int], list[Commit]]:
    groups: dict[tuple[str, int], list[Commit]] = defaultdict(list)
    for one in commits:
        groups[one.domain, one.epoch].append(one)
    return groups


def _make(
    repository: Repository, work: Work, group: Sequence[Commit], signers: Mapping[str, SigningKey],
    publisher: Publisher, spool: Path, run: Run,
) -> list[CommittedSnapshot]:  # fmt: skip
    """Make the successors of snapshots of one domain and epoch, whose chunks have names of their own."""
    reader, keys = open_reader(repository), keys_for(repository, group[0], _own_key(repository))
    data_key = generate_data_key(repository.clock)
    key_objects = put_data_key(keys, data_key, publisher)
    carrier = ChunkCarrier(repository=repository, reader=reader, keys=keys, data_key=data_key, publisher=publisher)
    dirty = work.dirty.intersection(pack.pack_id for one in group for pack in work.needs[one.hash].packs)
    carrier.carry(work.index, dirty, chunks_in(work.index, dirty, work.moved), run)
    made = Needs(tuple(sorted(carrier.packs)), key_objects, tuple(sorted(carrier.fragments)))
    added = join_needs([made, work.elsewhere])
    runs = Runs(repository, reader, keys, data_key, publisher, spool, work, added)
    notes = read_notes(repository)
    drafts: list[Draft] = []
    for one in group:
        refs = {role: of for role, of in one.runs.items() if role != names.PAGES or one.hash not in work.drops_pages}
        needed, together = runs.needs_of(one)
        refs |= {names.MANIFEST: runs.manifest_of(one), names.NEEDS: needed}
        removed = work.removed.get(one.hash, (0, 0, 0))
        drafts.append(Draft(one, refs, together, data_key.key_id.hex(), notes.tags_of(one), removed, signers[one.hash]))
    return commit_drafts(repository, drafts, publisher, run)


def _own_key(repository: Repository) -> SigningKey:
    key = repository.reading_keys().signing_key
    if key is None:
        raise Bug("a key that may maintain signs nothing")
    return key


def _complete(repository: Repository, work: Work, run: Run) -> list[CommittedSnapshot]:
    """Bring the snapshots of a try that did not end to a quorum, and return them.

    Raises:
        QuorumNotReached: Fewer replicas than the quorum hold one.
    """
    holders = list_commits(repository).holders
    old = {one.hash: one for one in work.affected}
    done = []
    for before, after in work.successors.items():
        held = list(holders.get(after.hash, ()))
        if len(held) < min(repository.quorum, len(repository.configured)):
            completed = complete_commit(repository, after, held, run.run_id)
            held = completed.holders
            if len(held) < min(repository.quorum, len(repository.configured)):
                reasons = {**repository.unreachable, **completed.failed}
                raise repository.too_few(len(held), f"hold snapshot {after.snapshot[:12]}", reasons)
        done.append(CommittedSnapshot(old[before], after, held))
    return done


def _quarantine(repository: Repository, work: Work, run: Run) -> None:
    """Have no backup reuse the packs that are emptied: it would need them, and what was removed would stay."""
    known = read_verdicts(repository).quarantined
    packs = sorted(one for one in map(bytes.fromhex, work.dirty) if one not in known)
    objects: list[tuple[str, bytes]] = []
    for at in range(0, len(packs), VERDICT_ROWS_MAX):
        some = tuple(packs[at : at + VERDICT_ROWS_MAX])
        verdict = Verdict((), (), some, (), EMPTIED, run.clock.now_utc(), known_log(repository))
        body = sign_text(repository.writing_keys(), SignedKind.VERDICT, SUBJECT, encode_verdict(verdict))
        objects.append((names.verdict(names.hash_of(body)), body))
    if objects:
        put_signed(repository, objects, "accepted the verdict")

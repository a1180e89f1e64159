"""Scrub: check every object of every replica by the checksum its provider reports, with no key and no reading.

Expected checksums are those that runs recorded in the audit tables when they sent the objects; where these are silent,
those of the other replicas; else an object is unproven, and reported as that. Decision 0010.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice

from farshore import limits
from farshore.audit import questions
from farshore.audit.cached_query import ask_rows
from farshore.check_results import CheckedReplica, CheckMethod, ReplicaProof, VerifyResult
from farshore.format import names
from farshore.model import DamagedObject
from farshore.ops.verify.outcomes import SeenReplica, damaged_header, judge_replicas
from farshore.ops.verify.remote.audit_rows import ScrubRows
from farshore.ops.verify.remote.batch import BatchJudge
from farshore.ops.verify.remote.joining import Joined, join
from farshore.ops.verify.remote.records import Tables, fetch_tables, read_records
from farshore.ops.verify.remote.replica_scrub import ReplicaScrub
from farshore.ops.verify.verify import list_again
from farshore.replicas.repository import Repository
from farshore.results import Progress
from farshore.run import Run


def scrub_repository(repository: Repository, *, replica: str | None = None, run: Run) -> VerifyResult:
    """Check one replica, or all; return the findings, and write them as audit rows where a key can sign them.

    Reads nothing but audit tables, the header and key slots. Damage is a result, not an error; so is a replica that
    stops answering. Memory does not grow with the objects, but with what is found: a batch is judged and forgotten.

    Args:
        replica: Check this one alone; then it is compared with no other replica.

    Raises:
        StoreUnavailable, StoreDenied: The replica that was asked for cannot be listed: unknown is not sound.
    """
    chosen = [repository.replica(replica)] if replica else list(repository.replicas.values())
    tables = fetch_tables(repository)
    records_from = tables.replica if tables else ""
    rows = ScrubRows(repository, run)
    scrubs = {one.name: ReplicaScrub(one, rows.keep) for one in chosen}
    commits, recorded = _scrub(repository, scrubs, tables, run)
    if commits and not recorded:
        records_from = ""  # whoever made these snapshots wrote rows, so the tables were lost
    if replica and (error := scrubs[replica].error):
        raise error
    list_again([(scrub.replica, scrub.snapshots) for scrub in scrubs.values() if scrub.error is None])
    repository.note_unasked({scrub.name: scrub.error for scrub in scrubs.values() if scrub.error})
    unopened = {} if replica else repository.unreachable
    headers = {name: damaged_header(name, error, ()) for name, error in unopened.items()}
    damaged = [found for found in headers.values() if found]
    for scrub in scrubs.values():
        damaged += scrub.damaged.values()
    now = run.clock.now_utc()
    proofs = {scrub.name: scrub.proof(records_from, now) for scrub in scrubs.values()}
    result = VerifyResult(
        run_id=run.run_id,
        replicas=tuple(name for name in repository.configured if replica in (None, name)),
        started_utc=run.started_utc,
        finished_utc=now,
        snapshots=commits,
        objects=sum(scrub.objects for scrub in scrubs.values()),
        bytes_read=sum(scrub.bytes_read for scrub in scrubs.values()),
        read_data_percent=0.0,
        damaged=tuple(_with_snapshots(repository, records_from, damaged)),
        method=CheckMethod.REMOTE,
        proofs=tuple(proofs.values()),
        checks=_outcomes(repository, scrubs, proofs, headers),
        recorded=repository.keys is not None,
    )
    rows.finish(result)
    return replace(result, requests=repository.drain_requests(), unrecorded=repository.unrecorded)


def _scrub(
    repository: Repository, scrubs: Mapping[str, ReplicaScrub], tables: Tables | None, run: Run
) -> tuple[int, int]:
    """Judge everything; return how many snapshots some replica lists, and how many objects have a row."""
    judging = BatchJudge(scrubs, repository, run.started_utc)
    commits = recorded = 0
    joined = join({name: scrub.listing() for name, scrub in scrubs.items()}, read_records(repository, tables))
    with ExitStack() as stack:
        pools = {
            name: stack.enter_context(ThreadPoolExecutor(limits.SCRUB_HEADS, thread_name_prefix=f"scrub-{name}"))
            for name in scrubs
        }
        while batch := list(islice(joined, limits.SCRUB_BATCH_OBJECTS)):
            judging.judge(batch, pools)
            commits += sum(_note_commit(one, scrubs) for one in batch)
            recorded += sum(one.record is not None and one.record.made for one in batch)
            for name, scrub in scrubs.items():
                run.progress(Progress(f"verify:{name}", scrub.objects))
    for scrub in scrubs.values():
        if scrub.error is None:
            judging.finish(scrub)
    return commits, recorded


def _note_commit(one: Joined, scrubs: Mapping[str, ReplicaScrub]) -> bool:
    """Note at each replica the snapshot that it lists; return whether this is a commit that any lists."""
    parsed = names.parse_commit(one.name) if one.listed else None
    if parsed is None:
        return False
    for name in one.listed:
        scrubs[name].snapshots.add(parsed.snapshot_id)
    return True


def _outcomes(
    repository: Repository,
    scrubs: Mapping[str, ReplicaScrub],
    proofs: Mapping[str, ReplicaProof],
    headers: Mapping[str, DamagedObject | None],
) -> tuple[CheckedReplica, ...]:
    """Return the outcome of every replica that was chosen."""
    seen: dict[str, SeenReplica] = {}
    for name in repository.configured:
        if name in scrubs:
            scrub, proof = scrubs[name], proofs[name]
            conclusive = proof.listing_complete and bool(proof.records_from)
            seen[name] = SeenReplica(
                scrub.snapshots, scrub.objects, scrub.damaged_total, conclusive=conclusive, error=scrub.error
            )
        elif name in headers:
            found = headers[name]
            seen[name] = SeenReplica(damaged=1 if found else 0, error=None if found else repository.unreachable[name])
    return judge_replicas(seen)


def _with_snapshots(
    repository: Repository, records_from: str, damaged: Sequence[DamagedObject]
) -> Iterator[DamagedObject]:
    """Add the snapshots that each damaged object touches, by the lineage."""
    wanted = sorted({one.name for one in damaged})
    touched: dict[str, dict[str, None]] = {}
    for sql in questions.snapshots_needing(wanted) if records_from else ():
        for name, snapshot in ask_rows(repository, records_from, sql) or ():
            touched.setdefault(str(name), {})[str(snapshot)] = None
    for one in damaged:
        yield replace(one, snapshots=tuple(touched.get(one.name, ())))
